//! A StatefulSet and what belongs to it as the machine sees it, and what is to be done about it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, RollingUpdateStatefulSetStrategy, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use sampan_core::operator::Kind as _;
use sampan_podset::{
    Revision, available_at, beyond_limit, controls, has_been_ready, is_active, is_available, is_controlled,
    revision_of_pod, rounded_up, template_of,
};

use crate::pod;

/// How many old revisions are kept where the spec does not say.
const HISTORY_LIMIT: i32 = 10;
/// The most pods created or deleted in one commit, with two claims each and an Event for all of them.
const PODS_PER_STEP_MAX: usize = 80;

/// What is read of the store for one look.
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) set: Arc<StatefulSet>,
    /// The pods that name the set as owner.
    pub(crate) owned: Vec<Arc<Pod>>,
    /// The pods its selector matches.
    pub(crate) matching: Vec<Arc<Pod>>,
    /// The revisions that name the set as owner.
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
    /// Why what the step before wanted to create may not be, and how many pods may.
    pub(crate) refusal: Option<Refusal>,
}

/// Something that could not be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The template could not be recorded, which comes before everything else.
    pub(crate) of_revision: bool,
    /// How many pods could be created before.
    pub(crate) accepted: usize,
    pub(crate) message: String,
}

/// One look at a StatefulSet.
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) set: Arc<StatefulSet>,
    /// Its pods, by ordinal.
    pub(crate) pods: BTreeMap<i32, Arc<Pod>>,
    /// Pods of its names that nobody controls.
    pub(crate) orphans: Vec<Arc<Pod>>,
    /// Controlled pods that no longer match.
    pub(crate) strays: Vec<Arc<Pod>>,
    /// Its claims that exist, by name.
    pub(crate) claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
    /// The present template's revision, recorded or not.
    pub(crate) update: Revision,
    /// The revision pods below the partition are made from.
    pub(crate) current: Revision,
    /// A revision of another template has the name the present one's should have.
    pub(crate) collides: bool,
    pub(crate) refusal: Option<Refusal>,
}

/// What is to be done about pods, and what is waited for.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Ordinals to make pods of.
    pub(crate) create: Vec<i32>,
    /// Pods that have ended and are to be made again.
    pub(crate) remake: Vec<Arc<Pod>>,
    /// Pods beyond the replicas, to be deleted.
    pub(crate) shrink: Vec<Arc<Pod>>,
    /// Pods of an earlier template, to be deleted so that they come back of the present one.
    pub(crate) replace: Vec<Arc<Pod>>,
    pub(crate) waits: Vec<Wait>,
}

/// Something waited for: a pod or claim, and what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) guard: &'static str,
    pub(crate) detail: String,
    pub(crate) until: Option<Timestamp>,
}

impl View {
    /// Makes sense of what was read. Claims, and whether the revision's name is taken, are looked up after it.
    pub(crate) fn new(reading: Reading) -> Self {
        let Reading { now, set, owned, matching, mut revisions, refusal } = reading;
        let uids: BTreeSet<&str> = matching.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        let matches = |pod: &Pod| pod.metadata.uid.as_deref().is_some_and(|uid| uids.contains(uid));
        let (mut pods, mut strays) = (BTreeMap::new(), Vec::new());
        for pod in owned.into_iter().filter(|pod| controls(&*set, &**pod)) {
            // Whatever its labels are: a pod on its way out still has the name another is to get.
            match ordinal(&set, &pod).filter(|_| matches(&pod) || is_terminating(&pod)) {
                Some(ordinal) => drop(pods.insert(ordinal, pod)),
                None if is_terminating(&pod) => {}
                None => strays.push(pod),
            }
        }
        let is_orphan = |pod: &&Arc<Pod>| !is_controlled(&***pod) && is_active(pod) && ordinal(&set, pod).is_some();
        let orphans = matching.iter().filter(is_orphan).cloned().collect();
        revisions.sort_by_key(|revision| (revision.revision, revision.metadata.name.clone()));
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let update = Revision::of(&*set, template, &revisions, collisions);
        let current = current_revision(&set, &pods, &revisions).unwrap_or_else(|| update.clone());
        let claims = BTreeMap::new();
        Self { now, set, pods, orphans, strays, claims, revisions, update, current, collides: false, refusal }
    }

