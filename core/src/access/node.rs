//! What a node may do: run the pods that are on it.
//!
//! A node reads its pods and what they refer to, asks for tokens of their service accounts, and writes their statuses, its
//! own Node and its own Lease, and what it sent to the outputs of logs. Of other nodes it learns what a service proxy has to know, by a role.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec, Volume};

use super::{Attributes, Identity, NODES, ResourceAttributes, Verdict, What};
use crate::object::{Object, ObjectKey};
use crate::resource::{LOG_OUTPUTS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, secrets_of};
use crate::store::{IndexKey, Snapshot};

/// Says of a pod that it shows one which a node runs by itself. Nodes create such pods: so they give them no rights.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";
/// What a node's user name begins with.
const PREFIX: &str = "system:node:";
/// Where nodes keep their Leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// What is said where an object has nothing to do with the node.
const UNRELATED: &str = "no relationship found between the node and this object";

/// The node somebody is, where it is one.
pub fn node_of(identity: &Identity) -> Option<&str> {
    identity.user.strip_prefix(PREFIX).filter(|node| !node.is_empty() && identity.is_in(NODES))
}

/// Whether a pod is on the node, or the data of a volume.
pub fn belongs(object: &Object, node: &str) -> bool {
    object.field("spec.nodeName") == Some(node)
}

/// What a node may do.
pub(super) fn authorize(snapshot: &Snapshot, node: &str, attributes: &Attributes<'_>) -> Verdict {
    let What::Resource(asked) = &attributes.what else { return Verdict::no_opinion("") };
    let view = View { snapshot, node, verb: attributes.verb, asked };
    match (asked.group, asked.resource, asked.subresource) {
        ("", "pods", part) => view.pod(part),
        ("", "nodes", "" | "status") => view.own_node(),
        ("", "secrets", "") if view.verb == "get" && view.opens_output() => Verdict::allowed(""),
        ("", "secrets" | "configmaps" | "persistentvolumeclaims" | "serviceaccounts", "") => view.referred(),
        ("", "persistentvolumes", "") => view.volume(),
        ("", "serviceaccounts", "token") if view.verb == "create" => view.relation(view.refers()),
        ("coordination.k8s.io", "leases", "") => view.own_lease(),
        // What it says there, and of itself alone, is checked by admission.
        ("sampan.dev", "logoutputs", "status") if view.verb == "patch" => Verdict::allowed(""),
        (group, resource, "") if is_common(view.verb, group, resource) => Verdict::allowed(""),
        _ => Verdict::no_opinion(""),
    }
}

/// What every node may do, whatever runs on it.
fn is_common(verb: &str, group: &str, resource: &str) -> bool {
    match (group, resource) {
        ("" | "events.k8s.io", "events") => matches!(verb, "create" | "update" | "patch"),
        // Its certificate is renewed the way it was given.
        ("certificates.k8s.io", "certificatesigningrequests") => verb == "create" || reads(verb),
        ("", "services")
        // The node serves Services itself, where in Kubernetes kube-proxy does, as somebody else.
        | ("discovery.k8s.io", "endpointslices")
        | ("node.k8s.io", "runtimeclasses") | ("storage.k8s.io", "csidrivers")
        // Every node sends what its pods write.
        | ("sampan.dev", "logoutputs") => reads(verb),
        ("authentication.k8s.io", "tokenreviews")
        | ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews") => verb == "create",
        _ => false,
    }
}

fn reads(verb: &str) -> bool {
    matches!(verb, "get" | "list" | "watch")
}

struct View<'a> {
    snapshot: &'a Snapshot,
    node: &'a str,
    verb: &'a str,
    asked: &'a ResourceAttributes<'a>,
}

