//! Where a pod may run by the volumes of its claims, and what is written into those when it gets a node.
//!
//! A claim that is bound keeps its pod where its volume is. One of a class that waits for its first pod is open: its volume is
//! chosen, or made, where the pod goes. The choice is committed with the binding of the pod. Only where somebody else makes
//! the volume, and may fail to, the pod gets its node after the volume is there.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use sampan_core::object::ObjectKey;
use sampan_core::operator::Kind;
use sampan_core::resource::volume::LOCAL_PATH;
use sampan_core::resource::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES};
use sampan_core::store::{IndexKey, Snapshot};
use sampan_podset::affinity;
use sampan_storage::{
    NO_PROVISIONER, SELECTED_NODE, best, bound_volume, claim_class, claims_of, is_bind_completed, reserved_for,
    selected_node, waits_for_consumer,
};

/// The claims of a pod, as far as they decide where it may run.
#[derive(Default)]
pub(crate) struct Claims {
    /// The volumes of those that are bound.
    held: Vec<Arc<PersistentVolume>>,
    /// Those whose volume depends on where the pod goes.
    open: Vec<Open>,
    /// The volumes the open ones may get.
    free: Vec<Arc<PersistentVolume>>,
    /// Why the pod can go nowhere.
    trouble: Option<String>,
    /// All that was looked at.
    read: Vec<ObjectKey>,
}

/// A claim whose volume depends on where its pod goes.
struct Open {
    claim: Arc<PersistentVolumeClaim>,
    class: Arc<StorageClass>,
}

/// What is written when the pod gets its node.
pub(crate) enum Choice {
    /// A volume is held for a claim.
    Reserve(Box<PersistentVolume>),
    /// A claim gets its volume on the node.
    Select(Box<PersistentVolumeClaim>),
}

impl Claims {
    /// The claims of a pod.
    pub(crate) fn of(pod: &Pod, snapshot: &Snapshot) -> Self {
        let mut claims = Self::default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for name in claims_of(pod) {
            let trouble = claims.add(namespace, &name, snapshot).err();
            claims.trouble = claims.trouble.take().or(trouble);
        }
        if !claims.open.is_empty() {
            let index =
                IndexKey::Field { resource: PERSISTENT_VOLUMES, field: "status.phase", value: "Available".into() };
            claims.free = snapshot.index(&index).filter_map(|volume| volume.decode().ok()).collect();
        }
        claims
    }

    fn read<K: Kind>(&mut self, key: ObjectKey, snapshot: &Snapshot) -> Option<Arc<K>> {
        let found = snapshot.get(&key).and_then(|object| object.decode::<K>().ok());
        self.read.push(key);
        found
    }

