//! A Deployment and its ReplicaSets as the machine sees them: one snapshot, made sense of.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sampan_podset::{HASH_LABEL, controls, template_hash};

use crate::plan::{Bounds, SetSize, Sets, Share};
use crate::set;
use crate::status::{PROGRESSING, REASON_AVAILABLE, REASON_TIMED_OUT, condition};

/// The revision of a ReplicaSet, and of the Deployment that is at it.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The replicas the Deployment asked for when the set was last sized.
pub(crate) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge.
pub(crate) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// A deadline of this many seconds is none.
const NO_DEADLINE: i32 = i32::MAX;

/// One look at a Deployment and what belongs to it.
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) deployment: Arc<Deployment>,
    /// The ReplicaSet of the present template.
    pub(crate) new: Option<Arc<ReplicaSet>>,
    /// The others it controls.
    pub(crate) old: Vec<Arc<ReplicaSet>>,
    /// Matching sets nobody controls.
    pub(crate) orphans: Vec<Arc<ReplicaSet>>,
    /// Controlled sets that no longer match.
    pub(crate) strays: Vec<Arc<ReplicaSet>>,
    /// Why the present template's ReplicaSet, wanted by the step before, may not be made.
    pub(crate) refusal: Option<String>,
    /// A ReplicaSet that has the name the present template's should have, but is not it.
    pub(crate) collides: bool,
    /// The name of the present template's ReplicaSet where it has yet to be made.
    pub(crate) hash: String,
    pub(crate) bounds: Bounds,
    pub(crate) sets: Sets,
}

/// What is read of the store for one look.
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) deployment: Arc<Deployment>,
    /// The ReplicaSets that name the Deployment as owner.
    pub(crate) owned: Vec<Arc<ReplicaSet>>,
    /// Those its selector matches; `None` where it selects nothing in particular, which changes nobody's ownership.
    pub(crate) matching: Option<Vec<Arc<ReplicaSet>>>,
    pub(crate) refusal: Option<String>,
}

impl View {
    /// Makes sense of what was read. `is_taken` answers whether a ReplicaSet of that name exists.
    pub(crate) fn new(reading: Reading, is_taken: impl FnOnce(&str) -> bool) -> Self {
        let Reading { now, deployment, owned, matching, refusal } = reading;
        let mut controlled: Vec<_> = owned.into_iter().filter(|it| controls(&*deployment, &**it)).collect();
        let (orphans, strays) = claims(&controlled, matching.filter(|_| !is_terminating(&deployment)));
        controlled.sort_by(|one, other| age_key(one).cmp(&age_key(other)));
        let template = template_of(&deployment);
        // The oldest of equals is the one: younger twins count as old and are scaled away.
        let at = controlled.iter().position(|set| same_template(set, &template));
        let new = at.map(|at| controlled.remove(at));
        let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
        let hash = new.as_ref().and_then(|set| hash_label(set)).unwrap_or_else(|| template_hash(&template, collisions));
        let collides = new.is_none() && is_taken(&set_name(&deployment, &hash));
        let sets = Sets { new: new.as_deref().map(size_of), old: controlled.iter().map(|set| size_of(set)).collect() };
        let bounds = bounds_of(&deployment);
        Self { now, deployment, new, old: controlled, orphans, strays, refusal, collides, hash, bounds, sets }
    }

    pub(crate) fn is_new(&self, set: &Arc<ReplicaSet>) -> bool {
        self.new.as_ref().is_some_and(|new| Arc::ptr_eq(new, set))
    }

    pub(crate) fn set_named(&self, name: &str) -> Option<&Arc<ReplicaSet>> {
        self.all().find(|set| set.metadata.name.as_deref() == Some(name))
    }

    /// Whether sets are to be adopted or let go.
    pub(crate) fn has_claims(&self) -> bool {
        !self.orphans.is_empty() || !self.strays.is_empty()
    }

    /// The sets that take over what changed in the Deployment: those in use.
    pub(crate) fn renewable(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        let in_use = |set: &&Arc<ReplicaSet>| replicas_of(set) > 0 || self.is_new(set);
        self.all().filter(in_use).filter(|set| set::renewed(self, set) != ***set)
    }

    /// Whether the Deployment carries the revision of the template it is at.
    pub(crate) fn says_revision(&self) -> bool {
        let annotations = self.deployment.metadata.annotations.as_ref();
        let said = annotations.and_then(|annotations| annotations.get(REVISION));
        said.is_some_and(|said| *said == self.revision().to_string())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.new.iter().chain(&self.old)
    }

    pub(crate) fn new_set_name(&self) -> String {
        set_name(&self.deployment, &self.hash)
    }

