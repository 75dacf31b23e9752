//! Pods on real Docker: rolling, dying, failing their probes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::docker::{containers_of, docker, started};
use sampan_system_tests::manifest::{pod, web};
use sampan_system_tests::{Cluster, Setup, eventually, while_holding};
use serde_json::Value;

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

/// The pods of the Deployment that are not on their way out.
pub(crate) fn web_pods(cluster: &Cluster) -> Result<Vec<Value>> {
    let pods = cluster.list(&format!("{PODS}?labelSelector=app%3Dweb"))?;
    Ok(pods.into_iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none()).collect())
}

/// Waits until the Deployment runs `replicas` of `image`, and no other.
pub(crate) fn wait_for_rollout(cluster: &Cluster, image: &str, replicas: usize) -> Result<Vec<Value>> {
    eventually(&format!("{replicas} ready pods of {image}"), SOON, || {
        let pods = cluster.list(&format!("{PODS}?labelSelector=app%3Dweb"))?;
        let good = pods.iter().filter(|pod| is_ready(pod) && image_of(pod) == Some(image)).count();
        let deployment = cluster.object(WEB)?.context("no deployment")?;
        let counted = deployment.pointer("/status/availableReplicas").and_then(Value::as_u64) == Some(replicas as u64);
        Ok((counted && good == replicas && pods.len() == replicas).then_some(pods))
    })
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    sampan_system_tests::cluster::condition(pod, "Ready") == Some("True")
}

fn image_of(pod: &Value) -> Option<&str> {
    pod.pointer("/spec/containers/0/image")?.as_str()
}

fn restarts(pod: &Value) -> Option<u64> {
    pod.pointer("/status/containerStatuses/0/restartCount")?.as_u64()
}

/// Every event of a watch from `revision` to now.
pub(crate) fn changes_since(cluster: &Cluster, path: &str, revision: &str) -> Result<Vec<Value>> {
    let answer = cluster.api()?.get(&format!("{path}?watch=true&resourceVersion={revision}&timeoutSeconds=1"))?;
    let lines = answer.text();
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no event: {line}"))).collect()
}

#[test]
fn a_roll_from_v1_to_v2_never_falls_below_its_bound() -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    let before = cluster.object(PODS)?.context("no pods")?;
    let revision = before.pointer("/metadata/resourceVersion").and_then(Value::as_str).context("no revision")?;
    cluster.write_manifest("web.yaml", &web("sampan-demo:v2", 2))?;
    wait_for_rollout(&cluster, "sampan-demo:v2", 2)?;

    let mut available = Vec::new();
    for change in changes_since(&cluster, "/apis/apps/v1/namespaces/default/deployments", revision)? {
        available.push(change.pointer("/object/status/availableReplicas").and_then(Value::as_u64).unwrap_or(0));
    }
    ensure!(available.len() > 2, "the roll left no trace: {available:?}");
    ensure!(available.iter().all(|count| *count >= 2), "available fell below 2: {available:?}");

    let mut ready = std::collections::BTreeMap::new();
    for pod in before.pointer("/items").and_then(Value::as_array).context("no items")? {
        ready.insert(pod.pointer("/metadata/name").map(Value::to_string), is_ready(pod));
    }
    let mut most = 0;
    for change in changes_since(&cluster, PODS, revision)? {
        let pod = change.get("object").context("no object")?;
        let name = pod.pointer("/metadata/name").map(Value::to_string);
        match change.get("type").and_then(Value::as_str) {
            Some("DELETED") => ready.remove(&name),
            _ => ready.insert(name, is_ready(pod)),
        };
        ensure!(ready.values().filter(|ready| **ready).count() >= 2, "fewer than 2 pods were ready: {ready:?}");
        most = most.max(ready.len());
    }
    ensure!(most >= 3, "no third pod was ever there, so nothing rolled");
    Ok(())
}

#[test]
fn a_deleted_manifest_stops_its_containers() -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    let containers: Vec<String> = pods.iter().map(containers_of).collect::<Result<Vec<_>>>()?.concat();
    ensure!(containers.len() == 2, "{containers:?}");
    cluster.delete_manifest("web.yaml")?;
    eventually("the pods are gone", SOON, || Ok(cluster.list(PODS)?.is_empty().then_some(())))?;
    eventually("the containers are gone", SOON, || {
        Ok(containers.iter().all(|id| docker(&["inspect", id]).is_err()).then_some(()))
    })
}

#[test]
fn a_killed_container_is_started_again_in_the_same_pod() -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    let victim = pods.first().context("no pod")?;
    let path = format!("{PODS}/{}", victim.pointer("/metadata/name").and_then(Value::as_str).context("no name")?);
    let container = containers_of(victim)?.concat();
    docker(&["kill", &container])?;
    let after = eventually("the container runs again", SOON, || {
        let pod = cluster.object(&path)?.context("the pod is gone")?;
        Ok((restarts(&pod) == Some(1) && is_ready(&pod)).then_some(pod))
    })?;
    ensure!(after.pointer("/metadata/uid") == victim.pointer("/metadata/uid"), "the pod was replaced");
    let last = after.pointer("/status/containerStatuses/0/lastState/terminated/exitCode").and_then(Value::as_u64);
    ensure!(last == Some(137), "the last state hides the kill: {last:?}");
    wait_for_rollout(&cluster, "sampan-demo:v1", 2).map(drop)
}

