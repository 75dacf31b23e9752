//! What a ReplicaSet wants.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use sampan_core::object::selector::Selector;
use sampan_podset::replicas::Replicator;

use crate::{ReplicaSetOperator, status};

impl Replicator for ReplicaSetOperator {
    type Set = ReplicaSet;
    const TELLS_TERMINATING: bool = true;

    fn selector(set: &ReplicaSet) -> Option<Selector> {
        Selector::try_from(&set.spec.as_ref()?.selector).ok()
    }

    fn template(set: &ReplicaSet) -> Option<&PodTemplateSpec> {
        set.spec.as_ref()?.template.as_ref()
    }

    fn replicas(set: &ReplicaSet) -> Option<i32> {
        set.spec.as_ref()?.replicas
    }

    fn min_ready_seconds(set: &ReplicaSet) -> Option<i32> {
        set.spec.as_ref()?.min_ready_seconds
    }

    fn status(set: &ReplicaSet) -> Option<ReplicaSetStatus> {
        set.status.clone()
    }

    fn with_status(set: &ReplicaSet, status: ReplicaSetStatus) -> ReplicaSet {
        status::told(set, status)
    }
}
