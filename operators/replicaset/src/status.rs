//! The status of a ReplicaSet: what the engine tells, in its own words.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};

/// The ReplicaSet with that status.
pub(crate) fn told(set: &ReplicaSet, status: ReplicaSetStatus) -> ReplicaSet {
    ReplicaSet { status: Some(status), ..set.clone() }
}
