//! Kill -9, Ctrl-C, down: what a stop at any moment leaves, and what the next start makes of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::api::Credentials;
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::docker::{Started, containers_of, docker, started};
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::{Value, json};

use crate::workloads::{wait_for_rollout, web_pods};

/// Kills under load; the issue asks for this many.
const KILLS: usize = 200;
/// Clients writing while the process is killed.
const WRITERS: usize = 4;

/// What Docker says of every container of these pods, by pod uid.
fn identities(pods: &[Value]) -> Result<BTreeMap<String, Vec<Started>>> {
    let mut found = BTreeMap::new();
    for pod in pods {
        let uid = pod.pointer("/metadata/uid").and_then(Value::as_str).context("no uid")?;
        let containers = containers_of(pod)?.iter().map(|id| started(id)).collect::<Result<Vec<_>>>()?;
        found.insert(uid.to_owned(), containers);
    }
    Ok(found)
}

#[test]
fn a_restart_restarts_no_container() -> Result<()> {
    let mut cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    let before = identities(&wait_for_rollout(&cluster, "sampan-demo:v1", 2)?)?;
    let code = cluster.interrupt()?;
    ensure!(code == Some(0), "Ctrl-C ends with {code:?}");
    for container in before.values().flatten() {
        ensure!(&started(&container.id)? == container, "Ctrl-C touched a container");
    }
    cluster.up()?;
    let after = identities(&wait_for_rollout(&cluster, "sampan-demo:v1", 2)?)?;
    ensure!(before == after, "the restart touched a container: {before:?} {after:?}");
    Ok(())
}

#[test]
fn a_kill_in_the_middle_of_a_roll_is_finished_by_the_next_start() -> Result<()> {
    let mut cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 3)).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 3)?;
    cluster.write_manifest("web.yaml", &web("sampan-demo:v2", 3))?;
    eventually("the roll has begun and not ended", SOON, || {
        let pods = web_pods(&cluster)?;
        let is_new = |pod: &&Value| pod.to_string().contains("sampan-demo:v2");
        // A new pod that runs is one that must stay; an old one that is there still has to go.
        let running =
            pods.iter().filter(is_new).any(|pod| containers_of(pod).is_ok_and(|ids| !ids.concat().is_empty()));
        Ok((running && !pods.iter().all(|pod| is_new(&pod))).then_some(()))
    })?;
    cluster.kill()?;
    let at_the_kill = docker_view()?;
    cluster.up()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v2", 3)?;
    let mut stayed = 0;
    for container in identities(&pods)?.values().flatten() {
        if let Some(at) = at_the_kill.get(&container.id) {
            ensure!(at == &container.at, "a container that stayed was restarted: {container:?}, before {at}");
            stayed += 1;
        }
    }
    ensure!(stayed >= 1, "no container stayed over the kill, so nothing was adopted");
    Ok(())
}

/// Every running container and when it started.
fn docker_view() -> Result<BTreeMap<String, String>> {
    let mut view = BTreeMap::new();
    for id in docker(&["ps", "--no-trunc", "--quiet"])?.lines() {
        // Another test's container may go between the list and the question.
        if let Ok(container) = started(id) {
            view.insert(container.id, container.at);
        }
    }
    Ok(view)
}

#[test]
fn down_stops_the_pods_and_keeps_the_data_and_purge_removes_all() -> Result<()> {
    let mut cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    let uid = cluster.object(crate::workloads::WEB)?.and_then(|web| web.pointer("/metadata/uid").cloned());
    let containers: Vec<String> = pods.iter().map(containers_of).collect::<Result<Vec<_>>>()?.concat();
    cluster.sampan(&["down"])?.succeeded()?;
    cluster.kill()?;
    for id in &containers {
        let running = docker(&["inspect", "--format", "{{.State.Running}}", id]).unwrap_or_default();
        ensure!(running.trim() != "true", "{id} still runs after down");
    }
    cluster.up()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    let again = cluster.object(crate::workloads::WEB)?.and_then(|web| web.pointer("/metadata/uid").cloned());
    ensure!(uid == again, "down lost the data");
    cluster.sampan(&["down", "--purge"])?.succeeded()?;
    cluster.kill()?;
    ensure!(!cluster.data().exists(), "purge left the data folder");
    Ok(())
}

#[test]
fn what_a_cluster_has_left_on_docker_goes_though_its_folder_is_lost() -> Result<()> {
    let mut cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 1)).start()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 1)?;
    let containers: Vec<String> = pods.iter().map(containers_of).collect::<Result<Vec<_>>>()?.concat();
    let identity = std::fs::read_to_string(cluster.data().join("cluster-id"))?.trim().to_owned();
    cluster.kill()?;
    let aside = cluster.data().with_extension("aside");
    std::fs::rename(cluster.data(), &aside)?;
    let lost = cluster.sampan(&["down"])?;
    ensure!(lost.code != 0 && lost.stderr.contains(&identity), "down says of a lost folder: {lost:?}");
    let unknown = cluster.sampan(&["down", "--cluster", "nobody"])?;
    ensure!(unknown.code != 0 && unknown.stderr.contains(&identity), "down says of nobody: {unknown:?}");
    cluster.sampan(&["down", "--cluster", &identity])?.succeeded()?;
    for id in &containers {
        ensure!(docker(&["inspect", id]).is_err(), "{id} is still there");
    }
    std::fs::rename(aside, cluster.data())?;
    Ok(())
}

