//! From what the machine wants to commands.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sampan_core::gateway::{DeleteOptions, Propagation};
use sampan_core::operator::{Context, EventKind, Kind as _, WriteVerb};
use sampan_podset::{HASH_LABEL, controller_reference};

use crate::machine::Intent;
use crate::plan::Resize;
use crate::selector_of;
use crate::status::{NewSet, last_status, status};
use crate::view::{DESIRED_REPLICAS, MAX_REPLICAS, REVISION, View};

/// Annotations of a Deployment that its ReplicaSets do not take over.
const OWN_ANNOTATIONS: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    DESIRED_REPLICAS,
    MAX_REPLICAS,
];

/// Takes ReplicaSets without a controller that the selector matches, and lets go those it no longer matches. Says whether
/// there was anything to do.
pub(crate) fn adopt(cx: &mut Context<'_>, deployment: &Deployment) -> bool {
    let (Some(selector), Some(namespace)) = (selector_of(deployment), deployment.metadata.namespace.as_deref()) else {
        return false;
    };
    if deployment.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let matching = cx.matching::<ReplicaSet>(namespace, &selector);
    let strays: Vec<Arc<ReplicaSet>> = controlled(cx, deployment)
        .into_iter()
        .filter(|set| matching.iter().all(|it| it.metadata.uid != set.metadata.uid))
        .collect();
    let orphans: Vec<&Arc<ReplicaSet>> = matching.iter().filter(|set| is_orphan(set)).collect();
    for set in &orphans {
        let mut set = ReplicaSet::clone(set);
        set.metadata.owner_references.get_or_insert_default().push(controller_reference(deployment));
        cx.update(&set);
    }
    for set in &strays {
        let mut set = ReplicaSet::clone(set);
        set.metadata.owner_references.iter_mut().for_each(|owners| owners.retain(|it| !is_by(it, deployment)));
        cx.update(&set);
    }
    !orphans.is_empty() || !strays.is_empty()
}

/// The ReplicaSets a Deployment controls.
pub(crate) fn controlled(cx: &mut Context<'_>, deployment: &Deployment) -> Vec<Arc<ReplicaSet>> {
    let mut sets = cx.owned::<ReplicaSet>();
    sets.retain(|set| {
        let owners = set.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| owner.controller == Some(true) && is_by(owner, deployment))
    });
    sets
}

fn is_by(owner: &OwnerReference, deployment: &Deployment) -> bool {
    deployment.metadata.uid.as_ref() == Some(&owner.uid)
}

fn is_orphan(set: &ReplicaSet) -> bool {
    let mut owners = set.metadata.owner_references.iter().flatten();
    set.metadata.deletion_timestamp.is_none() && owners.all(|owner| owner.controller != Some(true))
}

/// Issues the commands the intents come to, and what follows from the view in every state: the status, the revision.
pub(crate) fn carry_out(cx: &mut Context<'_>, view: &View, intents: &[Intent]) {
    let mut new_set = NewSet::AsItIs;
    for intent in intents {
        match intent {
            Intent::CreateSet(size) => {
                if let Some(message) = refusal(cx) {
                    tell_of_refusal(cx, view, &message);
                } else {
                    new_set = NewSet::Created;
                    create_set(cx, view, *size);
                }
            }
            Intent::CountCollision => new_set = NewSet::Collided,
            Intent::Resize(resize) => resize_set(cx, view, resize),
            Intent::Forget(name) => forget_set(cx, view, name),
        }
    }
    let mut deployment = Deployment::clone(&view.deployment);
    deployment.status = Some(match view.is_terminating() {
        true => last_status(view),
        false => status(view, new_set),
    });
    if !view.is_terminating() {
        renew_annotations(cx, view, intents);
    }
    if view.new.is_some() || new_set == NewSet::Created {
        say_revision(cx, view);
    }
    cx.update_status(&deployment);
}

/// Why the ReplicaSet that the step before wanted may not be created.
fn refusal(cx: &Context<'_>) -> Option<String> {
    let refused = cx.refusal().filter(|it| it.verb == WriteVerb::Create && it.resource == ReplicaSet::RESOURCE);
    refused.map(|it| it.status.message.clone())
}

/// Tells what is waited for instead of asking again at once: the driver comes back later by itself.
fn tell_of_refusal(cx: &mut Context<'_>, view: &View, message: &str) {
    let text = format!("Failed to create new replica set {:?}: {message}", view.new_set_name());
    cx.trace().waiting_for("the new ReplicaSet may be created", message, None);
    cx.event(EventKind::Warning, "ReplicaSetCreateError", text);
}

