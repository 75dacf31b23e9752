//! The status of a namespace that is being deleted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::View;

/// The status to write: the phase, and while the namespace is emptied what is left in it.
pub(crate) fn status(view: &View) -> NamespaceStatus {
    let before = view.namespace.status.clone().unwrap_or_default();
    if !view.is_deleted() {
        return NamespaceStatus { phase: Some("Active".into()), ..before };
    }
    let conditions = [content_deleted(), content_remaining(view), finalizers_remaining(view)];
    let kept = |condition: NamespaceCondition| stamp(condition, &before, view);
    NamespaceStatus { phase: Some("Terminating".into()), conditions: Some(conditions.into_iter().map(kept).collect()) }
}

/// Whether the status already says what is.
pub(crate) fn is_current(view: &View) -> bool {
    view.namespace.status.as_ref() == Some(&status(view))
}

fn content_deleted() -> NamespaceCondition {
    says(
        "NamespaceDeletionContentFailure",
        "False",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization".into(),
    )
}

fn content_remaining(view: &View) -> NamespaceCondition {
    match list(&view.remaining(), |resource, count| format!("{resource} has {count} resource instances")) {
        None => says("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed".into()),
        Some(list) => says(
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            format!("Some resources are remaining: {list}"),
        ),
    }
}

fn finalizers_remaining(view: &View) -> NamespaceCondition {
    match list(&view.finalizers_remaining(), |finalizer, count| format!("{finalizer} in {count} resource instances")) {
        None => says(
            "NamespaceFinalizersRemaining",
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".into(),
        ),
        Some(list) => says(
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {list}"),
        ),
    }
}

fn list(counts: &BTreeMap<String, usize>, line: impl Fn(&str, usize) -> String) -> Option<String> {
    let lines: Vec<String> = counts.iter().map(|(name, count)| line(name, *count)).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn says(kind: &str, status: &str, reason: &str, message: String) -> NamespaceCondition {
    NamespaceCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_transition_time: None,
    }
}

/// A condition keeps its time of transition while its status stays.
fn stamp(mut condition: NamespaceCondition, before: &NamespaceStatus, view: &View) -> NamespaceCondition {
    let earlier = before.conditions.iter().flatten().find(|earlier| earlier.type_ == condition.type_);
    let stays = earlier.filter(|earlier| earlier.status == condition.status);
    let now = jiff::Timestamp::from_second(view.now.as_second()).unwrap_or(view.now);
    condition.last_transition_time = stays.and_then(|earlier| earlier.last_transition_time.clone()).or(Some(Time(now)));
    condition
}
