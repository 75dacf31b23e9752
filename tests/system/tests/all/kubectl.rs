//! Real kubectl, verb by verb.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::manifest::{config_map, pod, web};
use sampan_system_tests::{Cluster, Setup, eventually, run};
use serde_json::Value;

use crate::workloads::wait_for_rollout;

fn cluster_with_web() -> Result<Cluster> {
    let cluster = Setup::docker().start()?;
    cluster.try_kubectl(&["create", "-f", "-"], &web("sampan-demo:v1", 2))?.succeeded()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    Ok(cluster)
}

#[test]
fn get_describe_and_explain_show_what_is_there() -> Result<()> {
    let cluster = cluster_with_web()?;
    // What is asked, and what the answer must hold.
    let table: &[(&[&str], &[&str])] = &[
        (&["get", "deployments"], &["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "web", "2/2"]),
        (&["get", "deploy", "web", "-o", "wide"], &["CONTAINERS", "IMAGES", "SELECTOR", "sampan-demo:v1", "app=web"]),
        (&["get", "rs"], &["DESIRED", "CURRENT", "READY", "web-"]),
        (&["get", "pods"], &["READY", "STATUS", "RESTARTS", "1/1", "Running"]),
        (&["get", "pods", "-o", "wide"], &["IP", "NODE", "NOMINATED NODE"]),
        (&["get", "pods", "-l", "app=web", "--no-headers"], &["Running"]),
        (&["get", "pods", "-A"], &["NAMESPACE", "default"]),
        (&["get", "nodes", "-o", "wide"], &["STATUS", "Ready", "VERSION", "CONTAINER-RUNTIME", "docker://"]),
        (&["get", "ns"], &["default", "kube-system", "Active"]),
        (&["get", "leases", "-n", "kube-node-lease"], &["HOLDER"]),
        (&["get", "sa"], &["default"]),
        (&["get", "cm"], &["DATA", "kube-root-ca.crt"]),
        (&["get", "all"], &["deployment.apps/web", "replicaset.apps/web-", "pod/web-"]),
        (&["get", "deploy", "web", "-o", "yaml"], &["apiVersion: apps/v1", "maxSurge: 1", "availableReplicas: 2"]),
        (&["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"], &["2"]),
        (&["get", "deploy", "-o", "name"], &["deployment.apps/web"]),
        (&["get", "deploy", "-o", "custom-columns=N:.metadata.name"], &["web"]),
        (&["get", "pods", "--field-selector", "status.phase=Running"], &["web-"]),
        (
            &["describe", "deployment", "web"],
            &["StrategyType:", "RollingUpdate", "NewReplicaSet:", "ScalingReplicaSet"],
        ),
        (&["describe", "pods"], &["Node:", "Image:", "sampan-demo:v1", "Conditions:", "Readiness:", "Started"]),
        (&["describe", "node"], &["Capacity:", "Conditions:", "Non-terminated Pods:"]),
        (&["events"], &["LAST SEEN", "Scheduled", "Started"]),
        (&["get", "events"], &["REASON", "ScalingReplicaSet"]),
        (&["api-resources"], &["deployments", "deploy", "manifestfiles", "sampan.dev/v1"]),
        (&["api-versions"], &["apps/v1", "events.k8s.io/v1"]),
        (
            &["explain", "pod.spec.containers.livenessProbe"],
            &["FIELD: livenessProbe", "Periodic probe of container liveness"],
        ),
        (&["explain", "deployment.spec.strategy", "--recursive"], &["rollingUpdate", "maxUnavailable"]),
        (&["rollout", "status", "deploy/web"], &["successfully rolled out"]),
        (&["rollout", "history", "deploy/web"], &["REVISION"]),
        (&["version"], &["Server Version: v1.35"]),
    ];
    let mut broken = Vec::new();
    for (arguments, expected) in table {
        let said = cluster.try_kubectl(arguments, "")?;
        let missing: Vec<_> = expected.iter().filter(|word| !said.stdout.contains(**word)).collect();
        if said.code != 0 || !missing.is_empty() {
            broken.push(format!(
                "`kubectl {}` lacks {missing:?}:\n{}{}",
                arguments.join(" "),
                said.stdout,
                said.stderr
            ));
        }
    }
    ensure!(broken.is_empty(), "{} of {} broken:\n{}", broken.len(), table.len(), broken.join("\n"));
    Ok(())
}

#[test]
fn changes_arrive_by_every_verb_that_makes_them() -> Result<()> {
    let cluster = Setup::simulated(3).start()?;
    let do_with = |arguments: &[&str], input: &str| cluster.try_kubectl(arguments, input)?.succeeded();
    let field = |path: &str| cluster.kubectl(&["get", "deploy", "web", "-o", &format!("jsonpath={path}")]);
    do_with(&["create", "-f", "-"], &web("sampan-demo:v1", 2))?;
    do_with(&["create", "-f", "-"], &web("sampan-demo:v1", 2)).err().context("created twice")?;
    do_with(&["rollout", "status", "deploy/web", "--timeout=60s"], "")?.says("successfully rolled out")?;

    do_with(&["apply", "-f", "-"], &web("sampan-demo:v1", 3))?;
    ensure!(field("{.spec.replicas}")? == "3", "client-side apply");
    do_with(&["apply", "-f", "-"], &web("sampan-demo:v1", 3))?.says("unchanged")?;
    do_with(&["scale", "deploy/web", "--replicas=4"], "")?.says("scaled")?;
    ensure!(field("{.spec.replicas}")? == "4", "scale");
    do_with(&["patch", "deploy", "web", "-p", r#"{"spec":{"replicas":1}}"#], "")?;
    ensure!(field("{.spec.replicas}")? == "1", "strategic merge patch");
    do_with(
        &["patch", "deploy", "web", "--type=json", "-p", r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#],
        "",
    )?;
    ensure!(field("{.spec.replicas}")? == "2", "JSON patch");
    do_with(&["patch", "deploy", "web", "--type=merge", "-p", r#"{"metadata":{"labels":{"tier":"front"}}}"#], "")?;
    ensure!(field("{.metadata.labels.tier}")? == "front", "merge patch");
    do_with(&["label", "deploy", "web", "tier-", "team=blue"], "")?;
    ensure!(field("{.metadata.labels}")?.contains("blue") && !field("{.metadata.labels}")?.contains("front"), "label");
    do_with(&["annotate", "deploy", "web", "note=hello"], "")?;
    ensure!(field("{.metadata.annotations.note}")? == "hello", "annotate");
    do_with(&["set", "image", "deploy/web", "web=sampan-demo:v2"], "")?;
    ensure!(field("{.spec.template.spec.containers[0].image}")? == "sampan-demo:v2", "set image");
    do_with(&["set", "env", "deploy/web", "COLOUR=red"], "")?;
    do_with(&["rollout", "status", "deploy/web", "--timeout=60s"], "")?;
    do_with(&["rollout", "undo", "deploy/web"], "")?;
    ensure!(!field("{.spec.template.spec.containers[0].env}")?.contains("COLOUR"), "rollout undo");
    do_with(&["rollout", "restart", "deploy/web"], "")?;
    do_with(&["rollout", "status", "deploy/web", "--timeout=60s"], "")?;
    edit(&cluster, "s/replicas: 2/replicas: 3/", "deploy/web")?;
    ensure!(field("{.spec.replicas}")? == "3", "edit");
    do_with(&["replace", "-f", "-"], &web("sampan-demo:v1", 1))?;
    ensure!(field("{.spec.replicas}")? == "1", "replace");
    do_with(&["wait", "deploy/web", "--for=condition=Available", "--timeout=60s"], "")?.says("condition met")?;
    do_with(&["wait", "deploy/web", "--for=jsonpath={.status.availableReplicas}=1", "--timeout=60s"], "")?;
    do_with(&["delete", "deploy", "web"], "")?.says("deleted")?;
    do_with(&["wait", "pods", "-l", "app=web", "--for=delete", "--timeout=60s"], "")?;
    ensure!(cluster.kubectl(&["get", "rs,pods", "-o", "name"])?.is_empty(), "something is left");
    Ok(())
}

/// Runs `kubectl edit` with a stream editor.
fn edit(cluster: &Cluster, script: &str, what: &str) -> Result<()> {
    let mut command = cluster.kubectl_command()?;
    command.env("KUBE_EDITOR", format!("sed -i '{script}'")).args(["edit", what]);
    run(&mut command, "")?.succeeded()?.says("edited").map(drop)
}

#[test]
fn server_side_apply_keeps_managers_apart_and_names_conflicts() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let apply = |manager: &str, env: &str, extra: &[&str]| {
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  selector:\n    matchLabels: {{app: web}}\n  \
             template:\n    metadata:\n      labels: {{app: web}}\n    spec:\n      containers:\n        - name: web\n          \
             image: sampan-demo:v1\n          env: [{env}]\n"
        );
        let manager = format!("--field-manager={manager}");
        cluster.try_kubectl(&[&["apply", "--server-side", "-f", "-", manager.as_str()], extra].concat(), &text)
    };
    apply("one", "{name: A, value: one}", &[])?.succeeded()?;
    apply("two", "{name: B, value: two}", &[])?.succeeded()?;
    let env =
        || cluster.kubectl(&["get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[*].name}"]);
    ensure!(env()? == "A B", "{}", env()?);
    let refused = apply("two", "{name: A, value: other}, {name: B, value: two}", &[])?.failed()?;
    refused.clone().complains("conflict")?.complains("env")?.complains("\"one\"")?;
    apply("two", "{name: A, value: other}, {name: B, value: two}", &["--force-conflicts"])?.succeeded()?;
    apply("one", "", &[])?.succeeded()?;
    apply("two", "{name: B, value: two}", &[])?.succeeded()?;
    ensure!(env()? == "B", "dropping one variable must remove it alone: {}", env()?);
    let managed = cluster.kubectl(&["get", "deploy", "web", "-o", "yaml", "--show-managed-fields"])?;
    ensure!(managed.contains("manager: one") && managed.contains("operation: Apply"), "{managed}");
    Ok(())
}

#[test]
fn strict_validation_refuses_an_unknown_nested_field_and_dry_run_writes_nothing() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let typo = web("sampan-demo:v1", 1).replace("containerPort", "containrPort");
    let refused = cluster.try_kubectl(&["create", "--validate=strict", "-f", "-"], &typo)?.failed()?;
    refused.complains("unknown field")?.complains("containrPort")?;
    for mode in ["server", "client"] {
        let arguments = ["apply", "-f", "-", &format!("--dry-run={mode}")];
        cluster.try_kubectl(&arguments, &web("sampan-demo:v1", 1))?.succeeded()?.says("dry run")?;
    }
    ensure!(cluster.kubectl(&["get", "deploy", "-o", "name"])?.is_empty(), "a dry run wrote");
    let diff = cluster.try_kubectl(&["diff", "-f", "-"], &config_map("fresh", "one"))?;
    ensure!(diff.code == 1 && diff.stdout.contains("+  key: one"), "{diff:?}");
    Ok(())
}

#[test]
fn get_watch_follows_changes_until_it_is_ended() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let mut watch = cluster.kubectl_command()?;
    watch.args(["get", "cm", "-w", "--output-watch-events", "--request-timeout=20s", "-l", "seen=yes"]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let seen = collect_lines(watch.stdout.take().context("no output")?);
    cluster.try_kubectl(&["create", "-f", "-"], &config_map("a", "one"))?.succeeded()?;
    cluster.kubectl(&["label", "cm", "a", "seen=yes"])?;
    cluster.kubectl(&["label", "cm", "a", "seen-"])?;
    let wanted = eventually("the selector's watch shows the object entering and leaving", SOON, || {
        let lines = seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.clone();
        Ok((lines.contains("ADDED") && lines.contains("DELETED")).then_some(()))
    });
    watch.kill()?;
    watch.wait()?;
    wanted
}

/// Gathers what a process prints, as it prints it.
fn collect_lines(output: impl std::io::Read + Send + 'static) -> std::sync::Arc<std::sync::Mutex<String>> {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let filled = std::sync::Arc::clone(&seen);
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok) {
            if let Ok(mut seen) = filled.lock() {
                seen.push_str(&line);
                seen.push('\n');
            }
        }
    });
    seen
}

#[test]
fn logs_can_be_followed_cut_and_asked_of_the_container_before() -> Result<()> {
    let cluster = Setup::docker().start()?;
    cluster.try_kubectl(&["create", "-f", "-"], &pod("printer", &["print", "50"]))?.succeeded()?;
    cluster.kubectl(&["wait", "pod/printer", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"])?;
    let logs = cluster.kubectl(&["logs", "printer"])?;
    ensure!(logs.lines().count() == 50 && logs.ends_with("line 50\n"), "{logs}");
    ensure!(cluster.kubectl(&["logs", "printer", "--tail=3"])? == "line 48\nline 49\nline 50\n", "--tail");
    ensure!(cluster.kubectl(&["logs", "printer", "--since=1h"])?.lines().count() == 50, "--since includes");
    ensure!(cluster.kubectl(&["logs", "printer", "--timestamps", "--tail=1"])?.starts_with("20"), "--timestamps");
    ensure!(cluster.kubectl(&["logs", "printer", "-f"])?.lines().count() == 50, "-f ends with its container");
    ensure!(cluster.kubectl(&["logs", "-l", "test=printer", "--tail=1"])? == "line 50\n", "by label");

    let restarting = pod("again", &[]).replace("restartPolicy: Never", "restartPolicy: Always");
    let restarting = restarting.replace("args: []", "env: [{name: EXIT_AFTER_MS, value: '1000'}]");
    cluster.try_kubectl(&["create", "-f", "-"], &restarting)?.succeeded()?;
    let mut follow = cluster.kubectl_command()?;
    let previous = eventually("the container before has logs", SOON, || {
        let said = cluster.try_kubectl(&["logs", "again", "--previous"], "")?;
        Ok((said.code == 0).then_some(said.stdout))
    })?;
    ensure!(previous.contains("exiting with code 1"), "{previous}");
    let mut follow = follow.args(["logs", "-f", "again"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let seen = collect_lines(follow.stdout.take().context("no output")?);
    let followed = eventually("the followed log shows the start", SOON, || {
        Ok(seen.lock().is_ok_and(|lines| lines.contains("listening")).then_some(()))
    });
    follow.kill()?;
    follow.wait()?;
    followed
}

#[test]
fn exec_carries_input_output_errors_exit_codes_and_a_terminal() -> Result<()> {
    let cluster = cluster_with_web()?;
    let exec = |flags: &[&str], command: &[&str], input: &str| {
        cluster.try_kubectl(&[&["exec"], flags, &["deploy/web", "--"], command].concat(), input)
    };
    exec(&[], &["/demo", "echo", "out"], "")?.succeeded()?.says("out")?;
    exec(&[], &["/demo", "cat", "/missing"], "")?.failed()?.complains("No such file")?;
    let exit = exec(&[], &["/demo", "exit", "7"], "")?;
    ensure!(exit.code == 7, "{exit:?}");
    let large = "a line of some length, many times over\n".repeat(20_000);
    let echoed = exec(&["-i"], &["/demo", "cat"], &large)?.succeeded()?;
    ensure!(echoed.stdout == large, "{} of {} bytes came back", echoed.stdout.len(), large.len());
    exec(&["-i"], &["/demo", "shell"], "echo hello\n")?.succeeded()?.says("not on a terminal")?.says("hello")?;
    exec(&[], &["/missing"], "")?.failed()?;

    // `script` gives kubectl the terminal it asks for.
    let mut kubectl = cluster.kubectl_command()?;
    kubectl.args(["exec", "-it", "deploy/web", "--", "/demo", "shell"]);
    let words: Vec<_> = std::iter::once(kubectl.get_program()).chain(kubectl.get_args()).collect();
    let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut script = Command::new("timeout");
    script.args(["30", "script", "--quiet", "--return", "--command", &line, "/dev/null"]);
    let session = run(&mut script, "echo typed\nexit 5\n")?;
    ensure!(
        session.code == 5 && session.stdout.contains("on a terminal") && session.stdout.contains("typed"),
        "{session:?}"
    );
    Ok(())
}

#[test]
fn deletion_honours_grace_propagation_and_finalizers() -> Result<()> {
    let cluster = Setup::simulated(2).start()?;
    let create = |text: &str| cluster.try_kubectl(&["create", "-f", "-"], text)?.succeeded();
    create(&web("sampan-demo:v1", 2))?;
    cluster.kubectl(&["rollout", "status", "deploy/web", "--timeout=60s"])?;
    cluster.kubectl(&["delete", "deploy", "web", "--cascade=orphan"])?;
    ensure!(cluster.kubectl(&["get", "rs", "-o", "name"])?.contains("web-"), "orphaning removed the replica set");
    cluster.kubectl(&["delete", "rs", "--all", "--cascade=foreground"])?;
    ensure!(
        cluster.kubectl(&["get", "rs,pods", "-o", "name"])?.is_empty(),
        "foreground returned before the children were gone"
    );

    create(&config_map("held", "one").replace("name: held", "name: held\n  finalizers: [example.com/hold]"))?;
    cluster.kubectl(&["delete", "cm", "held", "--wait=false"])?;
    let held = cluster.object("/api/v1/namespaces/default/configmaps/held")?.context("the finalizer did not hold")?;
    ensure!(held.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string), "{held}");
    cluster.kubectl(&[
        "patch",
        "cm",
        "held",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
    ])?;
    eventually("the object goes with its finalizer", SOON, || {
        Ok(cluster.object("/api/v1/namespaces/default/configmaps/held")?.is_none().then_some(()))
    })?;

    cluster.kubectl(&["create", "ns", "short"])?;
    eventually("the namespace has its account and root certificate", Duration::from_secs(10), || {
        let account = cluster.object("/api/v1/namespaces/short/serviceaccounts/default")?;
        let root = cluster.object("/api/v1/namespaces/short/configmaps/kube-root-ca.crt")?;
        Ok((account.is_some() && root.is_some()).then_some(()))
    })?;
    cluster.try_kubectl(&["create", "-n", "short", "-f", "-"], &web("sampan-demo:v1", 2))?.succeeded()?;
    cluster.kubectl(&["delete", "ns", "short", "--timeout=60s"])?;
    ensure!(cluster.list("/api/v1/pods")?.is_empty(), "the namespace went before its pods");
    cluster.try_kubectl(&["delete", "ns", "default"], "")?.failed()?.complains("forbidden").map(drop)
}