impl View<'_> {
    fn relation(&self, related: bool) -> Verdict {
        if related { Verdict::allowed("") } else { Verdict::no_opinion(UNRELATED) }
    }

    /// Its own pods. One that is not there is nobody's: what is asked of it is answered with that.
    fn pod(&self, part: &str) -> Verdict {
        let is_listed = self.asked.of_node == Some(self.node);
        match (self.verb, part) {
            // What it creates is checked by admission: mirror pods of its own alone.
            ("create", "") => Verdict::allowed(""),
            ("list" | "watch", "") if is_listed => Verdict::allowed(""),
            ("get" | "list" | "watch" | "delete", "") | ("update" | "patch", "status") | ("create", "eviction") => {
                self.relation(self.named_pod_is_no_stranger())
            }
            _ => Verdict::no_opinion(""),
        }
    }

    fn named_pod_is_no_stranger(&self) -> bool {
        let (Some(namespace), Some(name)) = (self.asked.namespace, self.asked.name) else { return false };
        let pod = self.snapshot.get(&ObjectKey::namespaced(PODS, namespace, name));
        pod.map_or(self.verb != "watch", |pod| belongs(pod, self.node))
    }

    fn own_node(&self) -> Verdict {
        let is_own = self.asked.name == Some(self.node);
        match self.verb {
            // The name is in the body: admission compares it.
            "create" if self.asked.subresource.is_empty() => Verdict::allowed(""),
            "get" | "list" | "watch" | "update" | "patch" if is_own => Verdict::allowed(""),
            _ => Verdict::no_opinion(format!("node {:?} can only read and change its own Node object", self.node)),
        }
    }

    fn own_lease(&self) -> Verdict {
        let is_own = self.asked.name == Some(self.node);
        match (self.asked.namespace, self.verb) {
            (Some(LEASE_NAMESPACE), "create") if self.asked.name.is_none() || is_own => Verdict::allowed(""),
            (Some(LEASE_NAMESPACE), "get" | "update" | "patch" | "delete") if is_own => Verdict::allowed(""),
            _ => Verdict::no_opinion(format!("can only access node lease {:?} in {LEASE_NAMESPACE:?}", self.node)),
        }
    }

    fn referred(&self) -> Verdict {
        if !reads(self.verb) {
            return Verdict::no_opinion("");
        }
        self.relation(self.refers())
    }

    /// Whether a pod on the node refers to the object that is asked for.
    fn refers(&self) -> bool {
        let (Some(namespace), Some(name)) = (self.asked.namespace, self.asked.name) else { return false };
        self.pods_in(Some(namespace)).any(|pod| refers(&pod, self.asked.resource, name))
    }

    /// Whether an output of logs names the secret: without it nothing can be sent there.
    fn opens_output(&self) -> bool {
        let (Some(namespace), Some(name)) = (self.asked.namespace, self.asked.name) else { return false };
        let mut outputs = self.snapshot.list(LOG_OUTPUTS, None, None);
        outputs.any(|output| secrets_of(&output.value()).any(|named| named == (namespace, name)))
    }

    /// A volume whose data is on the node, to let go of it; and to read, one that is bound to a claim a pod on the node
    /// refers to.
    fn volume(&self) -> Verdict {
        let is_listed = self.asked.of_node == Some(self.node);
        match self.verb {
            "list" | "watch" if is_listed => Verdict::allowed(""),
            "get" | "list" | "watch" => self.relation(self.holds_volume() || self.mounts_volume()),
            "update" | "patch" => self.relation(self.holds_volume()),
            _ => Verdict::no_opinion(""),
        }
    }

    fn named_volume(&self) -> Option<&Arc<Object>> {
        self.snapshot.get(&ObjectKey::cluster(PERSISTENT_VOLUMES, self.asked.name?))
    }

    fn holds_volume(&self) -> bool {
        self.named_volume().is_some_and(|volume| belongs(volume, self.node))
    }

    fn mounts_volume(&self) -> bool {
        let Some(volume) = self.named_volume().and_then(|volume| volume.decode::<PersistentVolume>().ok()) else {
            return false;
        };
        let held_by = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let (Some(namespace), Some(name)) =
            (held_by.and_then(|it| it.namespace.as_deref()), held_by.and_then(|it| it.name.as_deref()))
        else {
            return false;
        };
        let claim = self.snapshot.get(&ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, namespace, name));
        let claim = claim.and_then(|claim| claim.decode::<PersistentVolumeClaim>().ok());
        let bound = claim.as_ref().and_then(|claim| claim.spec.as_ref()?.volume_name.as_deref());
        bound == self.asked.name
            && self.pods_in(Some(namespace)).any(|pod| refers(&pod, "persistentvolumeclaims", name))
    }

    fn pods_in<'v>(&'v self, namespace: Option<&'v str>) -> impl Iterator<Item = Arc<Pod>> + 'v {
        let on_node = IndexKey::Field { resource: PODS, field: "spec.nodeName", value: self.node.into() };
        let pods: Vec<Arc<Object>> = self.snapshot.index(&on_node).cloned().collect();
        let inside = pods.into_iter().filter(move |pod| pod.key().namespace.as_deref() == namespace);
        inside.filter_map(|pod| pod.decode::<Pod>().ok())
    }
}

