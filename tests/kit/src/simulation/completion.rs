//! What must hold of StatefulSets, DaemonSets, Jobs and Services once nobody disturbs the cluster any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use sampan_core::object::Object;
use sampan_core::store::Snapshot;

use super::kinds::{DAEMON_SETS, JOBS, SERVICES, SLICES, STATEFUL_SETS};
use super::laws::PODS;
use super::roles::is_ready;

type Verdict = Result<(), String>;

/// Every one of them is as its spec says.
///
/// # Errors
/// What is not so.
pub(super) fn is_complete(snapshot: &Snapshot) -> Verdict {
    snapshot.list(STATEFUL_SETS, None, None).try_for_each(stateful_set)?;
    snapshot.list(DAEMON_SETS, None, None).try_for_each(daemon_set)?;
    snapshot.list(JOBS, None, None).try_for_each(job)?;
    snapshot.list(SERVICES, None, None).try_for_each(|object| service(object, snapshot))
}

fn undecodable<E>(object: &Object) -> impl Fn(E) -> String {
    let key = object.key().clone();
    move |_| format!("{key} does not decode")
}

fn stateful_set(object: &Arc<Object>) -> Verdict {
    let set = object.decode::<StatefulSet>().map_err(undecodable(object))?;
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = set.status.clone().unwrap_or_default();
    let updated = status.updated_replicas.unwrap_or_default();
    let told = [status.replicas, updated, status.ready_replicas.unwrap_or_default()];
    let is_seen = status.observed_generation == Some(object.metadata().generation);
    if told == [wanted; 3] && is_seen {
        return Ok(());
    }
    Err(format!(
        "{} is complete: wanted {wanted}, has replicas, updated, ready {told:?}, observed {is_seen}",
        object.key()
    ))
}

fn daemon_set(object: &Arc<Object>) -> Verdict {
    let set = object.decode::<DaemonSet>().map_err(undecodable(object))?;
    let status = set.status.clone().unwrap_or_default();
    let updated = status.updated_number_scheduled.unwrap_or_default();
    let told = [status.current_number_scheduled, updated, status.number_ready];
    let is_seen = status.observed_generation == Some(object.metadata().generation);
    if told == [status.desired_number_scheduled; 3] && is_seen {
        return Ok(());
    }
    let wanted = status.desired_number_scheduled;
    Err(format!(
        "{} is complete: wanted {wanted}, has current, updated, ready {told:?}, observed {is_seen}",
        object.key()
    ))
}

fn job(object: &Arc<Object>) -> Verdict {
    let job = object.decode::<Job>().map_err(undecodable(object))?;
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let has_ended =
        conditions.into_iter().any(|it| matches!(it.type_.as_str(), "Complete" | "Failed") && it.status == "True");
    if has_ended { Ok(()) } else { Err(format!("{} is complete: it has not ended", object.key())) }
}

/// The ready pods a Service selects are those it leads to.
fn service(object: &Arc<Object>, snapshot: &Snapshot) -> Verdict {
    let service = object.decode::<Service>().map_err(undecodable(object))?;
    let Some(selector) = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return Ok(()) };
    let namespace = object.key().namespace.as_deref();
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for found in snapshot.list(PODS, namespace, None) {
        let pod = found.decode::<Pod>().map_err(undecodable(found))?;
        let labels = &found.metadata().labels;
        let is_selected =
            selector.iter().all(|(label, value)| labels.get(label.as_str()).is_some_and(|it| **it == **value));
        if is_selected && is_ready(found, &pod) {
            expected.insert(found.metadata().uid.as_str().to_owned());
        }
    }
    let mut led_to: BTreeSet<String> = BTreeSet::new();
    for found in snapshot.list(SLICES, namespace, None) {
        let owners = &found.metadata().owner_references;
        if owners.iter().all(|owner| owner.uid != object.metadata().uid) {
            continue;
        }
        let slice = found.decode::<EndpointSlice>().map_err(undecodable(found))?;
        for endpoint in &slice.endpoints {
            let is_ready = endpoint.conditions.as_ref().and_then(|it| it.ready).unwrap_or(true);
            led_to.extend(endpoint.target_ref.iter().filter(|_| is_ready).filter_map(|target| target.uid.clone()));
        }
    }
    match expected == led_to {
        true => Ok(()),
        false => Err(format!("{} is complete: it leads to {led_to:?}, ready are {expected:?}", object.key())),
    }
}
