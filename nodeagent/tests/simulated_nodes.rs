//! Simulated nodes: the same pod machine and the same HTTP path, another runtime.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "a test that cannot go on fails")]

mod support;

use std::time::Instant;

use sampan_nodeagent::SimulatedNodes;
use serde_json::json;
use support::{FakeApi, condition};
use tokio_util::sync::CancellationToken;

fn add_pods(api: &FakeApi, nodes: usize, pods: usize) {
    for index in 0..pods {
        api.add(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("web-{index}"), "namespace": "default"},
                "spec": {"nodeName": format!("sim-{}", index % nodes), "containers": [{"name": "app", "image": "app:v1"}]},
            }),
        );
    }
}

async fn until_ready(api: &FakeApi, pods: usize) {
    let deadline = Instant::now() + support::DEADLINE;
    loop {
        let ready = api.all("pods").iter().filter(|pod| condition(pod, "Ready") == "True").count();
        if ready == pods {
            return;
        }
        assert!(Instant::now() < deadline, "{ready} of {pods} pods are ready");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_comes_up_at_once_is_told_in_one_patch_with_its_decision() {
    let api = FakeApi::new();
    let stop = CancellationToken::new();
    let nodes = tokio::spawn(SimulatedNodes::new(10, api.client()).run(stop.clone()));
    add_pods(&api, 10, 100);
    until_ready(&api, 100).await;
    for index in 0..100 {
        assert_eq!(api.status_patches(&format!("web-{index}")).len(), 1);
    }
    assert_eq!(api.all("nodes").len(), 10);
    assert!(api.decisions().iter().all(|decision| decision["from"] == "Unobserved" && decision["to"] == "Ready"));
    assert_eq!(api.decisions().len(), 100);
    for index in 0..100 {
        api.delete_pod(&format!("web-{index}"), 30);
    }
    let deadline = Instant::now() + support::DEADLINE;
    while !api.all("pods").is_empty() {
        assert!(Instant::now() < deadline, "every pod goes");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stop.cancel();
    nodes.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_at_rest_write_only_their_leases() {
    let api = FakeApi::new();
    let stop = CancellationToken::new();
    let nodes = tokio::spawn(SimulatedNodes::new(3, api.client()).run(stop.clone()));
    add_pods(&api, 3, 9);
    until_ready(&api, 9).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let others = |api: &FakeApi| -> Vec<serde_json::Value> {
        ["pods", "nodes", "events"].iter().flat_map(|resource| api.all(resource)).collect()
    };
    let before = others(&api);
    let leases = api.all("leases");
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    assert_eq!(others(&api), before);
    assert_ne!(api.all("leases"), leases, "leases are renewed");
    stop.cancel();
    nodes.await.unwrap().unwrap();
}