    pub(crate) fn is_terminating(&self) -> bool {
        is_terminating(&self.deployment)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false)
    }

    pub(crate) fn recreates(&self) -> bool {
        let strategy = self.deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    }

    /// Whether every replica is of the present template and no other pod is left.
    pub(crate) fn is_rolled_out(&self) -> bool {
        self.sets.new.as_ref().is_some_and(|new| new.replicas == self.bounds.replicas && new.existing == new.replicas)
            && self.sets.old_pods() == 0
    }

    /// Whether, beyond that, every replica is available.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_rolled_out() && self.available() == self.bounds.replicas
    }

    /// The available pods, over all sets.
    pub(crate) fn available(&self) -> i32 {
        self.sets.new.iter().chain(&self.sets.old).map(|set| set.available).sum()
    }

    /// The highest revision among the old sets, and one more: what the present template's set has.
    pub(crate) fn revision(&self) -> i64 {
        let highest_old = self.old.iter().filter_map(|set| revision_of(set)).max().unwrap_or_default();
        let own = self.new.as_deref().and_then(revision_of).unwrap_or_default();
        own.max(highest_old + 1)
    }

    /// When the rollout will have stood still for too long; `None` without a deadline or a rollout.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.deadline_seconds()?;
        let progressing = condition(&self.deployment, PROGRESSING)?;
        if progressing.reason.as_deref() == Some(REASON_AVAILABLE) || self.is_paused() {
            return None;
        }
        let since = progressing.last_update_time.as_ref().or(progressing.last_transition_time.as_ref())?;
        since.0.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
    }

    pub(crate) fn deadline_seconds(&self) -> Option<i32> {
        let spec = self.deployment.spec.as_ref()?;
        spec.progress_deadline_seconds.filter(|seconds| *seconds != NO_DEADLINE)
    }

    /// Whether the rollout has stood still for too long.
    pub(crate) fn timed_out(&self) -> bool {
        let said = condition(&self.deployment, PROGRESSING).and_then(|it| it.reason.as_deref());
        said == Some(REASON_TIMED_OUT) || self.deadline().is_some_and(|deadline| deadline <= self.now)
    }
}

fn is_terminating(deployment: &Deployment) -> bool {
    deployment.metadata.deletion_timestamp.is_some()
}

/// The matching sets nobody controls, and the controlled ones that do not match.
fn claims(
    controlled: &[Arc<ReplicaSet>],
    matching: Option<Vec<Arc<ReplicaSet>>>,
) -> (Vec<Arc<ReplicaSet>>, Vec<Arc<ReplicaSet>>) {
    let Some(matching) = matching else { return (Vec::new(), Vec::new()) };
    let matches = |set: &&Arc<ReplicaSet>| matching.iter().any(|it| it.metadata.uid == set.metadata.uid);
    let strays = controlled.iter().filter(|set| !matches(set)).cloned().collect();
    let orphans = matching.iter().filter(|set| set::is_orphan(set)).cloned().collect();
    (orphans, strays)
}

fn age_key(set: &ReplicaSet) -> (Option<Timestamp>, &str) {
    let created = set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, set.metadata.name.as_deref().unwrap_or_default())
}

fn template_of(deployment: &Deployment) -> PodTemplateSpec {
    deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default()
}

fn hash_label(set: &ReplicaSet) -> Option<String> {
    set.metadata.labels.as_ref()?.get(HASH_LABEL).cloned()
}

/// `web-5d59d67564`.
fn set_name(deployment: &Deployment, hash: &str) -> String {
    format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default())
}

/// Templates are the same but for the hash label, which the Deployment's own does not have.
fn same_template(set: &ReplicaSet, wanted: &PodTemplateSpec) -> bool {
    let Some(mut template) = set.spec.as_ref().and_then(|spec| spec.template.clone()) else { return false };
    if let Some(labels) = template.metadata.as_mut().and_then(|metadata| metadata.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    let mut wanted = wanted.clone();
    for template in [&mut template, &mut wanted] {
        if let Some(metadata) = &mut template.metadata {
            metadata.labels = metadata.labels.take().filter(|labels| !labels.is_empty());
        }
    }
    template == wanted
}

fn annotation<'a>(set: &'a ReplicaSet, name: &str) -> Option<&'a str> {
    set.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn number(set: &ReplicaSet, name: &str) -> i32 {
    annotation(set, name).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The revision a ReplicaSet carries.
pub(crate) fn revision_of(set: &ReplicaSet) -> Option<i64> {
    annotation(set, REVISION)?.parse().ok()
}

/// The replicas a ReplicaSet is asked for; a missing number is one.
pub(crate) fn replicas_of(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn size_of(set: &ReplicaSet) -> SetSize {
    let status = set.status.as_ref();
    SetSize {
        name: set.metadata.name.clone().unwrap_or_default(),
        created: set.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        replicas: replicas_of(set),
        existing: status.map_or(0, |status| status.replicas),
        available: status.and_then(|status| status.available_replicas).unwrap_or_default(),
        terminating: status.and_then(|status| status.terminating_replicas).unwrap_or_default(),
        is_observed: status.and_then(|status| status.observed_generation) >= set.metadata.generation,
        sized_for: number(set, DESIRED_REPLICAS),
        sized_within: number(set, MAX_REPLICAS),
    }
}

fn bounds_of(deployment: &Deployment) -> Bounds {
    let spec = deployment.spec.as_ref();
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let strategy = spec.and_then(|spec| spec.strategy.as_ref());
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return Bounds::recreate(replicas);
    }
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = share(rolling.and_then(|rolling| rolling.max_surge.as_ref()));
    let unavailable = share(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()));
    Bounds::resolve(replicas, surge, unavailable)
}

/// A share as written; validation has made sure it is one. Left out it is a quarter, as defaulting writes it.
fn share(value: Option<&IntOrString>) -> Share {
    match value {
        Some(IntOrString::Int(count)) => Share::Count(*count),
        Some(IntOrString::String(text)) => {
            text.strip_suffix('%').and_then(|percent| percent.parse().ok()).map_or(Share::Count(0), Share::Percent)
        }
        None => Share::Percent(25),
    }
}
