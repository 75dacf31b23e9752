//! What a ReplicationController wants.

use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use k8s_openapi::api::core::v1::{PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sampan_core::object::selector::Selector;
use sampan_podset::replicas::Replicator;

use crate::{ReplicationControllerOperator, status};

impl Replicator for ReplicationControllerOperator {
    type Set = ReplicationController;
    const TELLS_TERMINATING: bool = false;

    /// Labels, each to be equal: no other selector is known to it.
    fn selector(set: &ReplicationController) -> Option<Selector> {
        let labels = set.spec.as_ref()?.selector.as_ref().filter(|labels| !labels.is_empty())?;
        Selector::try_from(&LabelSelector { match_labels: Some(labels.clone()), ..LabelSelector::default() }).ok()
    }

    fn template(set: &ReplicationController) -> Option<&PodTemplateSpec> {
        set.spec.as_ref()?.template.as_ref()
    }

    fn replicas(set: &ReplicationController) -> Option<i32> {
        set.spec.as_ref()?.replicas
    }

    fn min_ready_seconds(set: &ReplicationController) -> Option<i32> {
        set.spec.as_ref()?.min_ready_seconds
    }

    fn status(set: &ReplicationController) -> Option<ReplicaSetStatus> {
        set.status.clone().map(status::as_replica_sets)
    }

    fn with_status(set: &ReplicationController, status: ReplicaSetStatus) -> ReplicationController {
        status::told(set, status)
    }
}
