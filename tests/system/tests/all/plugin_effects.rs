//! What plugins do to the world, and what of the machine they may take.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Setup, eventually, run};
use serde_json::Value;

use crate::plugins::{condition, plugin, status, well};

/// A world that any user may change: after a restart a plugin may run as another.
fn world() -> Result<tempfile::TempDir> {
    let world = tempfile::tempdir()?;
    std::fs::set_permissions(world.path(), std::fs::Permissions::from_mode(0o777))?;
    let runs = world.path().join("runs");
    std::fs::write(&runs, "")?;
    std::fs::set_permissions(&runs, std::fs::Permissions::from_mode(0o666))?;
    Ok(world)
}

/// A program whose effect says that it has begun and how far it is, and then hangs until the world lets it go on. Each run
/// leaves its process's number behind.
fn maker(world: &Path) -> String {
    let world = world.display();
    format!(
        r#"answer() {{ printf '%s\n' "$line" | sed 's/.*"id":\([0-9]*\),"now".*/{{"id":\1,'"$1"'}}/'; }}
report() {{ printf '%s\n' "$line" | sed 's/.*"id":\([0-9]*\),"input".*/{{"id":\1,'"$1"'}}/'; }}
while read -r line; do case "$line" in
    *'"token":'*)
        echo $$ >>{world}/runs
        report '"progress":"half of it"'
        [ -e {world}/go ] || exec sleep 1000
        echo made >{world}/made
        report '"result":{{"made":true}}';;
    *'"done":true'*) answer '"state":"SeenAgain"';;
    *'"name":"mine"'*) answer '"state":"Seen","effects":[{{"effect":"make","key":"one","input":7}}]';;
    *) answer '"state":"SeenAgain"';;
esac; done"#
    )
}

