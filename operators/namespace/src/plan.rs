//! A namespace and what is in it, and what that asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use sampan_core::object::Object;
use sampan_core::operator::{Kind as _, Refused};
use sampan_core::resource::EFFECTS;

/// The ServiceAccount every namespace has.
pub(crate) const SERVICE_ACCOUNT: &str = "default";
/// The ConfigMap every namespace has.
pub(crate) const ROOT_CA: &str = "kube-root-ca.crt";
/// The finalizer of the spec this operator removes.
const FINALIZER: &str = "kubernetes";

/// The most deletions one step asks for, below what one commit may hold.
const DELETIONS_MAX: usize = 400;

/// The state of the ConfigMap with the root certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    Missing,
    Stale,
    Current,
}

/// Something every namespace has, and lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Its ServiceAccount.
    Account,
    /// Its root certificate, which is missing.
    Certificate,
    /// Its root certificate, which is another than it should be.
    Renewal,
}

/// One look at a namespace.
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) has_account: bool,
    pub(crate) certificate: Certificate,
    /// What the gateway has just refused.
    pub(crate) refused: Option<Refused>,
    /// Everything in it, where it is being deleted.
    pub(crate) contents: Vec<Arc<Object>>,
}

impl View {
    pub(crate) fn is_deleted(&self) -> bool {
        self.namespace.metadata.deletion_timestamp.is_some()
    }

    pub(crate) fn is_furnished(&self) -> bool {
        self.has_account && self.certificate == Certificate::Current
    }

    /// What is put there next. Each piece takes a step of its own, so that the refusal of one keeps no other away.
    pub(crate) fn next_piece(&self) -> Option<Piece> {
        let account = (!self.has_account).then_some(Piece::Account);
        let certificate = match self.certificate {
            Certificate::Missing => Some(Piece::Certificate),
            Certificate::Stale => Some(Piece::Renewal),
            Certificate::Current => None,
        };
        match &self.refused {
            None => account.or(certificate),
            Some(refused) if refused.resource == ServiceAccount::RESOURCE => certificate,
            Some(_) => None,
        }
    }

    /// Whether this operator still holds the namespace.
    pub(crate) fn is_held(&self) -> bool {
        finalizers(&self.namespace).any(|finalizer| finalizer == FINALIZER)
    }

    /// What is to be deleted next: whatever is not yet on its way out. Pods go before everything else, so that none loses its
    /// configuration or the rules of its network while it runs (KEP-5080). Records of effects go with their primaries, which may
    /// wait for what comes of them.
    pub(crate) fn deletable(&self) -> Vec<Arc<Object>> {
        let has_pods = self.contents.iter().any(|object| is_pod(object));
        let next = self.contents.iter().filter(|object| is_pod(object) || !has_pods);
        let next = next.filter(|object| object.key().resource != EFFECTS);
        let staying = next.filter(|object| !object.metadata().is_terminating());
        staying.take(DELETIONS_MAX).cloned().collect()
    }

    /// How many objects of each resource type are left.
    pub(crate) fn remaining(&self) -> BTreeMap<String, usize> {
        let mut remaining = BTreeMap::new();
        for object in &self.contents {
            *remaining.entry(object.key().resource.to_string()).or_default() += 1;
        }
        remaining
    }

    /// How many objects each finalizer still holds.
    pub(crate) fn finalizers_remaining(&self) -> BTreeMap<String, usize> {
        let mut remaining = BTreeMap::new();
        for finalizer in self.contents.iter().flat_map(|object| &object.metadata().finalizers) {
            *remaining.entry(finalizer.to_string()).or_default() += 1;
        }
        remaining
    }
}

fn is_pod(object: &Object) -> bool {
    object.key().resource == Pod::RESOURCE
}

fn finalizers(namespace: &Namespace) -> impl Iterator<Item = &str> {
    let spec = namespace.spec.as_ref();
    spec.and_then(|spec| spec.finalizers.as_ref()).into_iter().flatten().map(String::as_str)
}

/// The finalizers of others.
pub(crate) fn other_finalizers(namespace: &Namespace) -> Vec<&str> {
    finalizers(namespace).filter(|finalizer| *finalizer != FINALIZER).collect()
}