    /// Adds a claim, or tells why the pod can go nowhere with it.
    fn add(&mut self, namespace: &str, name: &str, snapshot: &Snapshot) -> Result<(), String> {
        let key = ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, namespace, name);
        let claim = self.read::<PersistentVolumeClaim>(key, snapshot);
        let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        if let Some(volume) = bound_volume(&claim).filter(|_| is_bind_completed(&claim)) {
            let volume = self.read(ObjectKey::cluster(PERSISTENT_VOLUMES, volume), snapshot);
            let lost = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
            self.held.push(volume.ok_or_else(|| lost.to_owned())?);
            return Ok(());
        }
        let class = self.read::<StorageClass>(ObjectKey::cluster(STORAGE_CLASSES, claim_class(&claim)), snapshot);
        match class.filter(|class| waits_for_consumer(class) && bound_volume(&claim).is_none()) {
            Some(class) => self.open.push(Open { claim, class }),
            None => return Err("pod has unbound immediate PersistentVolumeClaims".to_owned()),
        }
        Ok(())
    }

    /// Why the pod can go nowhere, in the words of Kubernetes.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// All that was looked at.
    pub(crate) fn read_keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.read.iter()
    }

    /// Why the pod cannot go to the node, in the words of Kubernetes.
    pub(crate) fn refusal(&self, node: &Node) -> Option<&'static str> {
        let name = node.metadata.name.as_deref();
        let is_elsewhere = |open: &Open| selected_node(&open.claim).is_some_and(|chosen| Some(chosen) != name);
        if !self.held.iter().all(|volume| is_reachable(volume, node)) || self.open.iter().any(is_elsewhere) {
            return Some("node(s) had volume node affinity conflict");
        }
        let unmet = self.placements(node).into_iter().any(|(open, volume)| volume.is_none() && !open.can_be_made(node));
        unmet.then_some("node(s) didn't find available persistent volumes to bind")
    }

    /// The open claims, each with the free volume it gets if the pod goes to the node; those without need one made.
    fn placements(&self, node: &Node) -> Vec<(&Open, Option<&Arc<PersistentVolume>>)> {
        let mut taken: Vec<Option<&str>> = Vec::new();
        let mut placements = Vec::new();
        for open in &self.open {
            let left = self.free.iter().map(|volume| &**volume);
            let left = left.filter(|volume| !taken.contains(&volume.metadata.name.as_deref()));
            let volume = best(&open.claim, left, |volume| is_reachable(volume, node));
            taken.extend(volume.map(|volume| volume.metadata.name.as_deref()));
            let volume = volume.and_then(|found| self.free.iter().find(|it| it.metadata.name == found.metadata.name));
            placements.push((open, volume));
        }
        placements
    }

    /// Whether a volume is to be made by somebody who may fail to: then the pod gets its node after it.
    pub(crate) fn awaits_others(&self, node: &Node) -> bool {
        self.placements(node).iter().any(|(open, volume)| volume.is_none() && open.class.provisioner != LOCAL_PATH)
    }

    /// What is written when the pod gets the node, or before it does.
    pub(crate) fn choices(&self, node: &Node) -> Vec<Choice> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let choice = |(open, volume): (&Open, Option<&Arc<PersistentVolume>>)| match volume {
            Some(volume) if volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some()) => None,
            Some(volume) => Some(Choice::Reserve(Box::new(reserved_for(volume, &open.claim)))),
            None if selected_node(&open.claim).is_some() => None,
            None => {
                let mut claim = (*open.claim).clone();
                let annotations = claim.metadata.annotations.get_or_insert_default();
                annotations.insert(SELECTED_NODE.to_owned(), name.clone());
                Some(Choice::Select(Box::new(claim)))
            }
        };
        self.placements(node).into_iter().filter_map(choice).collect()
    }
}

impl Open {
    /// Whether a volume can be made for the claim on the node.
    fn can_be_made(&self, node: &Node) -> bool {
        let topologies = self.class.allowed_topologies.as_deref().unwrap_or_default();
        let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key));
        let is_allowed = topologies.is_empty()
            || topologies.iter().any(|term| {
                let mut expressions = term.match_label_expressions.iter().flatten();
                expressions.all(|it| label(&it.key).is_some_and(|value| it.values.contains(value)))
            });
        is_allowed && self.class.provisioner != NO_PROVISIONER
    }
}

/// Whether the volume can be used on the node.
fn is_reachable(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|terms| affinity::selects(terms, node))
}

#[cfg(test)]
impl Claims {
    /// The claims of a pod whose volume somebody makes, who may know on which node.
    pub(crate) fn in_a_world(awaits: bool, selected: bool) -> Self {
        let mut claims = Self::default();
        if awaits {
            let mut claim = PersistentVolumeClaim::default();
            let annotations = selected.then(|| [(SELECTED_NODE.to_owned(), "n".to_owned())].into());
            claim.metadata.annotations = annotations;
            let class = StorageClass { provisioner: "example.com/disks".to_owned(), ..StorageClass::default() };
            claims.open.push(Open { claim: Arc::new(claim), class: Arc::new(class) });
        }
        claims
    }
}
