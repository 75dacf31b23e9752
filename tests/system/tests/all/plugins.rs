//! Operators that are programs: dropped into the directory, misbehaving, edited, removed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::Value;

const PLUGINS: &str = "/apis/sampan.dev/v1/operatorplugins";

/// A program that answers every question, in a state of the given name.
pub(crate) fn well(state: &str) -> String {
    format!(
        r#"while read -r line; do
    printf '%s\n' "$line" | sed 's/.*"id":\([0-9]*\),"now".*/{{"id":\1,"state":"{state}"}}/'
done"#
    )
}

/// A plugin of ConfigMaps that runs a script.
pub(crate) fn plugin(name: &str, script: &str, more: &str) -> String {
    let script: String = script.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    format!(
        "apiVersion: sampan.dev/v1\nkind: OperatorPlugin\nmetadata: {{name: {name}}}\nspec:\n  deadlineSeconds: 1\n  \
         primary: {{apiVersion: v1, kind: ConfigMap}}\n  states: [{{name: Seen}}, {{name: SeenAgain}}]\n{more}  \
         command:\n  - sh\n  - -c\n  - |\n{script}"
    )
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Copies an example's program and manifest into the directory.
fn drop_in(cluster: &Cluster, example: &str, files: &[&str]) -> Result<()> {
    let (from, to) = (examples().join(example), cluster.manifests().join(example));
    std::fs::create_dir_all(&to)?;
    for file in files {
        std::fs::copy(from.join(file), to.join(file)).with_context(|| format!("failed to copy {file}"))?;
    }
    Ok(())
}

pub(crate) fn status(cluster: &Cluster, name: &str) -> Result<Value> {
    let plugin = cluster.object(&format!("{PLUGINS}/{name}"))?.with_context(|| format!("no plugin {name}"))?;
    Ok(plugin.get("status").cloned().unwrap_or_default())
}

fn phase_is(cluster: &Cluster, name: &str, phase: &str) -> Result<Option<()>> {
    Ok(cluster
        .object(&format!("{PLUGINS}/{name}"))?
        .and_then(|plugin| plugin.pointer("/status/phase").is_some_and(|found| found == phase).then_some(())))
}

pub(crate) fn condition(status: &Value, kind: &str) -> (String, String) {
    let conditions = status.get("conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|it| it.get("type").is_some_and(|it| it == kind));
    let text = |field: &str| found.and_then(|it| it.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

#[test]
fn a_python_plugin_runs_a_second_after_it_is_dropped_in_and_explains_itself() -> Result<()> {
    let mut cluster = Setup::simulated(1).start()?;
    drop_in(&cluster, "scheduledscale", &["plugin.yaml", "scheduledscale.py", "sampan_operator.py"])?;
    eventually("the plugin runs", SOON, || phase_is(&cluster, "scheduledscale", "Running"))?;
    cluster.write_manifest("web.yaml", include_str!("../../../../examples/scheduledscale/samples/always.yaml"))?;
    let scaled = |cluster: &Cluster| -> Result<Option<()>> {
        Ok((cluster.kubectl(&["get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}"])? == "3").then_some(()))
    };
    eventually("the plugin scales the deployment", SOON, || scaled(&cluster))?;
    cluster.sampan(&["why", "scheduledscale/web"])?.says("→ InWindow: a window is open")?;
    ensure!(cluster.kubectl(&["get", "operatorplugins"])?.contains("scheduledscale   ScheduledScale   Running   0"));
    ensure!(cluster.kubectl(&["get", "events"])?.contains("Scaled web from 1 to 3"));
    cluster.kubectl(&["scale", "deploy/web", "--replicas=1"])?;
    eventually("the plugin scales it again", SOON, || scaled(&cluster))?;

    cluster.kill()?;
    cluster.up()?;
    cluster.kubectl(&["scale", "deploy/web", "--replicas=1"])?;
    eventually("the plugin does its work after kill -9", SOON, || scaled(&cluster))
}

#[test]
fn a_plugin_that_misbehaves_hurts_nobody_else_and_says_what_is_wrong() -> Result<()> {
    let misdeeds = [
        ("garbage", "read line; echo hello; cat", "Garbage", "it answered with `hello`, which is no answer"),
        ("crash", "read line; exit 3", "Ended", "it ended: exit status: 3"),
        ("hang", "exec sleep 1000", "Silent", "it did not answer within 1 s"),
        ("flood", "head -c 100000000 /dev/zero | tr '\\0' x; cat", "Flood", "a line of more than 4194304 bytes"),
        ("bomb", "{ bomb() { bomb | bomb & }; bomb; } & exec sleep 1000", "Silent", "it did not answer within 1 s"),
    ];
    let mut setup = Setup::simulated(1).with_manifest("well.yaml", &plugin("well", &well("Seen"), ""));
    for (name, script, ..) in misdeeds {
        setup = setup.with_manifest(&format!("{name}.yaml"), &plugin(name, script, ""));
    }
    let cluster = setup.start()?;
    for (name, _, reason, what) in misdeeds {
        eventually(&format!("{name} says what is wrong"), SOON, || {
            let (found, message) = condition(&status(&cluster, name)?, "Answering");
            let row = cluster.kubectl(&["get", "operatorplugins", name])?;
            Ok((found == reason && message.contains(what) && row.contains(what)).then_some(()))
        })?;
    }
    cluster.kubectl(&["create", "configmap", "fresh"])?;
    eventually("the plugin that is well has seen the map, and says so", SOON, || {
        let why = cluster.sampan(&["why", "configmap/fresh"])?.succeeded()?.stdout;
        Ok((why.contains("well Unobserved → Seen: observed") && why.contains("waiting for: the plugin answers"))
            .then_some(()))
    })?;
    ensure!(cluster.api()?.get("/readyz")?.status == 200);
    Ok(())
}

#[test]
fn what_a_plugin_does_not_declare_is_refused_and_named() -> Result<()> {
    let answer = r#"{"id":\1,"state":"Seen","apply":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"loot"}}]}"#;
    let script =
        format!(r#"while read -r line; do printf '%s\n' "$line" | sed 's/.*"id":\([0-9]*\),"now".*/{answer}/'; done"#);
    let cluster = Setup::simulated(1).with_manifest("thief.yaml", &plugin("thief", &script, "")).start()?;
    eventually("the plugin's condition names the write", SOON, || {
        let (reason, message) = condition(&status(&cluster, "thief")?, "Answering");
        let named = message.contains("secrets/default/loot, which it does not declare");
        Ok((reason == "Refused" && named).then_some(()))
    })?;
    cluster.sampan(&["why", "configmap/kube-root-ca.crt"])?.says("which it does not declare")?;
    ensure!(cluster.list("/api/v1/namespaces/default/secrets")?.is_empty());
    Ok(())
}

#[test]
fn a_plugin_that_is_edited_is_replaced_and_asks_about_everything_anew() -> Result<()> {
    let more = "  files: [lib/name]\n  owns: [{apiVersion: v1, kind: Secret}]\n";
    let secret = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"'$name'"}}"#;
    let script = format!(
        r#"name=$(cat lib/name); while read -r line; do
    printf '%s\n' "$line" | sed 's/.*"id":\([0-9]*\),"now".*/{{"id":\1,"state":"Seen","apply":[{secret}]}}/'
done"#
    );
    let cluster = Setup::simulated(1).start()?;
    cluster.write_manifest("edited/lib/name", "one\n")?;
    cluster.write_manifest("edited/plugin.yaml", &plugin("edited", &script, more))?;
    let makes = |name: &str| {
        let path = format!("/api/v1/namespaces/default/secrets/{name}");
        eventually(&format!("the plugin makes {name}"), SOON, || cluster.object(&path))
    };
    makes("one")?;
    let before = status(&cluster, "edited")?;
    cluster.write_manifest("edited/lib/name", "two\n")?;
    makes("two")?;
    ensure!(status(&cluster, "edited")?.get("pid") != before.get("pid"), "it is another process");

    std::fs::remove_file(cluster.manifests().join("edited/lib/name"))?;
    eventually("it waits for its file", SOON, || {
        let status = status(&cluster, "edited")?;
        let (reason, message) = condition(&status, "Ready");
        Ok((reason == "NoFiles" && message.contains("lib/name")).then_some(()))
    })
}

#[test]
fn a_plugin_that_is_removed_leaves_or_takes_its_objects_and_no_finalizer() -> Result<()> {
    let check = |removal: &str, stays: bool| -> Result<()> {
        let name = removal.to_lowercase();
        let more = format!(
            "  removal: {removal}\n  owns: [{{apiVersion: v1, kind: Secret}}]\n  writes: [{{apiVersion: v1, kind: ConfigMap, verbs: [update]}}]\n"
        );
        let secret = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"made"}}"#;
        let map = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"mine","finalizers":["plugin.sampan.dev\/{name}"]}}}}"#
        );
        let script = format!(
            r#"while read -r line; do case "$line" in
    *'"name":"mine"'*) printf '%s\n' "$line" | sed 's/.*"id":\([0-9]*\),"now".*/{{"id":\1,"state":"Seen","apply":[{secret},{map}]}}/';;
    *) printf '%s\n' "$line" | sed 's/.*"id":\([0-9]*\),"now".*/{{"id":\1,"state":"Seen"}}/';;
