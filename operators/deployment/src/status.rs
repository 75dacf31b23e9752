//! The status a Deployment should have, computed from what is observed and from the conditions it had.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::view::View;

/// Whether enough pods are available.
const AVAILABLE: &str = "Available";
/// Whether the rollout moves.
pub(crate) const PROGRESSING: &str = "Progressing";
/// Whether pods could not be created or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// The rollout is complete.
pub(crate) const REASON_AVAILABLE: &str = "NewReplicaSetAvailable";
/// The rollout has stood still for too long.
pub(crate) const REASON_TIMED_OUT: &str = "ProgressDeadlineExceeded";
/// The present template's set was made.
const REASON_CREATED: &str = "NewReplicaSetCreated";
/// The present template's set was there already.
const REASON_FOUND: &str = "FoundNewReplicaSet";
/// The rollout moved.
const REASON_UPDATED: &str = "ReplicaSetUpdated";
/// The rollout was paused.
const REASON_PAUSED: &str = "DeploymentPaused";
/// The present template's set may not be made.
pub(crate) const REASON_REFUSED: &str = "ReplicaSetCreateError";
/// The rollout goes on.
const REASON_RESUMED: &str = "DeploymentResumed";

/// A Deployment's condition of that type.
pub(crate) fn condition<'a>(deployment: &'a Deployment, kind: &str) -> Option<&'a DeploymentCondition> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// What a step does about the present template's ReplicaSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewSet {
    /// It makes it.
    Created,
    /// It finds its name taken, and counts that: the count leads to another name.
    Collided,
    /// Nothing.
    AsItIs,
}

/// The status to write.
pub(crate) fn status(view: &View, new_set: NewSet) -> DeploymentStatus {
    match view.is_terminating() {
        true => last_status(view),
        false => present_status(view, new_set),
    }
}

fn present_status(view: &View, new_set: NewSet) -> DeploymentStatus {
    let before = view.deployment.status.clone().unwrap_or_default();
    let mut after = counts(view, &before, new_set);
    let mut conditions = before.conditions.clone().unwrap_or_default();
    set(&mut conditions, available(view), view.now);
    match progressing(view, &before, &after, new_set) {
        Progress::Says(condition) => set(&mut conditions, condition, view.now),
        Progress::AsBefore => {}
        Progress::NoDeadline => conditions.retain(|condition| condition.type_ != PROGRESSING),
    }
    match replica_failure(view) {
        Some(failure) => set(&mut conditions, failure, view.now),
        None => conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
    }
    after.conditions = Some(conditions);
    after
}

/// While the Deployment is being deleted, a rollout that goes nowhere tells no progress.
fn last_status(view: &View) -> DeploymentStatus {
    let before = view.deployment.status.clone().unwrap_or_default();
    let mut conditions = before.conditions.clone().unwrap_or_default();
    set(&mut conditions, available(view), view.now);
    DeploymentStatus { conditions: Some(conditions), ..counts(view, &before, NewSet::AsItIs) }
}

fn counts(view: &View, before: &DeploymentStatus, new_set: NewSet) -> DeploymentStatus {
    let sum = |number: fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> i32| -> i32 {
        view.all().filter_map(|set| set.status.as_ref()).map(number).sum()
    };
    let available = sum(|status| status.available_replicas.unwrap_or_default());
    let unavailable = (view.sets.replicas() - available).max(0);
    let collided = before.collision_count.unwrap_or_default() + i32::from(new_set == NewSet::Collided);
    DeploymentStatus {
        observed_generation: view.deployment.metadata.generation,
        replicas: some(sum(|status| status.replicas)),
        updated_replicas: some(view.sets.new.as_ref().map_or(0, |new| new.existing)),
        ready_replicas: some(sum(|status| status.ready_replicas.unwrap_or_default())),
        available_replicas: some(available),
        unavailable_replicas: some(unavailable),
        terminating_replicas: Some(view.sets.terminating()),
        collision_count: some(collided),
        conditions: None,
    }
}

