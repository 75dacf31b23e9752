//! What an operator is.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_machine::{Chart, Machine, WakeReason};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Declaration;
use crate::object::{ObjectKey, ResourceType};

/// A Rust type that is stored under a resource type: what operators read and write.
///
/// Every type of `k8s-openapi` with object metadata is one.
pub trait Kind: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Where it is stored.
    const RESOURCE: ResourceType;
    /// Its `apiVersion`.
    const API_VERSION: &'static str;
    /// Its `kind`.
    const KIND: &'static str;

    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;

    /// Its metadata, to be changed.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// Where an object of this kind is found.
    fn key(&self) -> ObjectKey {
        let meta = self.meta();
        ObjectKey {
            resource: Self::RESOURCE,
            namespace: meta.namespace.as_deref().map(Into::into),
            name: meta.name.as_deref().unwrap_or_default().into(),
        }
    }
}

impl<T> Kind for T
where
    T: k8s_openapi::Resource + k8s_openapi::Metadata<Ty = ObjectMeta>,
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    const RESOURCE: ResourceType = ResourceType::new(T::GROUP, T::URL_PATH_SEGMENT);
    const API_VERSION: &'static str = <T as k8s_openapi::Resource>::API_VERSION;
    const KIND: &'static str = <T as k8s_openapi::Resource>::KIND;

    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }
}

/// A resource type's operator.
///
/// # Guarantees
/// The runtime gives every step one snapshot of all it reads, commits its commands all or none, and only if nothing it
/// read has changed since. Steps of one key never run side by side.
///
/// # Caveats
/// A step is pure: no I/O, no clock but the context's, no randomness but the context's. One commit holds at most one
/// command per object and 500 commands in all; what is beyond is dropped and the key woken again, so commands follow
/// from the snapshot each time.
pub trait Operator: Send + Sync + 'static {
    /// The machine, one per primary object.
    type Machine: Machine;

    /// The states and edges of its machines, declared beside them.
    fn chart(&self) -> &'static Chart;

    /// A machine that has observed nothing.
    fn machine(&self) -> Self::Machine;

    /// What the operator watches, owns and writes. The runtime refuses what is not declared.
    fn declaration(&self) -> Declaration;

    /// One step: observe the snapshot, move the machine, issue commands.
    fn step(&self, machine: &mut Self::Machine, wake: &Wake, cx: &mut super::Context<'_>);
}

/// Why a step runs.
#[derive(Debug, Clone)]
pub struct Wake {
    /// The primary's key.
    pub key: ObjectKey,
    /// Every change merged into this wake-up, bounded; never an object.
    pub reasons: Vec<WakeReason>,
    /// What the gateway answered to the commands of the step before, if it refused one of them.
    pub refusal: Option<Arc<Refused>>,
}

/// A command the gateway refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its place among the commands of its kind and resource type: so many before it were accepted.
    pub accepted_before: usize,
    /// The resource type the command was about.
    pub resource: ResourceType,
    /// What was to be done.
    pub verb: super::WriteVerb,
    /// The answer.
    pub status: crate::status::Status,
}
