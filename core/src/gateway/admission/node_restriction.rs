//! What of the objects a node may write it may not say: that is for others to decide.
//!
//! Which objects those are, the [authorizer](crate::access) has decided before; here are the rules that need what is written.

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;

use super::{Admission, AdmissionRequest, Operation, Verdict};
pub(super) use crate::access::MIRROR;
use crate::access::{node_of, refers_to_anything};
use crate::gateway::Unprepared;
use crate::object::{ObjectKey, OwnerReference};
use crate::resource::read::{items, text, texts};
use crate::resource::volume::LOCAL_PATH;
use crate::resource::{LEASES, LOG_OUTPUTS, NODES, PERSISTENT_VOLUMES, PODS, wants_pod_range};
use crate::store::Snapshot;

/// Labels of a node's own Node that it may set among those of Kubernetes.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];
/// Domains of labels that it may set.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// A node says nothing of other nodes, nothing that draws pods to it, and creates no pods but mirrors of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeRestriction;

impl Admission for NodeRestriction {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && [PODS, LEASES, NODES, PERSISTENT_VOLUMES, LOG_OUTPUTS].contains(&request.mutation.target.resource())
            && node_of(&request.mutation.identity).is_some()
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        let Some(node) = node_of(&request.mutation.identity) else { return Ok(Verdict::default()) };
        let refusal = match (request.mutation.target.resource(), request.old) {
            (PODS, None) => refused_pod(node, object, request.snapshot),
            (LEASES, None) => refused_name("lease", node, object),
            (NODES, old) if request.is_whole(NODES) => {
                refused_name("node", node, object).or_else(|| refused_node(node, object, old))
            }
            (PERSISTENT_VOLUMES, old) => refused_volume(node, object, old),
            (LOG_OUTPUTS, old) => refused_output(node, object, old),
            _ => None,
        };
        match refusal {
            None => Ok(Verdict::default()),
            Some(why) => Err(request.forbidden(object, why).into()),
        }
    }
}

fn refused_name(what: &str, node: &str, object: &Value) -> Option<String> {
    let name = text(object, "/metadata/name");
    (name != node).then(|| format!("node {node:?} is not allowed to modify {what} {name:?}"))
}

