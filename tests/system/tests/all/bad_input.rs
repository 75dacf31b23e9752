//! What no client should send and some will: refused with a Status, and the server lives.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use sampan_system_tests::api::Credentials;
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::manifest::config_map;
use sampan_system_tests::{Api, Setup, eventually};
use serde_json::Value;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
/// What etcd takes by default, and so the most that any Kubernetes takes.
const LARGEST_OBJECT_BYTES: usize = 3 * 512 * 1024;

/// One bad request and the answer it must get: a status, and a word of the message.
struct Case {
    name: &'static str,
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
}

fn post(name: &'static str, path: &str, body: impl Into<Vec<u8>>, status: u16, says: &'static str) -> Case {
    Case { name, method: "POST", path: path.to_owned(), content_type: JSON, body: body.into(), status, says }
}

fn map_named(name: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}"}}}}"#)
}

fn pod_with(container: &str) -> String {
    format!(r#"{{"metadata":{{"name":"p"}},"spec":{{"containers":[{{"name":"c","image":"i",{container}}}]}}}}"#)
}

fn nested(depth: usize) -> String {
    format!(r#"{{"metadata":{{"name":"deep"}},"data":{}{}}}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

fn cases() -> Vec<Case> {
    let strict = |path: &str| format!("{path}?fieldValidation=Strict");
    let long = "x".repeat(254);
    let label = "l".repeat(64);
    let invalid_text = [br#"{"metadata":{"name":"a"},"data":{"k":""#.as_slice(), &[0xff, 0xfe], br#""}}"#].concat();
    let mut cases = vec![
        post("no JSON at all", MAPS, "hello", 400, ""),
        post("an empty body", MAPS, "", 400, ""),
        post("JSON cut short", MAPS, r#"{"metadata":{"name":"a""#, 400, ""),
        post("a list where an object belongs", MAPS, "[1,2]", 400, ""),
        post("a number where a text belongs", MAPS, r#"{"metadata":{"name":3}}"#, 400, ""),
        post(
            "a text where a number belongs",
            DEPLOYMENTS,
            r#"{"metadata":{"name":"a"},"spec":{"replicas":"two"}}"#,
            400,
            "replicas",
        ),
        post("text that is not UTF-8", MAPS, invalid_text, 400, ""),
        post("nesting without end", MAPS, nested(20_000), 400, ""),
        post("a body of 1.5 MiB and more", MAPS, large_map(), 413, ""),
        post("another kind", MAPS, r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#, 400, "Secret"),
        post("another namespace", MAPS, r#"{"metadata":{"name":"a","namespace":"other"}}"#, 400, "namespace"),
        post("a namespace that is not", "/api/v1/namespaces/nowhere/configmaps", map_named("a"), 404, "nowhere"),
        post("no name", MAPS, r#"{"metadata":{}}"#, 422, "name"),
        post("a name in capitals", MAPS, map_named("Capital"), 422, "metadata.name"),
        post("a name with a slash", MAPS, map_named("a/b"), 422, "metadata.name"),
        post("a name too long", MAPS, map_named(&long), 422, "metadata.name"),
        post(
            "a label value too long",
            MAPS,
            format!(r#"{{"metadata":{{"name":"a","labels":{{"k":"{label}"}}}}}}"#),
            422,
            "metadata.labels",
        ),
        post(
            "a label value with a space",
            MAPS,
            r#"{"metadata":{"name":"a","labels":{"k":"a b"}}}"#,
            422,
            "metadata.labels",
        ),
        post("a label key of nothing", MAPS, r#"{"metadata":{"name":"a","labels":{"":"v"}}}"#, 422, "metadata.labels"),
        post("a data key with a slash", MAPS, r#"{"metadata":{"name":"a"},"data":{"a/b":"c"}}"#, 422, "data"),
        post("a quantity that is none", PODS, pod_with(r#""resources":{"requests":{"cpu":"lots"}}"#), 400, ""),
        post(
            "a request over its limit",
            PODS,
            pod_with(r#""resources":{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}"#),
            422,
            "spec.containers[0].resources.requests",
        ),
        post(
            "a port out of range",
            PODS,
            pod_with(r#""ports":[{"containerPort":70000}]"#),
            422,
            "spec.containers[0].ports[0].containerPort",
        ),
        post("no container", PODS, r#"{"metadata":{"name":"p"},"spec":{"containers":[]}}"#, 422, "spec.containers"),
        post("a selector that misses its template", DEPLOYMENTS, mismatched(), 422, "spec.template.metadata.labels"),
        post("an unknown field, strictly", &strict(MAPS), r#"{"metadata":{"name":"a"},"dta":{}}"#, 400, "dta"),
        post(
            "a duplicate key, strictly",
            &strict(MAPS),
            r#"{"metadata":{"name":"a"},"data":{"k":"1","k":"2"}}"#,
            400,
            "duplicate",
        ),
        post("a kind nobody serves", "/apis/example.com/v1/boats", "{}", 404, ""),
    ];
    let request = |name, method, path: String, content_type, body: &str, status, says| Case {
        name,
        method,
        path,
        content_type,
        body: body.as_bytes().to_vec(),
        status,
        says,
    };
    cases.extend([
        request("YAML cut short", "POST", MAPS.to_owned(), YAML, "metadata: {name: a", 400, ""),
        request("YAML with a tab", "POST", MAPS.to_owned(), YAML, "metadata:\n\tname: a\n", 400, ""),
        request("YAML that names itself", "POST", MAPS.to_owned(), YAML, "a: &a [*a]\n", 400, ""),
        request("YAML that grows without end", "POST", MAPS.to_owned(), YAML, &billion_laughs(), 400, ""),
        request("a type nobody speaks", "POST", MAPS.to_owned(), "text/html", "<p>", 415, ""),
        request("a patch type nobody speaks", "PATCH", format!("{MAPS}/kube-root-ca.crt"), JSON, "{}", 415, ""),
        request(
            "a JSON patch of nothing there",
            "PATCH",
            format!("{MAPS}/kube-root-ca.crt"),
            "application/json-patch+json",
            r#"[{"op":"remove","path":"/no/such"}]"#,
            422,
            "",
        ),
        request("an object that is not there", "GET", format!("{MAPS}/nothing"), JSON, "", 404, "nothing"),
        request("a limit that is no number", "GET", format!("{MAPS}?limit=many"), JSON, "", 400, ""),
        request("a token nobody gave", "GET", format!("{MAPS}?limit=1&continue=rubbish"), JSON, "", 400, ""),
        request("a selector that does not parse", "GET", format!("{MAPS}?labelSelector=a%20in%20("), JSON, "", 400, ""),
        request("a field nobody selects by", "GET", format!("{MAPS}?fieldSelector=data.k%3Dv"), JSON, "", 400, ""),
        request(
            "a revision that is no number",
            "GET",
            format!("{MAPS}?watch=true&resourceVersion=x"),
            JSON,
            "",
            400,
            "",
        ),
        request("a method nobody serves", "BREW", MAPS.to_owned(), JSON, "", 405, ""),
    ]);
    cases
}

fn large_map() -> String {
    format!(r#"{{"metadata":{{"name":"large"}},"data":{{"k":"{}"}}}}"#, "x".repeat(2 * LARGEST_OBJECT_BYTES))
}

fn mismatched() -> &'static str {
    r#"{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"app":"a"}},"template":{"metadata":{"labels":{"app":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#
}

/// Ten anchors, each naming the one before it ten times: 10¹⁰ nodes where they are expanded.
fn billion_laughs() -> String {
    let mut text = String::from("a0: &a0 lol\n");
    for level in 1..=10 {
        let names = vec![format!("*a{}", level - 1); 10].join(",");
        let _ = writeln!(text, "a{level}: &a{level} [{names}]");
    }
    text
}

fn judge(api: &mut Api, case: &Case) -> std::result::Result<(), String> {
    let answer =
        api.send(case.method, &case.path, case.content_type, &case.body).map_err(|error| format!("{error:#}"))?;
    let status = answer.json().map_err(|error| format!("{error:#}"))?;
    let kind = status.get("kind").and_then(Value::as_str);
    if answer.status != case.status || kind != Some("Status") || !answer.text().contains(case.says) {
        return Err(format!("wanted {} saying `{}`, got {}: {}", case.status, case.says, answer.status, answer.text()));
    }
    Ok(())
}

#[test]
fn bad_requests_are_refused_with_a_status_and_the_server_lives() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let credentials = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?;
    let before = cluster.process_id();
    let mut wrong = Vec::new();
    let all = cases();
    for case in &all {
        // A fresh connection each: a server may close one on which it was sent too much.
        if let Err(reason) = judge(&mut credentials.connect(), case) {
            wrong.push(format!("{}: {reason}", case.name));
        }
        ensure!(credentials.connect().get("/readyz")?.status == 200, "the server is gone after {}", case.name);
    }
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    ensure!(cluster.process_id() == before, "the process was replaced");
    let maps = cluster.list(MAPS)?;
    ensure!(maps.len() == 1, "something bad was stored: {maps:?}");
    Ok(())
}

#[test]
fn an_object_just_under_the_limit_is_taken() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let text = "x".repeat(1000 * 1000);
    let answer =
        cluster.api()?.create(MAPS, &serde_json::json!({"metadata": {"name": "large"}, "data": {"k": text}}))?;
    ensure!(answer.status == 201, "{}: {}", answer.status, answer.text().chars().take(300).collect::<String>());
    Ok(())
}

#[test]
fn strangers_see_health_and_nothing_else() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let mut stranger = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?.connect_anonymously();
    for path in ["/livez", "/readyz", "/healthz"] {
        ensure!(stranger.get(path)?.status == 200, "{path}");
    }
    for path in ["/api/v1/namespaces", "/api", "/apis", "/openapi/v3", MAPS, "/metrics"] {
        let status = stranger.get(path)?.status;
        ensure!(status == 401 || status == 403, "{path}: {status}");
    }
    Ok(())
}

#[test]
fn bad_files_get_a_diagnostic_and_good_ones_beside_them_are_applied() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("binary.yaml", vec![0xff, 0xfe, 0x00, 0x80]),
        ("laughs.yaml", billion_laughs().into_bytes()),
        ("duplicate.yaml", b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\n".to_vec()),
        ("unknown-field.yaml", config_map("unknown", "v").replace("data:", "dta:").into_bytes()),
        ("no-kind.yaml", b"metadata:\n  name: a\n".to_vec()),
        ("list.yaml", b"- a\n- b\n".to_vec()),
        ("deep.yaml", format!("a: {}{}", "[".repeat(20_000), "]".repeat(20_000)).into_bytes()),
        ("bad-name.yaml", config_map("Not_A_Name", "v").into_bytes()),
        ("large.yaml", config_map("large", &"x".repeat(2 * LARGEST_OBJECT_BYTES)).into_bytes()),
    ];
    for (name, bytes) in &files {
        std::fs::write(cluster.manifests().join(name), bytes)?;
    }
    cluster.write_manifest("good.yaml", &config_map("good", "v"))?;
    eventually("the good file is applied", SOON, || cluster.object(&format!("{MAPS}/good")))?;
    eventually("every bad file has a diagnostic", SOON, || {
        let listed = cluster.list("/apis/sampan.dev/v1/manifestfiles")?;
        let told = |name: &str| {
            listed.iter().any(|file| file.to_string().contains(name) && file.to_string().contains("problem"))
        };
        let silent: Vec<&str> = files.iter().map(|(name, _)| *name).filter(|name| !told(name)).collect();
        ensure!(silent.is_empty(), "no diagnostic for {silent:?}");
        Ok(Some(()))
    })?;
    ensure!(cluster.api()?.get("/readyz")?.status == 200, "the server is gone");
    Ok(())
}
