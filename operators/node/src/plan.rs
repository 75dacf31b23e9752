//! What is known of a node, and how it stands.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use sampan_podset::condition_of;

use crate::disruption::Disruption;
use crate::status;
use crate::taints;

/// How long a node may be silent: the default of `--node-monitor-grace-period` since Kubernetes 1.32.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_secs(50);
/// How long a new node may take before it first tells how it is: the default of `--node-startup-grace-period`.
pub(crate) const GRACE_AT_FIRST: SignedDuration = SignedDuration::from_secs(60);

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) node: Arc<Node>,
    pub(crate) now: Timestamp,
    /// When it was last heard of, or when somebody began to listen.
    pub(crate) heard: Timestamp,
    /// The pods on it that say they are ready: looked at only where it is silent.
    pub(crate) ready_pods: Vec<Arc<Pod>>,
    /// How many others are lost as well: looked at only where it is not ready.
    pub(crate) disruption: Disruption,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Awaited,
    Ready,
    NotReady,
    Silent,
    Lost,
}

impl View {
    /// The node's name.
    pub(crate) fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap_or_default()
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        if self.is_silent() {
            return if status::is_all_unknown(&self.node) { Standing::Lost } else { Standing::Silent };
        }
        match condition_of(&self.node, "Ready") {
            None => Standing::Awaited,
            Some("True") => Standing::Ready,
            Some("False") => Standing::NotReady,
            Some(_) => Standing::Lost,
        }
    }

    /// When it has been silent for too long.
    pub(crate) fn silent_at(&self) -> Timestamp {
        let has_told = condition_of(&self.node, "Ready").is_some();
        let grace = if has_told { GRACE } else { GRACE_AT_FIRST };
        self.heard.saturating_add(grace).unwrap_or(Timestamp::MAX)
    }

    /// Whether it has been silent for too long.
    pub(crate) fn is_silent(&self) -> bool {
        self.now >= self.silent_at()
    }

    /// When to look again though nothing changes: its Lease wakes nobody.
    pub(crate) fn look_again_at(&self) -> Option<Timestamp> {
        (!status::is_all_unknown(&self.node)).then(|| self.silent_at())
    }

    /// Whether its taints are what they should be.
    pub(crate) fn is_tainted_right(&self) -> bool {
        taints::tainted(self).is_none()
    }
}

/// When the node last told how it is, by its own clock.
pub(crate) fn heartbeat(node: &Node) -> Option<Timestamp> {
    let ready = conditions(node).find(|condition| condition.type_ == "Ready")?;
    Some(ready.last_heartbeat_time.as_ref()?.0)
}

fn conditions(node: &Node) -> impl Iterator<Item = &NodeCondition> {
    node.status.iter().flat_map(|status| status.conditions.iter().flatten())
}
