//! What must hold once nobody disturbs the cluster any more.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use sampan_core::object::Object;
use sampan_core::store::Snapshot;

use super::completion;
use super::laws::{DEPLOYMENTS, PODS, REPLICA_SETS};

type Verdict = Result<(), String>;

/// Every workload is as its spec says, nothing is without its owner, and nothing is left half deleted.
///
/// # Errors
/// What is not so.
pub(super) fn is_complete(snapshot: &Snapshot) -> Verdict {
    for object in snapshot.list(DEPLOYMENTS, None, None) {
        deployment_is_complete(object)?;
    }
    for object in snapshot.list(REPLICA_SETS, None, None) {
        set_is_complete(object)?;
    }
    for object in snapshot.list(PODS, None, None) {
        pod_is_ready(object)?;
    }
    completion::is_complete(snapshot)?;
    nothing_is_orphaned(snapshot)
}

fn deployment_is_complete(object: &Object) -> Verdict {
    let Ok(deployment) = object.decode::<Deployment>() else { return Err(format!("{} does not decode", object.key())) };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let told = [status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas];
    let told = told.map(Option::unwrap_or_default);
    let is_seen = status.observed_generation == Some(object.metadata().generation);
    let unavailable = status.unavailable_replicas.unwrap_or_default();
    if told == [wanted; 4] && is_seen && unavailable == 0 {
        return Ok(());
    }
    let key = object.key();
    Err(format!(
        "{key} is complete: wanted {wanted}, has replicas, updated, ready, available {told:?}, observed {is_seen}"
    ))
}

fn set_is_complete(object: &Object) -> Verdict {
    let Ok(set) = object.decode::<ReplicaSet>() else { return Err(format!("{} does not decode", object.key())) };
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = set.status.clone().unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or_default();
    let is_seen = status.observed_generation == Some(object.metadata().generation);
    if status.replicas == wanted && ready == wanted && is_seen {
        return Ok(());
    }
    let told = (status.replicas, ready);
    Err(format!("{} is complete: wanted {wanted}, has replicas, ready {told:?}, observed {is_seen}", object.key()))
}

fn pod_is_ready(object: &Object) -> Verdict {
    let Ok(pod) = object.decode::<Pod>() else { return Err(format!("{} does not decode", object.key())) };
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let is_ready = conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True");
    let has_ended = matches!(status.and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"));
    if (is_ready || has_ended) && !object.metadata().is_terminating() {
        return Ok(());
    }
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("unknown");
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
    Err(format!("{} is ready: it is {phase} on {node}", object.key()))
}

fn nothing_is_orphaned(snapshot: &Snapshot) -> Verdict {
    let resources: Vec<_> = snapshot.resources().collect();
    let objects = || resources.iter().flat_map(|resource| snapshot.list(*resource, None, None));
    let living: BTreeSet<_> = objects().map(|object| &object.metadata().uid).collect();
    for object in objects() {
        let owners = &object.metadata().owner_references;
        if !owners.is_empty() && !owners.iter().any(|owner| living.contains(&owner.uid)) {
            return Err(format!("what has lost its owners goes: {} is still there", object.key()));
        }
        if object.metadata().is_terminating() {
            return Err(format!("what is deleted goes: {} is still there", object.key()));
        }
    }
    Ok(())
}

/// Nodes hold something of the pods bound to them, and of no other.
///
/// # Errors
/// The first pod that is not where it should be.
pub(super) fn nodes_hold_their_pods(snapshot: &Snapshot, node: &str, held: &BTreeSet<String>) -> Verdict {
    let bound = snapshot.list(PODS, None, None).filter(|pod| pod.field("spec.nodeName") == Some(node));
    let bound: BTreeSet<String> = bound.map(|pod| pod.metadata().uid.as_str().to_owned()).collect();
    match (held.difference(&bound).next(), bound.difference(held).next()) {
        (Some(left), _) => Err(format!("nothing is left of pods that are gone: {node} still holds {left}")),
        (None, Some(missing)) => Err(format!("{node} holds nothing of {missing}, which is bound to it")),
        (None, None) => Ok(()),
    }
}
