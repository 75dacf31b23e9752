//! Pods on real Docker whose resources are changed while they run.

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::{SOON, condition};
use sampan_system_tests::docker::{containers_of, docker};
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::{Value, json};

use crate::workloads::{PODS, is_ready};

/// One container that takes new resources as it runs, one that starts again for more memory.
const MANIFEST: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default }
spec:
  containers:
    - name: calm
      image: sampan-demo:v1
      resources: { requests: { cpu: 100m, memory: 32Mi }, limits: { cpu: 200m, memory: 64Mi } }
    - name: proud
      image: sampan-demo:v1
      env: [{ name: PORT, value: "8081" }]
      resources: { limits: { memory: 64Mi } }
      resizePolicy: [{ resourceName: memory, restartPolicy: RestartContainer }]
"#;

fn pod(cluster: &Cluster) -> Result<Value> {
    cluster.object(&format!("{PODS}/web"))?.context("no pod")
}

fn resize(cluster: &Cluster, container: &str, resources: &Value) -> Result<()> {
    let patch = json!({"spec": {"containers": [{"name": container, "resources": resources}]}}).to_string();
    cluster.kubectl(&["patch", "pod", "web", "--subresource", "resize", "--patch", &patch]).map(drop)
}

/// What Docker gives the container: share and quota of CPU, bytes of memory.
fn given(pod: &Value, index: usize) -> Result<String> {
    let ids = containers_of(pod)?;
    let id = ids.get(index).context("no such container")?;
    docker(&["inspect", "-f", "{{.HostConfig.CpuShares}} {{.HostConfig.CpuQuota}} {{.HostConfig.Memory}}", id])
}

fn at<'p>(pod: &'p Value, index: usize, field: &str) -> Option<&'p Value> {
    pod.pointer(&format!("/status/containerStatuses/{index}{field}"))
}

/// The pod once nothing of a resize is left to do, and its status tells what its spec asks for.
fn wait_until_resized(cluster: &Cluster) -> Result<Value> {
    eventually("the pod is resized", SOON, || {
        let pod = pod(cluster)?;
        let told =
            |index: usize| at(&pod, index, "/resources") == pod.pointer(&format!("/spec/containers/{index}/resources"));
        let at_rest = ["PodResizePending", "PodResizeInProgress"].iter().all(|name| condition(&pod, name).is_none());
        Ok((told(0) && told(1) && at_rest && is_ready(&pod)).then_some(pod))
    })
}

#[test]
fn a_pod_is_resized_as_it_runs_and_waits_for_what_its_node_has_not() -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", MANIFEST).start()?;
    let before = wait_until_resized(&cluster)?;
    ensure!(at(&before, 0, "/allocatedResources/cpu") == Some(&json!("100m")), "{before}");

    resize(&cluster, "calm", &json!({"requests": {"cpu": "150m"}, "limits": {"cpu": "300m", "memory": "96Mi"}}))?;
    let after = wait_until_resized(&cluster)?;
    ensure!(given(&after, 0)?.trim() == format!("153 30000 {}", 96 << 20), "Docker gives {}", given(&after, 0)?);
    ensure!(containers_of(&after)? == containers_of(&before)?, "a container was replaced");
    ensure!(at(&after, 0, "/restartCount") == Some(&json!(0)), "{after}");
    ensure!(after.pointer("/metadata/generation") == Some(&json!(2)), "{after}");

    resize(&cluster, "proud", &json!({"limits": {"memory": "80Mi"}}))?;
    let after = wait_until_resized(&cluster)?;
    ensure!(given(&after, 1)?.trim().ends_with(&(80 << 20).to_string()), "Docker gives {}", given(&after, 1)?);
    let restarts = [0, 1].map(|index| at(&after, index, "/restartCount").and_then(Value::as_u64));
    ensure!(restarts == [Some(0), Some(1)], "restarts: {restarts:?}");

    // What no node of this size can grant is told, and what the pod has stays.
    resize(&cluster, "calm", &json!({"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}))?;
    let waiting = eventually("the wish is refused", SOON, || {
        let pod = pod(&cluster)?;
        Ok((condition(&pod, "PodResizePending") == Some("True")).then_some(pod))
    })?;
    ensure!(waiting.to_string().contains("Node didn't have enough capacity: cpu, requested: 900000"), "{waiting}");
    ensure!(at(&waiting, 0, "/allocatedResources/cpu") == Some(&json!("150m")), "{waiting}");
    let why = cluster.sampan(&["why", "pod/web"])?.succeeded()?.stdout;
    ensure!(why.contains("new resources are granted"), "{why}");
    let events = cluster.kubectl(&["events", "--for", "pod/web"])?;
    for reason in ["ResizeStarted", "ResizeCompleted", "ResizeInfeasible"] {
        ensure!(events.contains(reason), "no {reason} in {events}");
    }
    resize(&cluster, "calm", &json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}}))?;
    wait_until_resized(&cluster).map(drop)
}
