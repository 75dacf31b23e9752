//! The status of a ReplicationController: that of a ReplicaSet in its own words.

use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus};

/// The status as a ReplicaSet would have it.
pub(crate) fn as_replica_sets(status: ReplicationControllerStatus) -> ReplicaSetStatus {
    let condition = |told: ReplicationControllerCondition| ReplicaSetCondition {
        type_: told.type_,
        status: told.status,
        reason: told.reason,
        message: told.message,
        last_transition_time: told.last_transition_time,
    };
    ReplicaSetStatus {
        replicas: status.replicas,
        fully_labeled_replicas: status.fully_labeled_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        terminating_replicas: None,
        observed_generation: status.observed_generation,
        conditions: status.conditions.map(|conditions| conditions.into_iter().map(condition).collect()),
    }
}

/// The ReplicationController with that status. How many of its pods are going it does not tell.
pub(crate) fn told(set: &ReplicationController, status: ReplicaSetStatus) -> ReplicationController {
    let condition = |told: ReplicaSetCondition| ReplicationControllerCondition {
        type_: told.type_,
        status: told.status,
        reason: told.reason,
        message: told.message,
        last_transition_time: told.last_transition_time,
    };
    let status = ReplicationControllerStatus {
        replicas: status.replicas,
        fully_labeled_replicas: status.fully_labeled_replicas,
        ready_replicas: status.ready_replicas,
        available_replicas: status.available_replicas,
        observed_generation: status.observed_generation,
        conditions: status.conditions.map(|conditions| conditions.into_iter().map(condition).collect()),
    };
    ReplicationController { status: Some(status), ..set.clone() }
}