esac; done"#
        );
        let cluster = Setup::simulated(1).with_manifest("plugin.yaml", &plugin(&name, &script, &more)).start()?;
        cluster.kubectl(&["create", "configmap", "mine"])?;
        let (made, mine) = ("/api/v1/namespaces/default/secrets/made", "/api/v1/namespaces/default/configmaps/mine");
        eventually("the plugin makes its secret", SOON, || cluster.object(made))?;
        let pid = status(&cluster, &name)?.get("pid").and_then(Value::as_u64).context("it runs")?;
        cluster.delete_manifest("plugin.yaml")?;
        eventually("the plugin is gone", SOON, || {
            Ok(cluster.object(&format!("{PLUGINS}/{name}"))?.is_none().then_some(()))
        })?;
        ensure!(!Path::new(&format!("/proc/{pid}")).exists(), "its process runs on");
        ensure!(cluster.object(made)?.is_some() == stays, "{removal}");
        let left = cluster.object(mine)?.context("what it did not create stays")?;
        ensure!(left.pointer("/metadata/finalizers").is_none(), "{left}");
        Ok(())
    };
    check("Keep", true)?;
    check("Delete", false)
}

#[test]
fn a_plugin_runs_as_a_user_of_its_own_with_nothing_of_sampans() -> Result<()> {
    let script = format!("env >environment; ls /proc/self/fd >descriptors; {}", well("Seen"));
    let cluster = Setup::simulated(1).with_manifest("bare.yaml", &plugin("bare", &script, "")).start()?;
    let pid = eventually("it runs and answers", SOON, || {
        let status = status(&cluster, "bare")?;
        let answers = condition(&status, "Answering").0 == "Answers";
        Ok(status.get("pid").and_then(Value::as_u64).filter(|_| answers))
    })?;
    let of_process = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    ensure!(of_process.contains("NoNewPrivs:\t1"), "{of_process}");
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd"))?;
    let environment = std::fs::read_to_string(folder.join("environment"))?;
    let own = ["PATH", "LANG", "HOME", "TMPDIR", "SAMPAN_PLUGIN", "PWD", "OLDPWD", "SHLVL", "_"];
    let foreign = environment.lines().find(|line| !own.iter().any(|name| line.starts_with(&format!("{name}="))));
    ensure!(foreign.is_none(), "{foreign:?}");
    // The fourth is what lists them.
    let descriptors = std::fs::read_to_string(folder.join("descriptors"))?;
    ensure!(descriptors.split_whitespace().collect::<Vec<_>>() == ["0", "1", "2", "3"], "{descriptors}");
    let user = status(&cluster, "bare")?.get("user").and_then(Value::as_u64);
    if let Some(user) = user {
        ensure!(of_process.contains(&format!("Uid:\t{user}\t{user}\t{user}\t{user}")), "{of_process}");
    }
    Ok(())
}
