//! A pod as its machine sees it, and why a node refuses one.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_core::Timestamp;

use crate::preemption::Preemption;
use crate::search::Search;
use crate::volumes::Claims;

/// A pod, as its machine sees it.
pub struct View {
    pub(crate) pod: Arc<Pod>,
    /// What came of looking for a node, where it needs one.
    pub(crate) search: Search,
    /// What may be hoped of others, where there is none.
    pub(crate) preemption: Preemption,
    /// What its claims say of where it may run.
    pub(crate) claims: Claims,
    pub(crate) now: Timestamp,
}

/// Whether a pod is to be placed now.
pub(crate) fn needs_node(pod: &Pod) -> bool {
    !is_placed(pod) && !is_withdrawn(pod) && !is_gated(pod)
}

pub(crate) fn is_placed(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

pub(crate) fn is_withdrawn(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

pub(crate) fn is_gated(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty())
}

/// Why a node refuses a pod, in the words of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reasons: Vec<String>,
    /// It would refuse the pod just so if nothing stood anywhere.
    pub(crate) is_lasting: bool,
}

impl Refusal {
    /// Whoever leaves does not help.
    pub(crate) fn lasting(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], is_lasting: true }
    }

    /// It may end when somebody leaves.
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], is_lasting: false }
    }
}
