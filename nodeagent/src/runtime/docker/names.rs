//! Names and labels of containers: what lets a restarted node know its own.

use std::collections::HashMap;

use crate::host::PodRef;
use crate::pod::Uid;

/// The cluster a container or network belongs to.
pub(super) const CLUSTER: &str = "dev.sampan.cluster";
/// The node a container belongs to.
pub(super) const NODE: &str = "dev.sampan.node";
/// `sandbox` or `container`.
pub(super) const KIND: &str = "dev.sampan.kind";
/// Counts the runs of a container, or the sandboxes of a pod, from 0.
pub(super) const ATTEMPT: &str = "dev.sampan.attempt";
/// The attempt of the sandbox a container joined.
pub(super) const SANDBOX_ATTEMPT: &str = "dev.sampan.sandbox-attempt";
/// How long to wait after this run before the next, in seconds.
pub(super) const BACKOFF: &str = "dev.sampan.backoff-seconds";
/// Without last words, the last log lines of a failed run are taken.
pub(super) const LAST_WORDS: &str = "dev.sampan.last-words-from-logs";
/// The address of a pod the node itself gave its network.
pub(super) const ADDRESS: &str = "dev.sampan.address";
/// The labels the pod had when the container was made, as JSON.
pub(super) const POD_LABELS: &str = "dev.sampan.pod-labels";
/// The pod's name.
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
/// The pod's namespace.
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The pod's uid.
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
/// The container's name in the pod; `POD` for a sandbox.
pub(super) const CONTAINER: &str = "io.kubernetes.container.name";

/// The container name of a sandbox.
const SANDBOX: &str = "POD";

/// The name of a pod's sandbox in Docker.
pub(super) fn sandbox(pod: &PodRef, attempt: u32) -> String {
    container(pod, SANDBOX, attempt)
}

/// The name of a run in Docker.
pub(super) fn container(pod: &PodRef, name: &str, attempt: u32) -> String {
    format!("k8s_{name}_{}_{}_{}_{attempt}", pod.name, pod.namespace, pod.uid)
}

/// The labels every container of a pod bears.
pub(super) fn labels(cluster: &str, pod: &PodRef, kind: &str, attempt: u32) -> HashMap<String, String> {
    let pairs = [
        (CLUSTER, cluster),
        (NODE, &pod.node),
        (KIND, kind),
        (POD_NAME, &pod.name),
        (POD_NAMESPACE, &pod.namespace),
        (POD_UID, &pod.uid.0),
        (CONTAINER, SANDBOX),
    ];
    let mut labels: HashMap<String, String> =
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    labels.insert(ATTEMPT.to_owned(), attempt.to_string());
    labels
}

/// The pod that a container's labels name.
pub(super) fn pod(labels: &HashMap<String, String>) -> Option<PodRef> {
    let get = |key: &str| labels.get(key).cloned();
    Some(PodRef {
        uid: Uid(get(POD_UID)?.into()),
        namespace: get(POD_NAMESPACE)?,
        name: get(POD_NAME)?,
        node: get(NODE)?,
    })
}

/// Selects the containers of a cluster, or of one node of it, or of one pod.
pub(super) fn filter(pairs: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), pairs.iter().map(|(key, value)| format!("{key}={value}")).collect())])
}
