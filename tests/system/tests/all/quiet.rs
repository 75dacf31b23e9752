//! At rest nothing happens: no polling, no rewriting of what has not changed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::manifest::{pod, web};
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::Value;

use crate::workloads::wait_for_rollout;

/// How long the cluster is watched at rest.
const AT_REST: Duration = Duration::from_mins(1);
/// The time things may take to settle after the last pod turned ready.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

fn head(cluster: &Cluster) -> Result<u64> {
    let leases = cluster.object("/apis/coordination.k8s.io/v1/leases")?.context("no leases")?;
    let revision = leases.pointer("/metadata/resourceVersion").and_then(Value::as_str).context("no revision")?;
    Ok(revision.parse()?)
}

/// The revisions of the leases written after `from` during `length`, in order.
fn lease_revisions(cluster: &Cluster, from: u64, length: Duration) -> Result<Vec<u64>> {
    let seconds = length.as_secs();
    let path =
        format!("/apis/coordination.k8s.io/v1/leases?watch=true&resourceVersion={from}&timeoutSeconds={seconds}");
    // kubectl keeps the connection for as long as the server does.
    let events = cluster.kubectl(&["get", "--raw", &path])?;
    let mut revisions = Vec::new();
    for line in events.lines() {
        let event: Value = serde_json::from_str(line)?;
        let revision =
            event.pointer("/object/metadata/resourceVersion").and_then(Value::as_str).context("no revision")?;
        if event.get("type").and_then(Value::as_str) != Some("BOOKMARK") {
            revisions.push(revision.parse()?);
        }
    }
    Ok(revisions)
}

/// Revisions are dense: where every one of them is a lease's, nothing else was written.
fn only_leases_change(cluster: &Cluster) -> Result<()> {
    eventually("the cluster settles", SETTLED_WITHIN, || {
        let before = head(cluster)?;
        let leases = lease_revisions(cluster, before, Duration::from_secs(3))?;
        Ok((head(cluster)? <= before + leases.len() as u64).then_some(()))
    })?;
    let from = head(cluster)?;
    let leases = lease_revisions(cluster, from, AT_REST)?;
    let expected: Vec<u64> = (from + 1..).take(leases.len()).collect();
    ensure!(!leases.is_empty(), "no lease was renewed in {AT_REST:?}: is the node alive?");
    ensure!(leases == expected, "something but leases was written between {leases:?}");
    Ok(())
}

#[test]
fn a_cluster_at_rest_writes_leases_and_nothing_else() -> Result<()> {
    let cluster = Setup::docker()
        .with_manifest("web.yaml", &web("sampan-demo:v1", 2))
        .with_manifest("done.yaml", &pod("done", &["echo", "done"]))
        .start()?;
    eventually("the pods run", Duration::from_mins(1), || {
        Ok(cluster.list("/api/v1/namespaces/default/pods")?.len().eq(&3).then_some(()))
    })?;
    cluster.kubectl(&["wait", "deploy/web", "--for=condition=Available", "--timeout=60s"])?;
    only_leases_change(&cluster)
}

#[test]
fn a_simulated_cluster_at_rest_writes_leases_and_nothing_else() -> Result<()> {
    let cluster = Setup::simulated(3).with_manifest("web.yaml", &web("sampan-demo:v1", 5)).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 5)?;
    only_leases_change(&cluster)
}