#[test]
fn a_start_right_after_a_kill_comes_up() -> Result<()> {
    let mut cluster = Setup::simulated(1).start()?;
    for _ in 0..5 {
        cluster.kill_without_waiting()?;
        cluster.up()?;
    }
    Ok(())
}

#[test]
fn a_second_start_on_the_same_data_is_refused_by_name() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let manifests = cluster.manifests().to_string_lossy().into_owned();
    let second =
        cluster.sampan(&["up", "--manifests", &manifests, "--listen", "127.0.0.1:0", "--simulate-nodes", "1"])?;
    second.failed()?.complains("already running")?.complains(&cluster.data().to_string_lossy()).map(drop)
}

#[test]
fn no_acknowledged_write_is_lost_over_two_hundred_kills() -> Result<()> {
    let mut cluster = Setup::simulated(1).start()?;
    let credentials = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?;
    let mut acknowledged = Vec::new();
    let started = Instant::now();
    for kill in 0..KILLS {
        acknowledged.extend(write_until_killed(&mut cluster, &credentials, kill)?);
        cluster.spawn()?;
        let missing = eventually("the API answers again", SOON, || {
            let mut api = credentials.connect();
            ensure!(api.get("/readyz")?.status == 200, "not ready");
            // Each start proves the writes of the life before it; the whole is compared at the end.
            let recent = acknowledged.iter().rev().take(20);
            let lost = recent.filter(|name| !exists(&mut api, name)).cloned().collect::<Vec<String>>();
            Ok(Some(lost))
        })?;
        ensure!(missing.is_empty(), "lost after kill {kill}: {missing:?}");
    }
    let kept = names(&cluster)?;
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !kept.contains(*name)).collect();
    println!("{KILLS} kills, {} acknowledged writes, {} lost, {:?}", acknowledged.len(), lost.len(), started.elapsed());
    ensure!(acknowledged.len() > KILLS, "too few writes to prove anything: {}", acknowledged.len());
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

fn exists(api: &mut sampan_system_tests::Api, name: &str) -> bool {
    api.get(&format!("/api/v1/namespaces/default/configmaps/{name}")).is_ok_and(|answer| answer.status == 200)
}

fn names(cluster: &Cluster) -> Result<std::collections::BTreeSet<String>> {
    let maps = cluster.list("/api/v1/namespaces/default/configmaps")?;
    Ok(maps.iter().filter_map(|map| Some(map.pointer("/metadata/name")?.as_str()?.to_owned())).collect())
}

/// Writes from several connections, kills the process in the middle, and gives the names that were acknowledged.
fn write_until_killed(cluster: &mut Cluster, credentials: &Credentials, kill: usize) -> Result<Vec<String>> {
    let stop = AtomicBool::new(false);
    // The moments differ from life to life, so that kills hit every phase of a group.
    let length = Duration::from_millis(20 + (kill as u64 * 37) % 90);
    std::thread::scope(|scope| {
        let stop = &stop;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(credentials, stop, kill, writer))).collect();
        std::thread::sleep(length);
        let killed = cluster.kill();
        stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.extend(writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?);
        }
        killed.map(|()| acknowledged)
    })
}

fn write(credentials: &Credentials, stop: &AtomicBool, kill: usize, writer: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut api = credentials.connect();
    for number in 0.. {
        let name = format!("w-{kill}-{writer}-{number}");
        let object = json!({"metadata": {"name": name}, "data": {"padding": "x".repeat(number * 61 % 2048)}});
        match api.create("/api/v1/namespaces/default/configmaps", &object) {
            Ok(answer) if answer.status == 201 => acknowledged.push(name),
            _ => break,
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    acknowledged
}

#[test]
fn a_container_that_died_while_sampan_was_away_is_started_again() -> Result<()> {
    let mut cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    let container = containers_of(pods.first().context("no pod")?)?.concat();
    cluster.kill()?;
    docker(&["kill", &container])?;
    cluster.up()?;
    let after = eventually("the dead container is replaced", SOON, || {
        let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
        let containers: Vec<String> = pods.iter().map(containers_of).collect::<Result<Vec<_>>>()?.concat();
        Ok((!containers.contains(&container)).then_some(pods))
    })?;
    let names = |pods: &[Value]| pods.iter().map(|pod| pod.pointer("/metadata/uid").cloned()).collect::<Vec<_>>();
    ensure!(names(&after) == names(&pods), "the pods were replaced, not their container started again");
    Ok(())
}
