//! Which pods hear of which change.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::pod::company::SEEKS_COMPANY;
use sampan_core::resource::{PODS, is_kept_after_end};
use sampan_core::store::{IndexKey, PLACE, Snapshot};
use sampan_storage::claims_of;

use crate::NAME;
use crate::occupants::{NOMINATED, is_promised, nominated_for, on_node, priority};
use crate::term::{Meant, Term, namespace, stands};

/// Whether a pod asks for this scheduler. A placed one does too: it is seen to be placed, and costs no search.
pub(crate) fn is_own(pod: &Object) -> bool {
    pod.field("spec.schedulerName").is_none_or(|name| name.is_empty() || name == NAME)
}

/// Whether a pod waits for this scheduler.
fn is_unplaced(pod: &Object) -> bool {
    pod.field("spec.nodeName").is_none_or(str::is_empty) && is_own(pod)
}

pub(crate) fn has_ended(pod: &Object) -> bool {
    matches!(pod.field("status.phase"), Some("Succeeded" | "Failed"))
}

/// The pods that wait for a node, as a change of any node may be what they wait for: the most important first, and of equals
/// who has waited longest.
pub(crate) fn pending(_node: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let mut waiting: Vec<&Object> = waiting(snapshot).collect();
    waiting.sort_by_cached_key(|pod| {
        let pod = pod.decode::<Pod>().ok();
        let created = pod.as_ref().and_then(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        (Reverse(pod.map_or(i32::MIN, |pod| priority(&pod))), created)
    });
    waiting.into_iter().map(|pod| pod.key().clone()).collect()
}

fn waiting(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    let unplaced: Vec<&Object> = snapshot.index(&on_node("")).map(|pod| &**pod).collect();
    unplaced.into_iter().filter(|pod| is_unplaced(pod) && !has_ended(pod))
}

/// The pods that wait for a node, when a pod takes less of one than it did, or is promised none any more.
pub(crate) fn freed(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let now = snapshot.get(pod.key());
    let took = pod.share().filter(|_| !is_kept_after_end(pod));
    let took_less = took.is_some_and(|had| now.and_then(|now| now.share()).is_none_or(|has| had.exceeds(has)));
    // Room that was promised may be had by others when the promise is over.
    let gave_up = is_promised(pod) && now.is_none_or(|now| !is_promised(now));
    if took_less || gave_up { pending(pod, snapshot) } else { Vec::new() }
}

/// Whether a pod was promised room, or elsewhere than before, or has come to stand somewhere.
pub(crate) fn claim_differs(before: &Object, after: &Object) -> bool {
    before.field(NOMINATED) != after.field(NOMINATED) || before.field(PLACE) != after.field(PLACE)
}

/// The pods that were promised room on the node where a more important one has been promised some, or has come to stand without
/// a promise, as one may that fits into what is free: theirs may be gone. Where nobody is promised any, nothing is looked at.
pub(crate) fn overtaken(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let Some(node) = claimed(pod) else { return Vec::new() };
    let is_lesser = |other: &Object| importance(other) < importance(pod);
    let promised = snapshot.index(&nominated_for(node)).filter(|other| is_promised(other) && is_own(other));
    promised.filter(|other| is_lesser(other)).map(|other| other.key().clone()).collect()
}

/// The node the pod stands on, or else the one it was promised.
fn claimed(pod: &Object) -> Option<&str> {
    let place = pod.field(PLACE).filter(|node| !node.is_empty());
    place.or_else(|| pod.field(NOMINATED).filter(|_| is_promised(pod)))
}

fn importance(pod: &Object) -> i32 {
    pod.decode::<Pod>().map_or(i32::MIN, |pod| priority(&pod))
}

/// The pods that wait for a node and use the claim.
pub(crate) fn users(claim: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let (namespace, name) = (&claim.key().namespace, &claim.key().name);
    let uses = |pod: &Object| pod.decode::<Pod>().is_ok_and(|pod| sampan_storage::uses(&pod, name));
    waiting(snapshot)
        .filter(|pod| pod.key().namespace == *namespace && uses(pod))
        .map(|pod| pod.key().clone())
        .collect()
}

/// The pods that wait for a node and use any claim: a change of a volume or class may be what they wait for.
pub(crate) fn claimants(_volume: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let uses = |pod: &Object| pod.decode::<Pod>().is_ok_and(|pod| claims_of(&pod).next().is_some());
    waiting(snapshot).filter(|pod| uses(pod)).map(|pod| pod.key().clone()).collect()
}

/// Whether others that wait may go elsewhere, or somewhere, by what has changed of a pod: where it stands, or its labels.
pub(crate) fn company_differs(before: &Object, after: &Object) -> bool {
    before.field(PLACE) != after.field(PLACE) || before.metadata().labels != after.metadata().labels
}

/// The pods that wait and that one standing somewhere may matter to: it may be whom they seek, or make the least full domain
/// of theirs fuller.
pub(crate) fn companions(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    if !stands(pod) {
        return Vec::new();
    }
    let seeking = seeking_company(snapshot).filter(|waiting| waiting.key() != pod.key());
    seeking.filter(|waiting| speaks_of(waiting, pod, snapshot)).map(|waiting| waiting.key().clone()).collect()
}

/// The pods that wait and that others matter to: which namespaces they mean may have changed.
pub(crate) fn seeking(_namespace: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    seeking_company(snapshot).map(|pod| pod.key().clone()).collect()
}

/// Whether what pods mean by a namespace has changed.
pub(crate) fn labels_differ(before: &Object, after: &Object) -> bool {
    before.metadata().labels != after.metadata().labels
}

fn seeking_company(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    let index = IndexKey::Field { resource: PODS, field: SEEKS_COMPANY, value: "".into() };
    snapshot.index(&index).map(|pod| &**pod).filter(|pod| is_unplaced(pod) && !has_ended(pod))
}

fn speaks_of(waiting: &Object, pod: &Object, snapshot: &Snapshot) -> bool {
    let Ok(waiting) = waiting.decode::<Pod>() else { return false };
    let terms = [Term::sought(&waiting), Term::shunned(&waiting)].concat().into_iter().map(|term| term.meant);
    let constraints = waiting.spec.iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
    let spread = constraints.map(|it| Meant::within(namespace(&waiting), it.label_selector.as_ref()));
    let lives_in = pod.key().namespace.as_deref().unwrap_or_default();
    terms.chain(spread).any(|meant| meant.means(lives_in, &pod.metadata().labels, snapshot))
}