/// Whether a pod refers to an object of its namespace, in a way that lets its node read it.
fn refers(pod: &Pod, resource: &str, name: &str) -> bool {
    let Some(spec) = pod.spec.as_ref().filter(|_| !is_mirror(pod)) else { return false };
    let volumes = || spec.volumes.iter().flatten();
    match resource {
        "serviceaccounts" => spec.service_account_name.as_deref() == Some(name),
        "configmaps" => {
            volumes().any(|volume| mounts_config_map(volume, name))
                || containers(spec).any(|container| reads_config_map(container, name))
        }
        "secrets" => {
            let pulls = spec.image_pull_secrets.iter().flatten().any(|secret| secret.name == name);
            pulls
                || volumes().any(|volume| mounts_secret(volume, name))
                || containers(spec).any(|container| reads_secret(container, name))
        }
        "persistentvolumeclaims" => {
            let pod = pod.metadata.name.as_deref().unwrap_or_default();
            volumes().any(|volume| {
                let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.as_str());
                let own = volume.ephemeral.as_ref().map(|_| format!("{pod}-{}", volume.name));
                claim == Some(name) || own.as_deref() == Some(name)
            })
        }
        _ => false,
    }
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.iter().flatten().any(|(name, _)| name == MIRROR)
}

/// Whether a pod refers to anything of its namespace that a node could not read without it.
pub fn refers_to_anything(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let mounts = spec.volumes.iter().flatten().any(|volume| {
        volume.secret.is_some()
            || volume.config_map.is_some()
            || volume.projected.is_some()
            || volume.persistent_volume_claim.is_some()
            || volume.ephemeral.is_some()
            || has_secret_of_driver(volume)
    });
    let reads = containers(spec).any(|container| {
        let from = container.env.iter().filter_map(|it| it.value_from.as_ref());
        !container.env_from.is_empty()
            || from.into_iter().any(|it| it.secret_key_ref.is_some() || it.config_map_key_ref.is_some())
    });
    let named = spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty());
    let claims = spec.resource_claims.iter().flatten().next().is_some();
    mounts || reads || named || claims || spec.image_pull_secrets.iter().flatten().next().is_some()
}

/// Whether a volume names a secret by which its driver gets at the storage.
fn has_secret_of_driver(volume: &Volume) -> bool {
    volume.azure_file.is_some()
        || volume.scale_io.is_some()
        || volume.csi.as_ref().is_some_and(|it| it.node_publish_secret_ref.is_some())
        || volume.cephfs.as_ref().is_some_and(|it| it.secret_ref.is_some())
        || volume.cinder.as_ref().is_some_and(|it| it.secret_ref.is_some())
        || volume.flex_volume.as_ref().is_some_and(|it| it.secret_ref.is_some())
        || volume.iscsi.as_ref().is_some_and(|it| it.secret_ref.is_some())
        || volume.rbd.as_ref().is_some_and(|it| it.secret_ref.is_some())
        || volume.storageos.as_ref().is_some_and(|it| it.secret_ref.is_some())
}

