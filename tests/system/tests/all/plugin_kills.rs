//! A plugin that is killed at every message of the protocol, and replaced with a question under way: nothing is lost, and nothing is
//! done twice.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Setup, eventually, run};
use serde_json::Value;

use crate::plugins::{plugin, status};

/// Where a program ends once by its own hand, each on account of the object of that name.
const DEATHS: [&str; 7] = ["question", "half", "answer", "effect", "deed", "halfresult", "result"];
/// Where a program waits for somebody to kill Sampan.
const PAUSES: [&str; 2] = ["paused-answer", "paused-result"];
/// Those that nothing happens to.
const OTHERS: [&str; 3] = ["one", "two", "three"];

/// The effect writes a name down where it is not written yet: so each name stands there once. All runs are noted beside.
/// At the point an object is named after, the program kills itself, or waits until it is killed.
fn mortal(world: &Path) -> String {
    let world = world.display();
    format!(
        r#"cd {world}
die() {{ [ "$name" != "$1" ] || [ -e "died-$1" ] || {{ : >"died-$1"; kill -9 $$; }}; }}
pause() {{ [ "$name" != "paused-$1" ] || [ -e "gone-on-$1" ] || {{ : >"at-$1"; until [ -e "stopped-$1" ]; do sleep 0.05; done; }}; }}
gone() {{ [ "$name" != "paused-$1" ] || [ -e "gone-on-$1" ] || {{ : >"gone-on-$1"; exec sleep 1000; }}; }}
half() {{ [ "$name" != "$1" ] || [ -e "died-$1" ] || {{ : >"died-$1"; printf '{{"id":%s,' "$id"; kill -9 $$; }}; }}
secret() {{ printf '{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"%s"}}}}' "$name"; }}
name=start; die start
while read -r line; do
    id=${{line##*'"id":'}} id=${{id%%[!0-9]*}}
    case "$line" in
    *'"token":'*)
        name=${{line##*'"input":"'}} name=${{name%%\"*}}
        die effect
        echo "$name" >>runs
        grep -qx "$name" deeds || echo "$name" >>deeds
        die deed; half halfresult; pause result
        echo "{{\"id\":$id,\"result\":\"$name\"}}"
        die result; gone result;;
    *)
        name=${{line##*'"name":"'}} name=${{name%%\"*}}
        case "$line" in *'"mortal":"yes"'*) ;; *) echo "{{\"id\":$id,\"state\":\"Seen\"}}"; continue;; esac
        die question; half half; pause answer
        case "$line" in *'"done":true'*) state=SeenAgain;; *) state=Seen;; esac
        echo "{{\"id\":$id,\"state\":\"$state\",\"apply\":[$(secret)],\"effects\":[{{\"effect\":\"write\",\"key\":\"k\",\"input\":\"$name\"}}]}}"
        die answer; gone answer;;
    esac
done"#
    )
}

