//! A pod as its owner's template describes it.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_core::operator::Kind;

use crate::controller_reference;

/// The longest prefix of a generated name: a DNS label less the five characters that are added.
const PREFIX_MAX: usize = 58;

/// A pod of `owner`, to be created. The server completes its name.
pub fn pod_from_template<K: Kind>(owner: &K, template: &PodTemplateSpec) -> Pod {
    let shape = template.metadata.clone().unwrap_or_default();
    let owner_name = owner.meta().name.clone().unwrap_or_default();
    let prefix: String = owner_name.chars().take(PREFIX_MAX - 1).collect();
    Pod {
        metadata: ObjectMeta {
            namespace: owner.meta().namespace.clone(),
            generate_name: Some(format!("{prefix}-")),
            labels: shape.labels,
            annotations: shape.annotations,
            finalizers: shape.finalizers,
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}