#[test]
fn a_deleted_pod_is_replaced() -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &web("sampan-demo:v1", 2)).start()?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    let name = pods.first().and_then(|pod| pod.pointer("/metadata/name")?.as_str()).context("no name")?;
    cluster.kubectl(&["delete", "pod", name])?;
    let after = wait_for_rollout(&cluster, "sampan-demo:v1", 2)?;
    ensure!(
        after.iter().all(|pod| pod.pointer("/metadata/name").and_then(Value::as_str) != Some(name)),
        "it is still there"
    );
    Ok(())
}

#[test]
fn a_failing_readiness_probe_takes_the_pod_out_and_a_failing_liveness_probe_restarts_it() -> Result<()> {
    let probed = web("sampan-demo:v1", 1).replace(
        "          readinessProbe:",
        "          livenessProbe:\n            exec:\n              command: [/demo, get, 'http://127.0.0.1:8080/healthz']\n            \
         periodSeconds: 1\n            failureThreshold: 2\n          readinessProbe:",
    );
    let cluster = Setup::docker().with_manifest("web.yaml", &probed).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 1)?;
    let get =
        |path: &str| cluster.kubectl(&["exec", "deploy/web", "--", "/demo", "get", &format!("127.0.0.1:8080{path}")]);
    get("/fail/ready")?;
    eventually("the pod is not ready", SOON, || {
        let pods = web_pods(&cluster)?;
        Ok((pods.len() == 1 && !pods.iter().any(is_ready)).then_some(()))
    })?;
    ensure!(web_pods(&cluster)?.iter().all(|pod| restarts(pod) == Some(0)), "an unready pod was restarted");
    get("/recover")?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 1)?;
    get("/fail/live")?;
    eventually("the container was restarted", SOON, || {
        Ok(web_pods(&cluster)?.iter().any(|pod| restarts(pod) == Some(1) && is_ready(pod)).then_some(()))
    })
}

#[test]
fn a_pod_that_ends_stays_ended_and_a_crashing_one_backs_off() -> Result<()> {
    let crashing = pod("crashing", &["exit", "3"]).replace("restartPolicy: Never", "restartPolicy: Always");
    let cluster = Setup::docker()
        .with_manifest("done.yaml", &pod("done", &["echo", "good"]))
        .with_manifest("failed.yaml", &pod("failed", &["exit", "7"]))
        .with_manifest("crashing.yaml", &crashing)
        .start()?;
    for (name, phase, code) in [("done", "Succeeded", 0), ("failed", "Failed", 7)] {
        let ended = eventually(&format!("{name} is {phase}"), SOON, || {
            let pod = cluster.object(&format!("{PODS}/{name}"))?.context("no pod")?;
            Ok((pod.pointer("/status/phase").and_then(Value::as_str) == Some(phase)).then_some(pod))
        })?;
        let exit = ended.pointer("/status/containerStatuses/0/state/terminated/exitCode").and_then(Value::as_u64);
        ensure!(exit == Some(code), "{name} ended with {exit:?}");
    }
    eventually("the crashing pod backs off", SOON, || {
        let pod = cluster.object(&format!("{PODS}/crashing"))?.context("no pod")?;
        let reason = pod.pointer("/status/containerStatuses/0/state/waiting/reason").and_then(Value::as_str);
        Ok((reason == Some("CrashLoopBackOff") && restarts(&pod) >= Some(1)).then_some(()))
    })
}

#[test]
fn an_edited_config_map_reaches_the_mounted_file_and_no_container_restarts() -> Result<()> {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  colour: blue\n---\n";
    let mounted = pod("reader", &["sleep", "600"]).replace(
        "      image:",
        "      volumeMounts:\n        - {name: settings, mountPath: /settings}\n        - {name: scratch, mountPath: /scratch}\n      image:",
    ) + "  volumes:\n    - name: settings\n      configMap: {name: settings}\n    - name: scratch\n      emptyDir: {}\n";
    let cluster = Setup::docker().with_manifest("reader.yaml", &format!("{text}{mounted}")).start()?;
    let read = || cluster.kubectl(&["exec", "reader", "--", "/demo", "cat", "/settings/colour"]);
    eventually("the file is mounted", SOON, || Ok((read()? == "blue").then_some(())))?;
    let pod = cluster.object(&format!("{PODS}/reader"))?.context("no pod")?;
    let before = started(&containers_of(&pod)?.concat())?;
    cluster.write_manifest("reader.yaml", &format!("{}{mounted}", text.replace("blue", "red")))?;
    eventually("the file follows", Duration::from_secs(90), || Ok((read()? == "red").then_some(())))?;
    ensure!(started(&before.id)? == before, "the container was restarted");
    Ok(())
}

#[test]
fn a_pod_no_node_can_hold_says_why() -> Result<()> {
    let large = pod("large", &["sleep", "60"])
        .replace("      image:", "      resources: {requests: {cpu: '4000'}}\n      image:");
    let cluster = Setup::simulated(2).with_manifest("large.yaml", &large).start()?;
    let why = eventually("the pod says why it waits", SOON, || {
        let pod = cluster.object(&format!("{PODS}/large"))?.context("no pod")?;
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let scheduled =
            conditions.into_iter().find(|one| one.get("reason").and_then(Value::as_str) == Some("Unschedulable"));
        Ok(scheduled.and_then(|one| one.get("message").and_then(Value::as_str).map(str::to_owned)))
    })?;
    ensure!(why.contains("0/2 nodes") && why.contains("cpu"), "{why}");
    while_holding(Duration::from_secs(1), || {
        let pod = cluster.object(&format!("{PODS}/large"))?.context("no pod")?;
        ensure!(pod.pointer("/spec/nodeName").is_none(), "it was placed all the same");
        Ok(())
    })
}
