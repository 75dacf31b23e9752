//! The status of a definition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionCondition, CustomResourceDefinitionStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::{Conflict, View};

/// The status to write.
pub(crate) fn status(view: &View) -> CustomResourceDefinitionStatus {
    let mut status = view.definition.status.clone().unwrap_or_default();
    if view.is_deleted() {
        if view.seeks_names() {
            let (names, conflict) = view.settle_names();
            status.accepted_names = Some(names);
            set(&mut status, accepted(conflict.as_ref()), view);
        }
        set(&mut status, terminating(view), view);
        return status;
    }
    let (names, conflict) = match view.has_its_names() {
        true => (view.definition.spec.names.clone(), None),
        false => view.settle_names(),
    };
    // The gateway serves the type once its names are accepted: it is established after that, never with it.
    let established = match (view.is("Established") || (view.is("NamesAccepted") && conflict.is_none()), &conflict) {
        (true, _) => says("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
        (false, None) => {
            says("Established", "False", "Installing", "the names are accepted, the type is not served yet")
        }
        (false, Some(_)) => says("Established", "False", "NotAccepted", "not all names are accepted"),
    };
    status.accepted_names = Some(names);
    set(&mut status, accepted(conflict.as_ref()), view);
    set(&mut status, established, view);
    status
}

/// Whether the status already says what is.
pub(crate) fn is_current(view: &View) -> bool {
    view.definition.status.as_ref() == Some(&status(view))
}

fn accepted(conflict: Option<&Conflict>) -> CustomResourceDefinitionCondition {
    match conflict {
        None => says("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some(conflict) => says("NamesAccepted", "False", conflict.reason, &conflict.message),
    }
}

fn terminating(view: &View) -> CustomResourceDefinitionCondition {
    match view.instances.is_empty() {
        false => says("Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"),
        true => says("Terminating", "False", "InstanceDeletionCompleted", "removed all instances"),
    }
}

fn says(kind: &str, status: &str, reason: &str, message: &str) -> CustomResourceDefinitionCondition {
    CustomResourceDefinitionCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        ..CustomResourceDefinitionCondition::default()
    }
}

/// A condition keeps its time of transition while its status stays.
fn set(status: &mut CustomResourceDefinitionStatus, mut condition: CustomResourceDefinitionCondition, view: &View) {
    let conditions = status.conditions.get_or_insert_default();
    let now = jiff::Timestamp::from_second(view.now.as_second()).unwrap_or(view.now);
    condition.last_transition_time = Some(Time(now));
    match conditions.iter_mut().find(|earlier| earlier.type_ == condition.type_) {
        Some(earlier) => {
            if earlier.status == condition.status {
                condition.last_transition_time.clone_from(&earlier.last_transition_time);
            }
            *earlier = condition;
        }
        None => conditions.push(condition),
    }
}
