//! A Deployment, its ConfigMap, and what follows from that.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use sampan::core::object::ObjectKey;
use sampan::core::operator::Kind as _;

/// Names the ConfigMap a Deployment rolls with.
pub(crate) const CONFIG_MAP: &str = "example.com/config-map";
/// Tells in the pods' template what the ConfigMap held.
pub(crate) const CHECKSUM: &str = "example.com/config-checksum";

/// One look at a Deployment.
pub struct View {
    pub(crate) deployment: Arc<Deployment>,
    /// The ConfigMap it names, where there is one.
    pub(crate) map: Option<Arc<ConfigMap>>,
}

/// The ConfigMap a Deployment names.
pub(crate) fn map_of(deployment: &Deployment) -> Option<ObjectKey> {
    let name = deployment.metadata.annotations.as_ref()?.get(CONFIG_MAP)?;
    let namespace = deployment.metadata.namespace.as_deref()?;
    Some(ObjectKey::namespaced(ConfigMap::RESOURCE, namespace, name))
}

impl View {
    /// Whether its pods are made with what the ConfigMap holds.
    pub(crate) fn is_rolled(&self) -> bool {
        let template = self.deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
        let told = template.and_then(|metadata| metadata.annotations.as_ref()?.get(CHECKSUM));
        told == self.map.as_deref().map(checksum).as_ref()
    }

    /// The Deployment, with pods that are made with what the ConfigMap holds.
    pub(crate) fn rolled(&self) -> Deployment {
        let mut rolled = (*self.deployment).clone();
        let template = rolled.spec.get_or_insert_default().template.metadata.get_or_insert_default();
        let annotations = template.annotations.get_or_insert_default();
        annotations.extend(self.map.as_deref().map(|map| (CHECKSUM.to_owned(), checksum(map))));
        rolled
    }
}

/// Tells contents apart: FNV-1a over them, 64 bits.
fn checksum(map: &ConfigMap) -> String {
    let held = serde_json::to_vec(&(&map.data, &map.binary_data)).unwrap_or_default();
    let hash = held
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