fn runs(world: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(world.join("runs")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn after(count: usize, world: &Path) -> Result<String> {
    eventually(&format!("run {count}"), SOON, || Ok(runs(world).get(count - 1).cloned()))
}

fn effects(cluster: &Cluster) -> Result<Vec<Value>> {
    cluster.list("/apis/sampan.dev/v1/effects")
}

fn is_done(cluster: &Cluster) -> Result<Option<Value>> {
    let done = |effect: &Value| effect.pointer("/status/phase").is_some_and(|phase| phase == "Done");
    Ok(effects(cluster)?.into_iter().find(done))
}

#[test]
fn an_effect_is_run_until_it_is_done_whoever_is_killed_and_then_never_again() -> Result<()> {
    let world = world()?;
    let manifest = plugin("maker", &maker(world.path()), "  effects: [{name: make, deadlineSeconds: 60}]\n");
    let mut cluster = Setup::simulated(1).with_manifest("maker.yaml", &manifest).start()?;
    cluster.kubectl(&["create", "configmap", "mine"])?;
    let first = after(1, world.path())?;
    eventually("how far it is is shown", SOON, || {
        let why = cluster.sampan(&["why", "configmap/mine"])?.stdout;
        Ok((why.contains("effect make one is done") && why.contains("half of it")).then_some(()))
    })?;
    cluster.kubectl(&["create", "configmap", "other"])?;
    eventually("others are answered while it hangs", SOON, || {
        Ok(cluster.sampan(&["why", "configmap/other"])?.stdout.contains("→ SeenAgain").then_some(()))
    })?;

    run(Command::new("kill").args(["-9", &first]), "")?.succeeded()?;
    let second = after(2, world.path())?;
    ensure!(first != second, "another process runs it again");
    let effect = effects(&cluster)?.pop().context("no effect")?;
    let error = effect.pointer("/status/error").and_then(Value::as_str).unwrap_or_default();
    ensure!(error.contains("it ended: signal: 9"), "{effect}");

    cluster.kill()?;
    cluster.up()?;
    let third = after(3, world.path())?;
    std::fs::write(world.path().join("go"), "")?;
    run(Command::new("kill").args(["-9", &third]), "")?.succeeded()?;
    let done = eventually("it is done", SOON, || is_done(&cluster))?;
    ensure!(done.pointer("/status/result/made") == Some(&true.into()), "{done}");
    ensure!(world.path().join("made").exists());
    eventually("its result moves the object on", SOON, || {
        Ok(cluster.sampan(&["why", "configmap/mine"])?.stdout.contains("Seen → SeenAgain").then_some(()))
    })?;

    let all = runs(world.path()).len();
    cluster.kill()?;
    cluster.up()?;
    cluster.kubectl(&["label", "configmap", "mine", "again=yes"])?;
    eventually("it is asked about again", SOON, || {
        Ok(cluster.sampan(&["why", "configmap/mine"])?.stdout.contains("SeenAgain").then_some(()))
    })?;
    ensure!(runs(world.path()).len() == all, "what is done is not done again");
    Ok(())
}

#[test]
fn a_plugin_that_is_removed_gives_up_what_it_has_not_done() -> Result<()> {
    let world = world()?;
    let manifest = plugin("maker", &maker(world.path()), "  effects: [{name: make}]\n");
    let cluster = Setup::simulated(1).with_manifest("maker.yaml", &manifest).start()?;
    cluster.kubectl(&["create", "configmap", "mine"])?;
    after(1, world.path())?;
    cluster.delete_manifest("maker.yaml")?;
    eventually("its record is gone", SOON, || Ok(effects(&cluster)?.is_empty().then_some(())))?;
    cluster.kubectl(&["delete", "configmap", "mine", "--timeout=30s"])?;
    Ok(())
}

#[test]
fn a_plugin_gets_no_more_memory_than_its_limit() -> Result<()> {
    let hungry = r#"exec python3 -c '
import json, sys
for line in sys.stdin:
    answer = {"id": json.loads(line)["id"]}
    try:
        held = bytearray(300 << 20)
        answer["state"] = "Seen"
    except MemoryError:
        answer["error"] = "no memory for it"
    print(json.dumps(answer), flush=True)
'"#;
    let cluster = Setup::simulated(1)
        .with_manifest("little.yaml", &plugin("little", hungry, "  limits: {memory: 200Mi}\n"))
        .with_manifest("plenty.yaml", &plugin("plenty", hungry, "  limits: {memory: 1Gi}\n"))
        .start()?;
    for (name, reason, what) in [("little", "Failed", "it failed: no memory for it"), ("plenty", "Answers", "")] {
        eventually(&format!("{name}: {reason}"), SOON, || {
            let (found, message) = condition(&status(&cluster, name)?, "Answering");
            Ok((found == reason && message.contains(what)).then_some(()))
        })?;
    }
    ensure!(status(&cluster, "little")?.get("restarts") == Some(&0.into()), "it was refused memory, not ended");
    Ok(())
}

fn is_root() -> Result<bool> {
    Ok(run(Command::new("id").arg("-u"), "")?.stdout.trim() == "0")
}

/// The processor time a process has used, in clock ticks of a hundredth of a second.
fn ticks(pid: u64) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Ok(number(11) + number(12))
}

#[test]
fn a_plugin_has_its_share_of_a_core_and_no_network_unless_it_asks_for_it() -> Result<()> {
    if !is_root()? {
        return Ok(());
    }
    let name_space = format!("readlink /proc/self/ns/net >network; {}", well("Seen"));
    let busy = "  limits: {cpu: 200m}\n";
    let cluster = Setup::simulated(1)
        .with_manifest("alone.yaml", &plugin("alone", &name_space, ""))
        .with_manifest("joined.yaml", &plugin("joined", &name_space, "  network: true\n"))
        .with_manifest(
            "busy.yaml",
            &plugin("busy", "while :; do :; done", busy).replace("deadlineSeconds: 1", "deadlineSeconds: 60"),
        )
        .start()?;
    let pid = |name: &str| {
        eventually(&format!("{name} runs"), SOON, || Ok(status(&cluster, name)?.get("pid").and_then(Value::as_u64)))
    };
    let own = std::fs::read_link("/proc/self/ns/net")?.display().to_string();
    for (name, shares) in [("alone", false), ("joined", true)] {
        let folder = std::fs::read_link(format!("/proc/{}/cwd", pid(name)?))?;
        let network = eventually("it says where it is", SOON, || {
            Ok(std::fs::read_to_string(folder.join("network")).ok().filter(|text| !text.is_empty()))
        })?;
        ensure!((network.trim() == own) == shares, "{name} is in {network}, we are in {own}");
    }
    let busy = pid("busy")?;
    if !std::fs::read_to_string(format!("/proc/{busy}/cgroup"))?.contains("sampan-plugins") {
        eprintln!("there is no control group to be had here");
        return Ok(());
    }
    let (begun, before) = (Instant::now(), ticks(busy)?);
    std::thread::sleep(Duration::from_secs(3));
    let used = (ticks(busy)? - before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    ensure!(used < 0.3, "it uses {used:.2} of a core, and may use 0.20");
    Ok(())
}
