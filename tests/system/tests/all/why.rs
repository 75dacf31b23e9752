//! `sampan why`, `status`, `graph`: the questions a user asks, answered from decisions.

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Cluster, Run, Setup, eventually};

use crate::workloads::wait_for_rollout;

pub(crate) fn delete_all_events(cluster: &Cluster) -> Result<()> {
    cluster.kubectl(&["delete", "events", "--all", "-A"])?;
    ensure!(cluster.list("/api/v1/events")?.is_empty(), "there are still events");
    Ok(())
}

#[test]
fn why_leads_from_the_deployment_to_the_manifest_line_and_the_pods_without_any_event() -> Result<()> {
    let cluster = Setup::simulated(2).with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    delete_all_events(&cluster)?;
    let why = cluster.sampan(&["why", "deploy/web"])?.succeeded()?.says("web.yaml:1")?;
    for pod in &pods {
        let name = pod.pointer("/metadata/name").and_then(|name| name.as_str()).unwrap_or_default();
        ensure!(why.stdout.contains(name), "why does not reach {name}:\n{}", why.stdout);
    }
    let machine = cluster.sampan(&["why", "deploy/web", "-o", "json"])?.succeeded()?;
    machine.json().map(drop)
}

#[test]
fn why_names_the_user_where_no_manifest_stands_behind_an_object() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    cluster.try_kubectl(&["create", "-f", "-"], &web("sampan-demo:v1", 1))?.succeeded()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 1)?;
    delete_all_events(&cluster)?;
    cluster.sampan(&["why", "deploy/web"])?.succeeded()?.says("kubectl").map(drop)
}

#[test]
fn why_names_what_is_waited_for_with_its_values() -> Result<()> {
    let never = web("sampan-demo:v1", 2)
        .replace("      containers:", "      nodeSelector: {place: nowhere}\n      containers:");
    let cluster = Setup::simulated(1).with_manifest("web.yaml", &never).start()?;
    let waiting = eventually("why names the guard", SOON, || {
        let why = cluster.sampan(&["why", "deploy/web"])?;
        Ok((why.code == 0 && why.stdout.contains("available 0")).then_some(why.stdout))
    })?;
    ensure!(waiting.contains("waiting for"), "{waiting}");
    let pods = cluster.list(crate::workloads::PODS)?;
    let name = pods.first().and_then(|pod| pod.pointer("/metadata/name")?.as_str()).unwrap_or_default();
    let why = cluster.sampan(&["why", &format!("pod/{name}")])?.succeeded()?;
    ensure!(why.stdout.contains("nodes") || why.stdout.contains("nodeSelector"), "{}", why.stdout);
    Ok(())
}

#[test]
fn why_of_what_is_not_there_fails_and_says_so() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    cluster.sampan(&["why", "deploy/nothing"])?.failed()?.complains("nothing")?;
    cluster.sampan(&["why", "nonsense"])?.failed().map(drop)
}

#[test]
fn history_tells_the_decisions_in_order_with_what_they_did() -> Result<()> {
    let cluster = Setup::simulated(1).with_manifest("web.yaml", &web("sampan-demo:v1", 1)).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 1)?;
    let told = cluster.sampan(&["history", "deploy/web"])?.succeeded()?;
    let first = told.stdout.find("first observation").context("the first decision is not told")?;
    let created = told.stdout.find("create replicasets.apps/default/web-").context("what was created is not told")?;
    ensure!(first < created, "{}", told.stdout);
    let machine = cluster.sampan(&["history", "deploy/web", "-o", "json"])?.succeeded()?.json()?;
    ensure!(machine.as_array().is_some_and(|decisions| decisions.len() > 1), "{machine}");
    cluster.sampan(&["history", "deploy/nothing"])?.failed()?.complains("nothing").map(drop)
}

#[test]
fn status_shows_files_nodes_and_workloads_and_is_readable_by_programs() -> Result<()> {
    let cluster = Setup::simulated(2).with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    cluster.sampan(&["status"])?.succeeded()?.says("web.yaml")?;
    cluster.sampan(&["status", "-o", "json"])?.succeeded()?.json().map(drop)
}

#[test]
fn every_operator_draws_its_machine() -> Result<()> {
    for operator in ["replicaset", "deployment", "namespace", "garbagecollector", "scheduler"] {
        let mut graph = std::process::Command::new(sampan_system_tests::cluster::sampan_binary());
        let graph = sampan_system_tests::run(graph.args(["graph", operator]), "")?.succeeded()?;
        ensure!(graph.stdout.contains("stateDiagram") && graph.stdout.contains("-->"), "{operator}: {}", graph.stdout);
    }
    Ok(())
}

#[test]
fn every_command_has_help_and_an_unknown_one_fails() -> Result<()> {
    let sampan = |arguments: &[&str]| -> Result<Run> {
        let mut command = std::process::Command::new(sampan_system_tests::cluster::sampan_binary());
        sampan_system_tests::run(command.args(arguments), "")
    };
    for command in ["up", "down", "status", "plan", "why", "history", "replay", "graph", "kubeconfig", "version"] {
        sampan(&[command, "--help"])?.succeeded()?.says("Usage:")?;
    }
    sampan(&["version"])?.succeeded()?.says(env!("CARGO_PKG_VERSION"))?;
    sampan(&["sail"])?.failed().map(drop)
}

#[test]
fn a_command_without_a_cluster_fails_and_says_how_to_start_one() -> Result<()> {
    let nowhere = tempfile::tempdir()?;
    let data = nowhere.path().join("data");
    for command in [vec!["status"], vec!["why", "deploy/web"], vec!["kubeconfig"]] {
        let mut sampan = std::process::Command::new(sampan_system_tests::cluster::sampan_binary());
        sampan.args(&command).arg("--data").arg(&data);
        sampan_system_tests::run(&mut sampan, "")?.failed()?.complains("sampan up")?;
    }
    Ok(())
}

#[test]
fn replay_makes_the_decisions_again_and_they_are_the_same() -> Result<()> {
    let cluster = Setup::simulated(2).with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    cluster.kubectl(&["scale", "deploy/web", "--replicas=3"])?;
    let set = cluster.list("/apis/apps/v1/namespaces/default/replicasets")?;
    let set = set.first().and_then(|set| set.pointer("/metadata/name")?.as_str()).context("there is no set")?;
    for object in ["deploy/web".to_owned(), format!("rs/{set}")] {
        let told = cluster.sampan(&["replay", &object])?.succeeded()?.says("again      the same")?;
        ensure!(told.stdout.contains(", 0 otherwise, 0 cannot be made again"), "{}", told.stdout);
    }
    let pod = cluster.list(crate::workloads::PODS)?;
    let pod = pod.first().and_then(|pod| pod.pointer("/metadata/name")?.as_str()).context("there is no pod")?;
    let told = cluster.sampan(&["replay", &format!("pod/{pod}"), "-o", "json"])?.succeeded()?.json()?;
    let came = |operator: &str| {
        let of = |it: &&serde_json::Value| it.pointer("/decision/operator").is_some_and(|by| by == operator);
        let first = told.as_array().into_iter().flatten().find(of);
        first.and_then(|it| it.pointer("/again/came")?.as_str()).unwrap_or_default().to_owned()
    };
    ensure!(came("scheduler") == "same", "{told:#}");
    cluster.sampan(&["replay", "deploy/web", "--to", "1"])?.failed()?.complains("nothing is remembered").map(drop)
}