fn refused_pod(node: &str, object: &Value, snapshot: &Snapshot) -> Option<String> {
    if !texts(object, "/metadata/annotations").any(|(name, _)| name == MIRROR) {
        return Some(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    if text(object, "/spec/nodeName") != node {
        return Some(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    if let Some(why) = refused_owner(node, object, snapshot) {
        return Some(why);
    }
    let refers = Pod::deserialize(object).is_ok_and(|pod| refers_to_anything(&pod));
    refers.then(|| {
        format!("node {node:?} can not create pods that reference a service account, secrets, configmaps or claims")
    })
}

/// The only owner of a mirror pod is the node itself: it lasts as long, and its controller is nobody else's.
fn refused_owner(node: &str, object: &Value, snapshot: &Snapshot) -> Option<String> {
    let owners = items(object, "/metadata/ownerReferences");
    let owners: Vec<OwnerReference> = owners.filter_map(|owner| OwnerReference::deserialize(owner).ok()).collect();
    let [owner] = owners.as_slice() else {
        return Some(format!("node {node:?} can only create pods with a single owner reference set to itself"));
    };
    if (&*owner.api_version, &*owner.kind, &*owner.name) != ("v1", "Node", node) {
        return Some(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if !owner.controller {
        return Some(format!("node {node:?} can only create pods with a controller owner reference set to itself"));
    }
    if owner.block_owner_deletion {
        return Some(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let own = snapshot.get(&ObjectKey::cluster(NODES, node)).map(|found| &found.metadata().uid);
    (own != Some(&owner.uid)).then(|| {
        let own = own.map_or("none", |uid| uid.as_str());
        format!("node {node:?} UID mismatch: expected {own} got {}", owner.uid.as_str())
    })
}

fn refused_node(node: &str, object: &Value, old: Option<&Value>) -> Option<String> {
    let missing = Value::Null;
    let old = old.unwrap_or(&missing);
    let labels = |object: &Value| -> Vec<(String, String)> {
        texts(object, "/metadata/labels").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let (before, after) = (labels(old), labels(object));
    let changed =
        after.iter().filter(|label| !before.contains(label)).chain(before.iter().filter(|it| !after.contains(it)));
    let mut restricted: Vec<&str> = changed.map(|(name, _)| name.as_str()).filter(|name| is_restricted(name)).collect();
    if !restricted.is_empty() {
        restricted.sort_unstable();
        restricted.dedup();
        return Some(format!("is not allowed to modify labels: {}", restricted.join(", ")));
    }
    // A node may begin with taints; from then on they are others' to give and take.
    if !old.is_null() && old.pointer("/spec/taints") != object.pointer("/spec/taints") {
        return Some(format!("node {node:?} is not allowed to modify taints"));
    }
    // Other nodes lead there whatever is sent to this range: it is given by the API alone, to who asks for one.
    if old.pointer("/spec/podCIDR") != object.pointer("/spec/podCIDR") && !wants_pod_range(object) {
        return Some(format!("node {node:?} is not allowed to set podCIDR"));
    }
    let owners = object.pointer("/metadata/ownerReferences");
    (!old.is_null() && old.pointer("/metadata/ownerReferences") != owners)
        .then(|| format!("node {node:?} is not allowed to modify ownerReferences"))
}

/// Of a volume whose data it holds, a node says that the data is gone: it takes its finalizer away, and no other.
fn refused_volume(node: &str, object: &Value, old: Option<&Value>) -> Option<String> {
    let without = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !matches!(name.as_str(), "finalizers" | "managedFields" | "resourceVersion"));
        }
        object
    };
    let finalizers = |object: &Value| -> Vec<String> {
        items(object, "/metadata/finalizers").filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let is_release = old.is_some_and(|old| {
        let mut kept = finalizers(old);
        kept.retain(|finalizer| finalizer != LOCAL_PATH);
        without(old) == without(object) && finalizers(object) == kept
    });
    (!is_release).then(|| format!("node {node:?} is only allowed to take away the finalizer {LOCAL_PATH:?}"))
}

/// Of an output of logs, a node says what it sent there itself.
fn refused_output(node: &str, object: &Value, old: Option<&Value>) -> Option<String> {
    let others = |object: &Value| {
        let mut nodes = object.pointer("/status/nodes").and_then(Value::as_object).cloned().unwrap_or_default();
        nodes.remove(node);
        nodes
    };
    let is_own = old.is_some_and(|old| others(old) == others(object));
    (!is_own).then(|| format!("node {node:?} is only allowed to tell of itself"))
}

/// Whether a label may draw pods to a node, or says what a node does not know of itself.
fn is_restricted(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return false };
    let is_of = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|it| it.ends_with('.'));
    if is_of("node-restriction.kubernetes.io") {
        return true;
    }
    (is_of("kubernetes.io") || is_of("k8s.io"))
        && !OWN_LABELS.contains(&label)
        && !OWN_DOMAINS.iter().any(|domain| is_of(domain))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Draft;

    #[test]
    fn labels_that_draw_pods_are_not_the_nodes_to_set() {
        let cases = [
            ("plain", false),
            ("example.com/gpu", false),
            ("kubernetes.io/hostname", false),
            ("node.kubernetes.io/anything", false),
            ("sub.kubelet.kubernetes.io/x", false),
            ("node-restriction.kubernetes.io/secure", true),
            ("a.node-restriction.kubernetes.io/secure", true),
            ("kubernetes.io/whatever", true),
            ("node-role.kubernetes.io/control-plane", true),
            ("k8s.io/x", true),
            ("mykubernetes.io/x", false),
        ];
        for (label, expect) in cases {
            assert_eq!(is_restricted(label), expect, "{label}");
        }
    }

    #[test]
    fn a_node_tells_of_an_output_of_logs_what_it_sent_itself() {
        let status = |nodes: Value| json!({"status": {"nodes": nodes}});
        let old = status(json!({"other": {"delivered": 1}}));
        let cases = [
            (status(json!({"other": {"delivered": 1}, "here": {"delivered": 2}})), false),
            (status(json!({"other": {"delivered": 2}})), true),
            (status(json!({"here": {"delivered": 2}})), true),
            (status(json!({"other": {"delivered": 1}, "third": {}})), true),
        ];
        for (new, expect) in cases {
            assert_eq!(refused_output("here", &new, Some(&old)).is_some(), expect, "{new}");
        }
    }

    #[test]
    fn a_node_changes_neither_its_taints_nor_restricted_labels() {
        let node = |labels: Value, taints: Value| json!({"metadata": {"labels": labels}, "spec": {"taints": taints}});
        let old = node(json!({"k8s.io/x": "1"}), json!([{"key": "a"}]));
        let range = json!({"metadata": {"labels": {"k8s.io/x": "1"}}, "spec": {"taints": [{"key": "a"}], "podCIDR": "10.0.0.0/8"}});
        let cases = [
            (range, true),
            (node(json!({"k8s.io/x": "1", "mine": "1"}), json!([{"key": "a"}])), false),
            (node(json!({"k8s.io/x": "2"}), json!([{"key": "a"}])), true),
            (node(json!({}), json!([{"key": "a"}])), true),
            (node(json!({"k8s.io/x": "1"}), json!([])), true),
        ];
        for (new, expect) in cases {
            assert_eq!(refused_node("n", &new, Some(&old)).is_some(), expect, "{new}");
        }
        assert_eq!(refused_node("n", &node(json!({}), json!([{"key": "a"}])), None), None, "it may begin with taints");
    }

    #[test]
    fn a_node_creates_mirrors_of_its_own_pods_alone() {
        let snapshot = snapshot();
        let pod = |annotations: Value, spec: Value| json!({"metadata": {"annotations": annotations, "ownerReferences": [owner()]}, "spec": spec});
        let mirror = json!({MIRROR: "x"});
        let spec = |node: &str| json!({"nodeName": node, "containers": []});
        assert_eq!(refused_pod("n", &pod(mirror.clone(), spec("n")), &snapshot), None);
        let secret =
            json!({"nodeName": "n", "containers": [], "volumes": [{"name": "v", "secret": {"secretName": "s"}}]});
        for refused in [pod(json!({}), spec("n")), pod(mirror.clone(), spec("m")), pod(mirror, secret)] {
            assert!(refused_pod("n", &refused, &snapshot).is_some(), "{refused}");
        }
    }

    #[test]
    fn a_node_takes_its_finalizer_from_a_volume_and_changes_nothing_else() {
        let volume = |finalizers: Value, policy: &str| json!({"metadata": {"name": "v", "finalizers": finalizers}, "spec": {"persistentVolumeReclaimPolicy": policy}});
        let old = volume(json!(["kubernetes.io/pv-protection", LOCAL_PATH]), "Delete");
        let cases = [
            (volume(json!(["kubernetes.io/pv-protection"]), "Delete"), false),
            (volume(json!([LOCAL_PATH]), "Delete"), true),
            (volume(json!(["kubernetes.io/pv-protection"]), "Retain"), true),
        ];
        for (new, expect) in cases {
            assert_eq!(refused_volume("n", &new, Some(&old)).is_some(), expect, "{new}");
        }
        assert!(refused_volume("n", &old, None).is_some(), "it creates none");
    }

    fn owner() -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true})
    }

    fn snapshot() -> Snapshot {
        let metadata = json!({"name": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"});
        Snapshot::of([Draft::new(ObjectKey::cluster(NODES, "n"), json!({"metadata": metadata}), Vec::new()).unwrap()])
    }

    #[test]
    fn a_mirror_is_owned_by_its_node_and_nobody_else() {
        let with = |field: &str, value: Value| {
            let mut owner = owner();
            owner[field] = value;
            json!([owner])
        };
        let cases = [
            (json!([owner()]), None),
            (json!([]), Some("a single owner reference")),
            (Value::Null, Some("a single owner reference")),
            (json!([owner(), owner()]), Some("a single owner reference")),
            (with("kind", "Job".into()), Some("an owner reference set to itself")),
            (with("apiVersion", "apps/v1".into()), Some("an owner reference set to itself")),
            (with("name", "m".into()), Some("an owner reference set to itself")),
            (with("controller", false.into()), Some("a controller owner reference")),
            (with("blockOwnerDeletion", true.into()), Some("must not set blockOwnerDeletion")),
            (with("uid", "other".into()), Some("UID mismatch: expected u got other")),
        ];
        for (owners, expect) in cases {
            let refused = refused_owner("n", &json!({"metadata": {"ownerReferences": owners}}), &snapshot());
            match (&refused, expect) {
                (None, None) => {}
                (Some(why), Some(part)) => assert!(why.contains(part), "{why}"),
                _ => panic!("{owners}: {refused:?}"),
            }
        }
    }
}
