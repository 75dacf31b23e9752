//! The claims a node's pods mount, as far as it was told of them and their volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use sampan_conformance::simulation::Want;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};
use sampan_nodeagent::host::Message;
use sampan_nodeagent::pod::claim::{data, volume_of};
use sampan_nodeagent::pod::source::{Data, SourceKey};

/// A claim and the volume it names.
#[derive(Default)]
struct Known {
    claim: Option<Arc<PersistentVolumeClaim>>,
    volume: Option<Arc<PersistentVolume>>,
}

impl Known {
    fn names(&self, key: &ObjectKey) -> bool {
        self.claim.as_ref().and_then(|claim| volume_of(claim)) == Some(&*key.name)
    }

    /// What pods are told: nothing of a claim that is not there.
    fn told(&self) -> Option<Data> {
        self.claim.as_ref().map(|claim| data(claim, self.volume.as_deref()))
    }
}

/// The claims a node's pods mount.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<SourceKey, Known>);

impl Claims {
    /// The claim a source is.
    pub(super) fn key(source: &SourceKey) -> ObjectKey {
        ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, &source.namespace, &source.name)
    }

    /// A pod mounts it.
    pub(super) fn watch(&mut self, source: SourceKey) {
        self.0.entry(source).or_default();
    }

    /// No pod mounts it any more.
    pub(super) fn unwatch(&mut self, source: &SourceKey) {
        self.0.remove(source);
    }

    /// Hears of a claim or a volume. Answers what pods are told, and what is to be watched for it.
    pub(super) fn hear(&mut self, key: &ObjectKey, object: Option<&Object>) -> (Vec<Message>, Vec<Want>) {
        let (mut messages, mut wants) = (Vec::new(), Vec::new());
        for (source, known) in &mut self.0 {
            if *key == Self::key(source) {
                known.claim = object.and_then(|object| object.decode().ok());
                let named = known.claim.as_ref().and_then(|claim| volume_of(claim));
                let volume = named.map(|name| ObjectKey::cluster(PERSISTENT_VOLUMES, name));
                known.volume = None;
                wants.extend(volume.map(Want::Watch));
            } else if key.resource == PERSISTENT_VOLUMES && known.names(key) {
                known.volume = object.and_then(|object| object.decode().ok());
            } else {
                continue;
            }
            messages.push(Message::Source(source.clone(), known.told().map(Arc::new)));
        }
        (messages, wants)
    }
}