fn create_set(cx: &mut Context<'_>, view: &View, size: i32) {
    let Some(spec) = view.deployment.spec.as_ref() else { return };
    let hash = [(HASH_LABEL.to_owned(), view.hash.clone())];
    let mut template = spec.template.clone();
    template.metadata.get_or_insert_default().labels.get_or_insert_default().extend(hash.clone());
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().extend(hash);
    let set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(view.new_set_name()),
            namespace: view.deployment.metadata.namespace.clone(),
            labels: template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()),
            annotations: Some(annotations(view, None)),
            owner_references: Some(vec![controller_reference(&*view.deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    cx.create(&set);
    if size > 0 {
        let text = format!("Scaled up replica set {} from 0 to {size}", view.new_set_name());
        cx.event(EventKind::Normal, "ScalingReplicaSet", text);
    }
}

fn resize_set(cx: &mut Context<'_>, view: &View, resize: &Resize) {
    let Some(set) = set_named(view, &resize.name) else { return };
    let mut sized = renewed(view, set);
    if let Some(spec) = &mut sized.spec {
        spec.replicas = Some(resize.to);
    }
    cx.update(&sized);
    let direction = if resize.to > resize.from { "up" } else { "down" };
    let text = format!("Scaled {direction} replica set {} from {} to {}", resize.name, resize.from, resize.to);
    cx.event(EventKind::Normal, "ScalingReplicaSet", text);
}

fn forget_set(cx: &mut Context<'_>, view: &View, name: &str) {
    if let Some(set) = set_named(view, name) {
        cx.delete(&**set, DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() });
    }
}

fn set_named<'a>(view: &'a View, name: &str) -> Option<&'a Arc<ReplicaSet>> {
    view.all().find(|set| set.metadata.name.as_deref() == Some(name))
}

/// Sets that are not sized in this step learn the Deployment's present size and annotations all the same.
fn renew_annotations(cx: &mut Context<'_>, view: &View, intents: &[Intent]) {
    let is_written = |name: Option<&str>| {
        intents.iter().any(|intent| match intent {
            Intent::Resize(resize) => Some(resize.name.as_str()) == name,
            Intent::Forget(forgotten) => Some(forgotten.as_str()) == name,
            Intent::CreateSet(_) | Intent::CountCollision => false,
        })
    };
    let active = view.all().filter(|set| crate::view::replicas_of(set) > 0 || is_new(view, set));
    for set in active.filter(|set| !is_written(set.metadata.name.as_deref())) {
        cx.update(&renewed(view, set));
    }
}

fn is_new(view: &View, set: &Arc<ReplicaSet>) -> bool {
    view.new.as_ref().is_some_and(|new| Arc::ptr_eq(new, set))
}

/// The set as this Deployment wants it, but for its size.
fn renewed(view: &View, set: &Arc<ReplicaSet>) -> ReplicaSet {
    let mut renewed = ReplicaSet::clone(set);
    if is_new(view, set) {
        renewed.metadata.annotations = Some(annotations(view, renewed.metadata.annotations.take()));
        if let (Some(spec), Some(wanted)) = (&mut renewed.spec, &view.deployment.spec) {
            spec.min_ready_seconds = wanted.min_ready_seconds;
        }
    } else {
        renewed.metadata.annotations.get_or_insert_default().extend(sizes(view));
    }
    renewed
}

fn sizes(view: &View) -> [(String, String); 2] {
    [
        (DESIRED_REPLICAS.to_owned(), view.bounds.replicas.to_string()),
        (MAX_REPLICAS.to_owned(), view.bounds.most().to_string()),
    ]
}

fn annotations(
    view: &View,
    before: Option<std::collections::BTreeMap<String, String>>,
) -> std::collections::BTreeMap<String, String> {
    let mut annotations = before.unwrap_or_default();
    let own = view.deployment.metadata.annotations.iter().flatten();
    let taken = own.filter(|(name, _)| !OWN_ANNOTATIONS.contains(&name.as_str()));
    annotations.extend(taken.map(|(name, value)| (name.clone(), value.clone())));
    annotations.extend(sizes(view));
    annotations.insert(REVISION.to_owned(), view.revision().to_string());
    annotations
}

/// The Deployment carries the revision of the template it is at.
fn say_revision(cx: &mut Context<'_>, view: &View) {
    let revision = view.revision().to_string();
    let said = view.deployment.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    if said == Some(&revision) {
        return;
    }
    let mut deployment = Deployment::clone(&view.deployment);
    deployment.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision);
    cx.update(&deployment);
}

/// Names what the rollout waits for, with its values, and comes back when its deadline passes.
pub(crate) fn say_what_is_waited_for(cx: &mut Context<'_>, view: &View) {
    if view.is_terminating() || view.is_complete() {
        return;
    }
    let until = view.deadline().filter(|deadline| *deadline > view.now);
    let available = view.sets.new.as_ref().map_or(0, |new| new.available);
    if available < view.bounds.replicas {
        let detail = format!("{available} of {} updated replicas are available", view.bounds.replicas);
        cx.trace().waiting_for("every replica is available", detail, until);
    }
    if view.sets.old_pods() > 0 {
        let detail = format!("{} pods of earlier templates are left", view.sets.old_pods());
        cx.trace().waiting_for("every pod is of the present template", detail, until);
    }
    if let Some(deadline) = until {
        cx.wake_after(deadline.duration_since(view.now).unsigned_abs());
    }
}