    /// The names of all claims that may matter.
    pub(crate) fn claim_names(&self) -> Vec<String> {
        let templates = pod::claim_templates(&self.set);
        let ordinals = self.pods.keys().copied().chain(self.vacant());
        ordinals
            .flat_map(|ordinal| templates.iter().map(move |template| pod::claim_name(&self.set, template, ordinal)))
            .collect()
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.set.metadata.deletion_timestamp.is_some()
    }

    /// Whether pods are to be adopted or let go.
    pub(crate) fn has_claims(&self) -> bool {
        !self.orphans.is_empty() || !self.strays.is_empty()
    }

    /// The pods wanted; a missing number is one.
    pub(crate) fn desired(&self) -> i32 {
        self.set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).max(0)
    }

    /// The ordinals wanted.
    pub(crate) fn range(&self) -> Range<i32> {
        let ordinals = self.set.spec.as_ref().and_then(|spec| spec.ordinals.as_ref());
        let start = ordinals.and_then(|ordinals| ordinals.start).unwrap_or(0);
        start..start.saturating_add(self.desired())
    }

    /// The first of the ordinals wanted that have no pod: as many as a step may fill, however many there are.
    fn vacant(&self) -> impl Iterator<Item = i32> {
        self.range().filter(|ordinal| !self.pods.contains_key(ordinal)).take(PODS_PER_STEP_MAX)
    }

    /// The pods of the ordinals wanted.
    fn members(&self) -> impl DoubleEndedIterator<Item = (i32, &Arc<Pod>)> {
        self.pods.range(self.range()).map(|(ordinal, pod)| (*ordinal, pod))
    }

    /// Pods beyond the replicas, the last first.
    pub(crate) fn condemned(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let range = self.range();
        self.pods.iter().rev().filter(move |(ordinal, _)| !range.contains(ordinal)).map(|(_, pod)| pod)
    }

    pub(crate) fn min_ready_seconds(&self) -> i32 {
        self.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    /// Whether one pod comes after the other.
    pub(crate) fn is_ordered(&self) -> bool {
        let policy = self.set.spec.as_ref().and_then(|spec| spec.pod_management_policy.as_deref());
        policy != Some("Parallel")
    }

    /// Whether pods are replaced by the set, and not by their user.
    pub(crate) fn rolls(&self) -> bool {
        let strategy = self.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
    }

    fn rolling(&self) -> Option<&RollingUpdateStatefulSetStrategy> {
        self.set.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref()
    }

    /// The first ordinal that is of the present template.
    fn first_updated(&self) -> i32 {
        let partition = self.rolling().and_then(|rolling| rolling.partition).filter(|_| self.rolls()).unwrap_or(0);
        self.range().start.saturating_add(partition)
    }

    /// The revision a new pod of that ordinal is made from.
    pub(crate) fn revision_for(&self, ordinal: i32) -> &Revision {
        if ordinal < self.first_updated() { &self.current } else { &self.update }
    }

    /// How many pods may be unavailable while others are replaced.
    fn max_unavailable(&self) -> usize {
        let written = self.rolling().and_then(|rolling| rolling.max_unavailable.as_ref());
        let count = written.map_or(1, |share| rounded_up(share, self.desired()));
        usize::try_from(count).unwrap_or(0).max(1)
    }

    pub(crate) fn is_available(&self, pod: &Pod) -> bool {
        !is_terminating(pod) && is_active(pod) && is_available(pod, self.min_ready_seconds(), self.now)
    }

    /// Whether the pod is of an earlier template and should not be.
    fn is_outdated(&self, ordinal: i32, pod: &Pod) -> bool {
        self.rolls() && ordinal >= self.first_updated() && revision_of_pod(pod) != Some(&*self.update.name)
    }

    /// Whether a pod that should be of another template, and is not ready, may be ready again before others go on.
    fn is_waited_for(&self, pod: &Pod) -> bool {
        self.is_ordered() && has_been_ready(pod)
    }

    /// Whether the present template is on its way to the pods.
    pub(crate) fn is_rolling(&self) -> bool {
        let first = self.first_updated();
        let is_updated = |(ordinal, pod): &(i32, &Arc<Pod>)| is_active(pod) && !self.is_outdated(*ordinal, pod);
        let updated = self.members().filter(|(ordinal, _)| *ordinal >= first).filter(is_updated).count();
        let wanted = usize::try_from(self.range().end.saturating_sub(first)).unwrap_or(0);
        self.rolls() && self.current.name != self.update.name && updated < wanted
    }

    /// Whether something is lacking that may not be created.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.as_ref().is_some_and(|refusal| refusal.of_revision || self.missing() > 0)
    }

    /// How many ordinals have no pod that lives.
    pub(crate) fn missing(&self) -> usize {
        let living = self.members().filter(|(_, pod)| is_active(pod)).count();
        self.range().len().saturating_sub(living)
    }

    /// How many of the pods wanted are available.
    pub(crate) fn available(&self) -> usize {
        self.members().filter(|(_, pod)| self.is_available(pod)).count()
    }

    /// When the next ready pod will have been ready for long enough.
    pub(crate) fn next_available(&self) -> Option<Timestamp> {
        let moments = self.pods.values().filter_map(|pod| available_at(pod, self.min_ready_seconds()));
        moments.filter(|at| *at > self.now).min()
    }

    /// Revisions nobody needs and history no longer holds.
    pub(crate) fn forgettable(&self) -> Vec<Arc<ControllerRevision>> {
        let limit = self.set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(HISTORY_LIMIT);
        let Ok(limit) = usize::try_from(limit) else { return Vec::new() };
        let mut live: BTreeSet<&str> = self.pods.values().filter_map(|pod| revision_of_pod(pod)).collect();
        live.extend([&*self.update.name, &*self.current.name]);
        beyond_limit(&self.revisions, &live, limit)
    }

    /// Claims an ordinal lacks.
    pub(crate) fn missing_claims(&self, ordinal: i32) -> Vec<PersistentVolumeClaim> {
        let templates = pod::claim_templates(&self.set).iter();
        let missing =
            templates.filter(|template| !self.claims.contains_key(&pod::claim_name(&self.set, template, ordinal)));
        missing.map(|template| pod::claim(&self.set, template, ordinal)).collect()
    }

    /// Claims whose owners are not those the retention policy says.
    pub(crate) fn misowned_claims(&self) -> Vec<PersistentVolumeClaim> {
        let range = self.range();
        let mut misowned = Vec::new();
        for (ordinal, pod) in &self.pods {
            for template in pod::claim_templates(&self.set) {
                let Some(claim) = self.claims.get(&pod::claim_name(&self.set, template, *ordinal)) else { continue };
                let retained = pod::retained(&self.set, pod, range.contains(ordinal), claim);
                if retained != **claim {
                    misowned.push(retained);
                }
            }
        }
        misowned
    }

    /// All that is to be done about pods now. An ordered set does one thing at a time, and waits for it.
    pub(crate) fn work(&self) -> Work {
        let mut work = Work::default();
        if self.fill(&mut work) && self.shrink(&mut work) && self.rolls() {
            self.roll(&mut work);
        }
        let accepted = self.refusal.as_ref().map_or(usize::MAX, |refusal| refusal.accepted);
        work.create.truncate(accepted.min(PODS_PER_STEP_MAX));
        work.shrink.truncate(PODS_PER_STEP_MAX);
        work
    }

    /// Every ordinal wanted gets its pod, in as many steps as it takes. Says whether to go on.
    fn fill(&self, work: &mut Work) -> bool {
        let ordinals: BTreeSet<i32> = self.members().map(|(ordinal, _)| ordinal).chain(self.vacant()).collect();
        for ordinal in ordinals {
            match self.pods.get(&ordinal) {
                None => match self.doomed_claim(ordinal) {
                    Some(claim) => work.wait("a claim that goes with an earlier pod is gone", claim.to_owned(), None),
                    None => work.create.push(ordinal),
                },
                Some(pod) if is_terminating(pod) => work.wait(GONE, name(pod), None),
                Some(pod) if !is_active(pod) => work.remake.push(pod.clone()),
                Some(pod) if self.is_available(pod) => continue,
                // Waiting for one that was never ready would be for ever where its template was broken.
                Some(pod) if self.is_outdated(ordinal, pod) && !self.is_waited_for(pod) => {
                    work.replace.push(pod.clone())
                }
                Some(pod) => self.await_available(pod, work),
            }
            if self.is_ordered() {
                return false;
            }
        }
        true
    }

    /// Pods beyond the replicas go, the last first. Says whether to go on.
    fn shrink(&self, work: &mut Work) -> bool {
        let first_unavailable = self.pods.values().find(|pod| !self.is_available(pod));
        for pod in self.condemned() {
            let is_first = first_unavailable.is_some_and(|first| Arc::ptr_eq(first, pod));
            if is_terminating(pod) {
                work.wait(GONE, name(pod), None);
            } else if self.is_ordered() && !self.is_available(pod) && !is_first {
                self.await_available(pod, work);
            } else {
                work.shrink.push(pod.clone());
            }
            if self.is_ordered() {
                return false;
            }
        }
        true
    }

    /// Pods of an earlier template go, the last first, as many as may be unavailable.
    fn roll(&self, work: &mut Work) {
        let unavailable = usize::try_from(self.desired()).unwrap_or(0).saturating_sub(self.available());
        let mut budget = self.max_unavailable().saturating_sub(unavailable);
        for (ordinal, pod) in self.members().rev().filter(|(_, pod)| is_active(pod)) {
            if !self.is_outdated(ordinal, pod) || !self.is_available(pod) {
                // One that does not serve was dealt with when ordinals were filled.
                continue;
            }
            if budget == 0 {
                work.wait("enough pods are available to replace another", format!("{unavailable} unavailable"), None);
                return;
            }
            budget -= 1;
            work.replace.push(pod.clone());
        }
    }

    fn await_available(&self, pod: &Pod, work: &mut Work) {
        let until = available_at(pod, self.min_ready_seconds()).filter(|at| *at > self.now);
        let guard = if until.is_some() { "a pod has been ready for long enough" } else { "a pod is ready" };
        work.wait(guard, name(pod), until);
    }

    /// A claim of an ordinal without a pod that is on its way out: it is deleted, or goes with an earlier pod of the name.
    fn doomed_claim(&self, ordinal: i32) -> Option<&str> {
        let mut templates = pod::claim_templates(&self.set).iter();
        templates.find_map(|template| {
            let (name, claim) = self.claims.get_key_value(&pod::claim_name(&self.set, template, ordinal))?;
            let mut owners = claim.metadata.owner_references.iter().flatten();
            let is_doomed = claim.metadata.deletion_timestamp.is_some() || owners.any(|owner| owner.kind == Pod::KIND);
            is_doomed.then_some(&**name)
        })
    }
}

/// What is waited for where a pod of that name has yet to go.
const GONE: &str = "a pod that is deleted is gone";

impl Work {
    fn wait(&mut self, guard: &'static str, detail: impl Into<String>, until: Option<Timestamp>) {
        self.waits.push(Wait { guard, detail: detail.into(), until });
    }
}

fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    pod::ordinal(set, pod.metadata.name.as_deref().unwrap_or_default())
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The revision the status names, or that of the first pod where the status was lost; where it is still kept.
fn current_revision(
    set: &StatefulSet,
    pods: &BTreeMap<i32, Arc<Pod>>,
    revisions: &[Arc<ControllerRevision>],
) -> Option<Revision> {
    let told = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
    let name = told.or_else(|| revision_of_pod(pods.values().next()?))?;
    let revision = revisions.iter().find(|revision| revision.metadata.name.as_deref() == Some(name))?;
    Some(Revision { template: template_of(revision)?, name: name.to_owned() })
}
