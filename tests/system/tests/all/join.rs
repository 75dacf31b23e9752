//! Machines that join: nodes in processes of their own, over TLS.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::docker::{containers_of, started};
use sampan_system_tests::manifest::pod;
use sampan_system_tests::node::{Place, join_command};
use sampan_system_tests::{Node, Setup, eventually};
use serde_json::Value;

use crate::workloads::PODS;

#[test]
fn a_machine_joins_with_a_token_and_runs_pods() -> Result<()> {
    let cluster = Setup::without_node().start()?;
    let mut node = Node::join(&cluster, "second", Place::here())?;
    let shown = cluster.kubectl(&["get", "csr", "--no-headers"])?;
    ensure!(shown.contains("system:bootstrap:") && shown.contains("Approved,Issued"), "{shown}");

    cluster.try_kubectl(&["create", "-f", "-"], &pod("there", &[]))?.succeeded()?;
    cluster.kubectl(&["wait", "pod/there", "--for=condition=Ready", "--timeout=60s"])?;
    let on = cluster.kubectl(&["get", "pod", "there", "-o", "jsonpath={.spec.nodeName}"])?;
    ensure!(on == "second", "{on}");
    eventually("its log is read over TLS", SOON, || {
        Ok(cluster.try_kubectl(&["logs", "there"], "")?.succeeded()?.stdout.contains("listening on port").then_some(()))
    })?;
    let said = cluster.kubectl(&["exec", "there", "--", "/demo", "get", "127.0.0.1:8080/"])?;
    ensure!(said.contains("Hello from there"), "{said}");
    let stats = cluster.kubectl(&["get", "--raw", "/api/v1/nodes/second/proxy/stats/summary"])?;
    ensure!(stats.contains("\"there\""), "{stats}");

    let pod = cluster.object(&format!("{PODS}/there"))?.context("no pod")?;
    let before = started(containers_of(&pod)?.first().context("no container")?)?;
    node.kill()?;
    node.spawn(&[])?;
    node.wait_until_ready(&cluster)?;
    eventually("the node answers again", SOON, || {
        Ok(cluster.try_kubectl(&["exec", "there", "--", "/demo", "echo", "again"], "")?.succeeded().ok())
    })?;
    ensure!(started(&before.id)? == before, "a restart of the node restarts no container");
    Ok(())
}

#[test]
fn who_has_no_good_token_or_meets_another_server_does_not_join() -> Result<()> {
    let cluster = Setup::without_node().start()?;
    let words = join_command(&cluster)?;
    let swapped = |flag: &str, value: &str| -> Vec<String> {
        let at = words.iter().position(|word| word == flag).expect("the command has it");
        words
            .iter()
            .enumerate()
            .map(|(index, word)| if index == at + 1 { value.to_owned() } else { word.clone() })
            .collect()
    };
    let stranger = format!("sha256:{}", "0".repeat(64));
    let cases = [
        (swapped("--token", "aaaaaa.bbbbbbbbbbbbbbbb"), "Unauthorized"),
        (swapped("--ca-hash", &stranger), "UnknownIssuer"),
    ];
    for (words, expect) in cases {
        let mut node = Node::new("stranger", Place::here())?;
        node.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        let said = node.wait_until_ended()?;
        ensure!(said.contains(expect), "{expect}: {said}");
    }
    ensure!(cluster.object("/api/v1/nodes/stranger")?.is_none(), "nobody has joined");
    Ok(())
}

#[test]
fn the_name_of_a_node_that_is_there_is_given_to_who_is_approved_alone() -> Result<()> {
    let cluster = Setup::without_node().start()?;
    let first = Node::join(&cluster, "mine", Place::here())?;
    let key = first.data().join("pki/node.pem");
    ensure!(std::fs::metadata(&key)?.permissions().mode() & 0o777 == 0o600, "the key is its owner's alone");
    let mut second = Node::new("mine", Place::here())?;
    let words = join_command(&cluster)?;
    second.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let waiting = eventually("a request waits", SOON, || {
        let requests = cluster.list("/apis/certificates.k8s.io/v1/certificatesigningrequests")?;
        let open = requests
            .into_iter()
            .find(|it| it.pointer("/status/conditions").is_none_or(|it| it == &Value::Array(vec![])));
        Ok(open.and_then(|it| it.pointer("/metadata/name")?.as_str().map(str::to_owned)))
    })?;
    drop(first);
    cluster.kubectl(&["certificate", "approve", &waiting])?;
    second.wait_until_ready(&cluster)
}
