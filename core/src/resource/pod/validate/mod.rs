//! The rules pods and pod templates follow, in the words of Kubernetes.

mod container;
mod env;
mod mount;
mod placement;
mod probe;
mod resources;
mod security;
mod source;
mod spec;
mod status;
#[cfg(test)]
mod tests;
mod update;
mod volume;

use serde_json::Value;

use crate::resource::check::{Faults, Field};
use crate::resource::metadata::validate_labels_and_annotations;

pub(super) use placement::{node_selector, tolerations};
pub(super) use resources::container_amounts;
pub(super) use status::status_update;
pub(super) use update::update;
pub(super) use volume::known_source;

/// Whose spec is being checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// A pod.
    Pod,
    /// A template pods are made from.
    Template,
}

/// Checks a pod.
pub(super) fn pod(pod: &Value) -> Faults {
    let mut faults = Faults::default();
    let pod = Field::root(pod);
    spec::pod_spec(&pod.at("spec"), Holder::Pod, &mut faults);
    faults
}

/// Checks what only a new pod must not have.
pub(super) fn creation(pod: &Value) -> Faults {
    let mut faults = Faults::default();
    let spec = Field::root(pod).at("spec");
    let ephemeral = spec.at("ephemeralContainers");
    if ephemeral.count() > 0 {
        faults.forbidden(&ephemeral, "cannot be set on create");
    }
    if !spec.at("nodeName").text().is_empty() && spec.at("schedulingGates").count() > 0 {
        faults.forbidden(&spec.at("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    faults
}

/// Checks a pod template.
pub(super) fn template(template: &Field<'_>, faults: &mut Faults) {
    validate_labels_and_annotations(&template.at("metadata"), faults);
    let spec = template.at("spec");
    spec::pod_spec(&spec, Holder::Template, faults);
    let ephemeral = spec.at("ephemeralContainers");
    if ephemeral.count() > 0 {
        faults.forbidden(&ephemeral, "ephemeral containers not allowed in pod template");
    }
}
