//! PersistentVolumeClaims: each gets a volume, keeps it, and stays until no pod uses it.
//!
//! A claim gets the volume reserved for it, or the smallest free one that fits; where there is none and its class is
//! `sampan.dev/local-path`, one is made on the disk of the node its first pod runs on. Claims of a class that waits for a
//! consumer get theirs once the scheduler has chosen that node. Volumes of other provisioners are waited for.
//!
//! Claim and volume are bound in one commit, which rests on both: a volume is never given to two claims.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod provision;
mod status;
mod wake;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::{EVENTS, NODES, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES};
use sampan_core::store::{IndexKey, ReadKey};
use sampan_machine::Chart;
use sampan_storage::{annotation, best, bound_volume, claim_class, selected_node, uses, waits_for_consumer};

pub use machine::ClaimMachine;
use machine::Intent;
use plan::{Notice, View};

/// The operator of claims.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimOperator;

impl Operator for ClaimOperator {
    type Machine = ClaimMachine;

    fn chart(&self) -> &'static Chart {
        ClaimMachine::chart()
    }

    fn machine(&self) -> ClaimMachine {
        ClaimMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<PersistentVolumeClaim>("persistentvolumeclaim")
            .watching::<PersistentVolume>(Mapping::function(wake::by_volume))
            .watching::<StorageClass>(Mapping::function(wake::pending))
            .watching::<Node>(Mapping::function(wake::by_node))
            .watching::<Pod>(Mapping::function(wake::by_pod))
            .writing::<PersistentVolumeClaim>(WriteVerb::Update)
            .writing::<PersistentVolumeClaim>(WriteVerb::UpdateStatus)
            .writing::<PersistentVolume>(WriteVerb::Create)
            .writing::<PersistentVolume>(WriteVerb::Update);
        declaration.event_source = Some("persistentvolume-controller");
        declaration.guarding = Guarding::Decisive {
            because: "a binding is right while the claim, the volume, the class and the node are as they were read; other \
                      volumes only make it less good. A claim is let go of while no pod of its namespace has changed",
        };
        declaration
    }

    fn step(&self, machine: &mut ClaimMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let claim = cx.primary::<PersistentVolumeClaim>()?;
    let mut view = View::of(claim.clone());
    view.refusal = cx.refusal().map(|refused| refused.status.message.clone());
    if view.is_deleted() {
        view.users = users(&claim, cx);
        return Some(view);
    }
    if let Some(name) = bound_volume(&claim) {
        view.named = decisive(&ObjectKey::cluster(PERSISTENT_VOLUMES, name), cx);
        return Some(view);
    }
    view.class = match claim_class(&claim) {
        "" => None,
        class => decisive(&ObjectKey::cluster(STORAGE_CLASSES, class), cx),
    };
    view.default_class = default_class(&claim, cx);
    view.found = found(&view, cx);
    if let Some(node) = selected_node(&claim) {
        view.node = decisive(&ObjectKey::cluster(NODES, node), cx);
    }
    Some(view)
}

/// One object on which what follows rests.
fn decisive<K: Kind>(key: &ObjectKey, cx: &mut Context<'_>) -> Option<Arc<K>> {
    cx.rests_on(ReadKey::Object(key.clone()));
    cx.get(key)
}

/// The pods that use a claim. One without a node does not: no node starts it for a claim that is being deleted.
fn users(claim: &PersistentVolumeClaim, cx: &mut Context<'_>) -> Vec<String> {
    let namespace = claim.metadata.namespace.as_deref();
    cx.rests_on(ReadKey::Collection(PODS, namespace.map(Into::into)));
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let pods = cx.list::<Pod>(namespace);
    let is_placed = |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let users = pods.iter().filter(|pod| is_placed(pod) && uses(pod, name));
    users.filter_map(|pod| pod.metadata.name.clone()).collect()
}

/// The cluster's default class, where the claim says nothing of classes: it was created before there was one.
fn default_class(claim: &PersistentVolumeClaim, cx: &mut Context<'_>) -> Option<String> {
    let is_silent = claim.spec.as_ref().is_none_or(|spec| spec.storage_class_name.is_none());
    if !is_silent || !claim_class(claim).is_empty() {
        return None;
    }
    let classes = cx.list::<StorageClass>(None);
    let defaults = classes.iter().filter(|class| {
        annotation(class.metadata.annotations.as_ref(), "storageclass.kubernetes.io/is-default-class") == "true"
    });
    let age = |class: &StorageClass| class.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let newest = defaults.min_by_key(|class| (std::cmp::Reverse(age(class)), class.metadata.name.clone()));
    newest.and_then(|class| class.metadata.name.clone())
}

/// The volume the claim gets now. While a consumer is waited for, or was found, it is only one reserved for the claim: the
/// scheduler has reserved it, or means one to be made.
fn found(view: &View, cx: &mut Context<'_>) -> Option<Arc<PersistentVolume>> {
    let is_delayed = view.class.as_ref().is_some_and(|class| waits_for_consumer(class));
    let mut volumes = cx.with_field::<PersistentVolume>("status.phase", "Available");
    volumes.extend(cx.with_field::<PersistentVolume>("status.phase", "Pending"));
    let found = best(&view.claim, volumes.iter().map(|volume| &**volume), |_| !is_delayed)?;
    decisive(&found.key(), cx)
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Amend(claim) => cx.update(&*claim),
        Intent::Bind { claim, volume } => {
            cx.update(&*volume);
            cx.update(&*claim);
        }
        Intent::Provision { claim, volume } => {
            let name = volume.metadata.name.clone().unwrap_or_default();
            cx.create(&*volume);
            cx.update(&*claim);
            cx.event(EventKind::Normal, "ProvisioningSucceeded", format!("Successfully provisioned volume {name}"));
        }
        Intent::WriteStatus => {
            let mut claim = (*view.claim).clone();
            claim.status = Some(status::status(view));
            cx.update_status(&claim);
        }
        Intent::Tell(notice) if is_told(&notice, view, cx) => {}
        Intent::Tell(notice) => cx.event(notice.kind, notice.reason, notice.message),
    }
}

/// Whether users were told: nothing but the Event remembers it, and a restart is no reason to tell again.
fn is_told(notice: &Notice, view: &View, cx: &mut Context<'_>) -> bool {
    let uid = view.claim.metadata.uid.as_deref().unwrap_or_default().into();
    let regarding = IndexKey::Field { resource: EVENTS, field: "involvedObject.uid", value: uid };
    let events = cx.unguarded().index(&regarding).filter_map(|event| event.decode::<Event>().ok());
    let says = |event: Arc<Event>| {
        event.reason.as_deref() == Some(notice.reason) && event.message.as_deref() == Some(&*notice.message)
    };
    events.into_iter().any(says)
}