fn lines(world: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(world.join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// How often each stands there.
fn counted(lines: &[String]) -> BTreeMap<&str, usize> {
    lines.iter().fold(BTreeMap::new(), |mut counts, line| {
        *counts.entry(line.as_str()).or_default() += 1;
        counts
    })
}

fn signal(signal: &str, cluster: &Cluster) -> Result<()> {
    let pid = cluster.process_id().context("sampan runs")?.to_string();
    run(Command::new("kill").args([signal, &pid]), "")?.succeeded().map(drop)
}

/// Kills Sampan when a line of the program is written and cannot have been read: it is stopped before.
fn kill_with_a_line_under_way(cluster: &mut Cluster, world: &Path, what: &str) -> Result<()> {
    eventually(&format!("the program is at its {what}"), SOON, || {
        Ok(world.join(format!("at-{what}")).exists().then_some(()))
    })?;
    signal("-STOP", cluster)?;
    std::fs::write(world.join(format!("stopped-{what}")), "")?;
    let written = world.join(format!("gone-on-{what}"));
    eventually(&format!("its {what} is written"), SOON, || Ok(written.exists().then_some(())))?;
    cluster.kill()?;
    cluster.up()
}

/// The secrets, each with the revision it was changed last and its identity.
fn secrets(cluster: &Cluster) -> Result<BTreeMap<String, (String, String)>> {
    let text = |secret: &Value, at: &str| secret.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = |secret: &Value| {
        (text(secret, "/metadata/name"), (text(secret, "/metadata/resourceVersion"), text(secret, "/metadata/uid")))
    };
    Ok(cluster.list("/api/v1/namespaces/default/secrets")?.iter().map(of).collect())
}

fn done(cluster: &Cluster) -> Result<usize> {
    let effects = cluster.list("/apis/sampan.dev/v1/effects")?;
    Ok(effects.iter().filter(|effect| effect.pointer("/status/phase").is_some_and(|phase| phase == "Done")).count())
}

#[test]
fn a_plugin_killed_at_every_message_loses_nothing_and_does_nothing_twice() -> Result<()> {
    let world = tempfile::tempdir()?;
    std::fs::set_permissions(world.path(), std::fs::Permissions::from_mode(0o777))?;
    for file in ["runs", "deeds"] {
        // After a restart the program may run as another user.
        std::fs::write(world.path().join(file), "")?;
        std::fs::set_permissions(world.path().join(file), std::fs::Permissions::from_mode(0o666))?;
    }
    let more = "  effects: [{name: write, deadlineSeconds: 60}]\n  owns: [{apiVersion: v1, kind: Secret}]\n";
    let manifest =
        plugin("mortal", &mortal(world.path()), more).replace("deadlineSeconds: 1\n", "deadlineSeconds: 60\n");
    let mut cluster = Setup::simulated(1).with_manifest("mortal.yaml", &manifest).start()?;
    let names: Vec<&str> = DEATHS.into_iter().chain(OTHERS).chain(PAUSES).collect();
    for name in DEATHS.into_iter().chain(OTHERS) {
        cluster.kubectl(&["create", "configmap", name, "--from-literal=mortal=yes"])?;
    }
    let all_but_pauses = DEATHS.len() + OTHERS.len();
    eventually("all is done", SOON, || Ok((done(&cluster)? == all_but_pauses).then_some(())))?;
    for (what, name) in ["answer", "result"].into_iter().zip(PAUSES) {
        cluster.kubectl(&["create", "configmap", name, "--from-literal=mortal=yes"])?;
        kill_with_a_line_under_way(&mut cluster, world.path(), what)?;
    }
    eventually("all is done after all", SOON, || Ok((done(&cluster)? == names.len()).then_some(())))?;
    for name in &names {
        eventually(&format!("the program has seen that {name} is done"), SOON, || {
            Ok(cluster.sampan(&["why", &format!("configmap/{name}")])?.stdout.contains("→ SeenAgain").then_some(()))
        })?;
    }

    // It did die at each point, and `history` says so of the objects it was asked about.
    for point in DEATHS.into_iter().chain(["start"]) {
        ensure!(world.path().join(format!("died-{point}")).exists(), "it never died at {point}");
    }
    for name in ["question", "half"] {
        cluster.sampan(&["history", &format!("configmap/{name}")])?.says("the plugin answers: it")?;
    }
    let once: BTreeMap<&str, usize> = names.iter().map(|name| (*name, 1)).collect();
    let (deeds, runs) = (lines(world.path(), "deeds"), lines(world.path(), "runs"));
    ensure!(counted(&deeds) == once, "each deed is done, and once: {deeds:?}");
    for name in ["deed", "halfresult", "paused-result"] {
        ensure!(counted(&runs).get(name) > Some(&1), "{name} is run again, because nobody knew of it: {runs:?}");
    }
    let made = secrets(&cluster)?;
    ensure!(made.keys().map(String::as_str).eq(once.keys().copied()), "each secret is made: {made:?}");

    // Asked again about all of it, by another process of it, it does nothing more.
    let pid = status(&cluster, "mortal")?.get("pid").and_then(Value::as_u64).context("it runs")?;
    run(Command::new("kill").args(["-9", &pid.to_string()]), "")?.succeeded()?;
    cluster.kubectl(&["label", "configmap", "--all", "again=yes"])?;
    cluster.kubectl(&["create", "configmap", "last", "--from-literal=mortal=yes"])?;
    eventually("it goes on", SOON, || Ok((done(&cluster)? == names.len() + 1).then_some(())))?;
    let again = secrets(&cluster)?;
    ensure!(made.iter().all(|(name, secret)| again.get(name) == Some(secret)), "{made:?} became {again:?}");
    let (more, last) = (lines(world.path(), "runs"), "last".to_owned());
    ensure!(more.iter().filter(|run| **run != last).eq(runs.iter()), "{runs:?} became {more:?}");
    Ok(())
}

#[test]
fn a_plugin_that_is_replaced_in_the_middle_of_its_work_leaves_none_of_it_undone() -> Result<()> {
    let world = tempfile::tempdir()?;
    std::fs::set_permissions(world.path(), std::fs::Permissions::from_mode(0o777))?;
    let more = "  files: [version]\n  owns: [{apiVersion: v1, kind: Secret}]\n";
    let script = format!(
        r#"version=$(cat version)
while read -r line; do
    id=${{line##*'"id":'}} id=${{id%%[!0-9]*}} name=${{line##*'"name":"'}} name=${{name%%\"*}}
    [ "$name$version" != map-5old ] || {{ : >{}/asked; exec sleep 1000; }}
    echo "{{\"id\":$id,\"state\":\"Seen\",\"apply\":[{{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{{\"name\":\"$name\"}},\"stringData\":{{\"by\":\"$version\"}}}}]}}"
done"#,
        world.path().display()
    );
    let manifest = plugin("roller", &script, more).replace("deadlineSeconds: 1\n", "deadlineSeconds: 300\n");
    let cluster = Setup::simulated(1).start()?;
    let maps: Vec<String> = (0..10).map(|number| format!("map-{number}")).collect();
    for map in &maps {
        cluster.kubectl(&["create", "configmap", map])?;
    }
    cluster.write_manifest("roller/version", "old")?;
    cluster.write_manifest("roller/plugin.yaml", &manifest)?;
    eventually("a question is under way", SOON, || Ok(world.path().join("asked").exists().then_some(())))?;
    cluster.write_manifest("roller/version", "new")?;
    eventually("the new program has done all of it", SOON, || {
        let found = cluster.list("/api/v1/namespaces/default/secrets")?;
        let by_new = found.iter().filter(|secret| secret.pointer("/data/by").is_some_and(|by| by == "bmV3"));
        Ok((by_new.count() > maps.len()).then_some(()))
    })?;
    ensure!(status(&cluster, "roller")?.get("restarts") == Some(&0.into()), "nobody had to wait for the old one");
    Ok(())
}