/// Zero is left out, as the published type does.
fn some(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

fn available(view: &View) -> DeploymentCondition {
    match view.available() >= view.bounds.fewest() {
        true => says(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.".into()),
        false => says(
            AVAILABLE,
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.".into(),
        ),
    }
}

/// What users read where the present template's set may not be made.
pub(crate) fn refused_message(view: &View, refusal: &str) -> String {
    format!("Failed to create new replica set {:?}: {refusal}", view.new_set_name())
}

/// Whether the status tells of the refusal met.
pub(crate) fn tells_of_refusal(view: &View, refusal: &str) -> bool {
    let said = condition(&view.deployment, PROGRESSING).filter(|it| it.reason.as_deref() == Some(REASON_REFUSED));
    said.and_then(|it| it.message.as_deref()) == Some(&refused_message(view, refusal))
}

enum Progress {
    Says(DeploymentCondition),
    AsBefore,
    NoDeadline,
}

fn progressing(view: &View, before: &DeploymentStatus, after: &DeploymentStatus, new_set: NewSet) -> Progress {
    let said = condition(&view.deployment, PROGRESSING);
    let reason = said.and_then(|it| it.reason.as_deref());
    if view.deadline_seconds().is_none() {
        return Progress::NoDeadline;
    }
    if view.is_paused() {
        return match reason {
            Some(REASON_TIMED_OUT | REASON_PAUSED) => Progress::AsBefore,
            _ => Progress::Says(says(PROGRESSING, "Unknown", REASON_PAUSED, "Deployment is paused".into())),
        };
    }
    let set = view.new.as_ref().and_then(|set| set.metadata.name.clone()).unwrap_or_else(|| view.new_set_name());
    if let Some(refusal) = &view.refusal {
        return Progress::Says(says(PROGRESSING, "False", REASON_REFUSED, refused_message(view, refusal)));
    }
    if new_set == NewSet::Created {
        let text = format!("Created new replica set {set:?}");
        return Progress::Says(says(PROGRESSING, "True", REASON_CREATED, text));
    }
    if said.is_none() && view.new.is_some() {
        return Progress::Says(says(PROGRESSING, "True", REASON_FOUND, format!("Found new replica set {set:?}")));
    }
    if reason == Some(REASON_PAUSED) {
        return Progress::Says(says(PROGRESSING, "Unknown", REASON_RESUMED, "Deployment is resumed".into()));
    }
    // A complete rollout stays complete while the same template rules, even if pods come and go.
    if reason == Some(REASON_AVAILABLE) && after.replicas == after.updated_replicas {
        return Progress::AsBefore;
    }
    if view.is_complete() {
        let text = format!("ReplicaSet {set:?} has successfully progressed.");
        return Progress::Says(says(PROGRESSING, "True", REASON_AVAILABLE, text));
    }
    if moved(before, after) {
        return Progress::Says(DeploymentCondition {
            last_update_time: Some(Time(view.now)),
            ..says(PROGRESSING, "True", REASON_UPDATED, format!("ReplicaSet {set:?} is progressing."))
        });
    }
    if view.timed_out() {
        let text = format!("ReplicaSet {set:?} has timed out progressing.");
        return Progress::Says(says(PROGRESSING, "False", REASON_TIMED_OUT, text));
    }
    Progress::AsBefore
}

/// Whether there are more new pods, fewer old ones, or more that are ready or available.
fn moved(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let number = |count: Option<i32>| count.unwrap_or_default();
    let old = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(after.updated_replicas) > number(before.updated_replicas)
        || old(after) < old(before)
        || number(after.ready_replicas) > number(before.ready_replicas)
        || number(after.available_replicas) > number(before.available_replicas)
}

fn replica_failure(view: &View) -> Option<DeploymentCondition> {
    let failing = view.all().filter_map(|set| set.status.as_ref()?.conditions.as_ref());
    let failure = failing.flatten().find(|condition| condition.type_ == REPLICA_FAILURE)?;
    Some(says(
        REPLICA_FAILURE,
        &failure.status,
        failure.reason.as_deref().unwrap_or_default(),
        failure.message.clone().unwrap_or_default(),
    ))
}

fn says(kind: &str, status: &str, reason: &str, message: String) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_transition_time: None,
        last_update_time: None,
    }
}

/// Puts a condition in. The same status for the same reason is no news, unless the condition brings a time of its own;
/// the time of transition stays while the status does.
fn set(conditions: &mut Vec<DeploymentCondition>, mut condition: DeploymentCondition, now: Timestamp) {
    let before = conditions.iter().find(|before| before.type_ == condition.type_);
    let is_news = |before: &DeploymentCondition| {
        before.status != condition.status || before.reason != condition.reason || condition.last_update_time.is_some()
    };
    if before.is_some_and(|before| !is_news(before)) {
        return;
    }
    let stays = before.filter(|before| before.status == condition.status);
    condition.last_transition_time = stays.and_then(|before| before.last_transition_time.clone()).or(Some(Time(now)));
    condition.last_update_time = Some(Time(now));
    conditions.retain(|before| before.type_ != condition.type_);
    conditions.push(condition);
}