fn mounts_config_map(volume: &Volume, name: &str) -> bool {
    let projected = volume.projected.iter().flat_map(|it| it.sources.iter().flatten());
    volume.config_map.as_ref().is_some_and(|it| it.name == name)
        || projected.filter_map(|it| it.config_map.as_ref()).any(|it| it.name == name)
}

fn mounts_secret(volume: &Volume, name: &str) -> bool {
    let projected = volume.projected.iter().flat_map(|it| it.sources.iter().flatten());
    volume.secret.as_ref().is_some_and(|it| it.secret_name.as_deref() == Some(name))
        || projected.filter_map(|it| it.secret.as_ref()).any(|it| it.name == name)
}

/// What of a container may refer to something, whatever sort of container it is.
struct Sources<'p> {
    env: &'p [k8s_openapi::api::core::v1::EnvVar],
    env_from: &'p [k8s_openapi::api::core::v1::EnvFromSource],
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = Sources<'_>> {
    let plain = spec.init_containers.iter().flatten().chain(&spec.containers).map(|it: &Container| Sources {
        env: it.env.as_deref().unwrap_or_default(),
        env_from: it.env_from.as_deref().unwrap_or_default(),
    });
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|it| Sources {
        env: it.env.as_deref().unwrap_or_default(),
        env_from: it.env_from.as_deref().unwrap_or_default(),
    });
    plain.chain(ephemeral)
}

fn reads_config_map(container: Sources<'_>, name: &str) -> bool {
    let keys = container.env.iter().filter_map(|it| it.value_from.as_ref()?.config_map_key_ref.as_ref());
    let whole = container.env_from.iter().filter_map(|it| it.config_map_ref.as_ref());
    keys.map(|it| &it.name).chain(whole.map(|it| &it.name)).any(|it| it == name)
}

fn reads_secret(container: Sources<'_>, name: &str) -> bool {
    let keys = container.env.iter().filter_map(|it| it.value_from.as_ref()?.secret_key_ref.as_ref());
    let whole = container.env_from.iter().filter_map(|it| it.secret_ref.as_ref());
    keys.map(|it| &it.name).chain(whole.map(|it| &it.name)).any(|it| it == name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(volume: Value) -> Pod {
        let mut volume = volume;
        volume["name"] = "v".into();
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"containers": [], "volumes": [volume]}}))
            .unwrap()
    }

    #[test]
    fn every_volume_that_leads_to_an_object_refers_to_it() {
        let cases = [
            (json!({"emptyDir": {}}), false),
            (json!({"hostPath": {"path": "/"}}), false),
            (json!({"csi": {"driver": "d"}}), false),
            (json!({"secret": {"secretName": "s"}}), true),
            (json!({"configMap": {"name": "s"}}), true),
            (json!({"projected": {"sources": []}}), true),
            (json!({"persistentVolumeClaim": {"claimName": "s"}}), true),
            (json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}), true),
            (json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}), true),
            (json!({"azureFile": {"secretName": "s", "shareName": "a"}}), true),
        ];
        for (volume, expect) in cases {
            assert_eq!(refers_to_anything(&pod(volume.clone())), expect, "{volume}");
        }
    }

    #[test]
    fn what_a_node_writes_into_a_pod_it_shows_gives_it_nothing() {
        let mut pod = pod(json!({"secret": {"secretName": "s"}}));
        pod.spec.as_mut().unwrap().service_account_name = Some("robot".into());
        let asked = [("secrets", "s"), ("serviceaccounts", "robot")];
        assert!(asked.iter().all(|(resource, name)| refers(&pod, resource, name)));
        pod.metadata.annotations = Some([(MIRROR.to_owned(), "x".to_owned())].into());
        assert!(!asked.iter().any(|(resource, name)| refers(&pod, resource, name)));
    }
}
