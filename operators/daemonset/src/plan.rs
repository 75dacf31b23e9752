//! A DaemonSet, its nodes and pods as the machine sees them, and what is to be done about them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sampan_podset::{
    Revision, available_at, beyond_limit, controls, is_active, is_available, is_controlled, is_ready, revision_of_pod,
    rounded_up,
};

use crate::pod::{self, Fit};

/// How many old revisions are kept where the spec does not say.
const HISTORY_LIMIT: i32 = 10;
/// The most pods created or deleted in one commit, each with an Event.
const PODS_PER_STEP_MAX: usize = 200;

/// What is read of the store for one look.
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) set: Arc<DaemonSet>,
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The pods that name the set as owner.
    pub(crate) owned: Vec<Arc<Pod>>,
    /// The pods its selector matches.
    pub(crate) matching: Vec<Arc<Pod>>,
    /// The revisions that name the set as owner.
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
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

/// A node, and the pods the set has on it or means for it, the first one first.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) fit: Fit,
    pub(crate) pods: Vec<Arc<Pod>>,
}

/// One look at a DaemonSet.
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) set: Arc<DaemonSet>,
    /// All nodes, by name.
    pub(crate) sites: BTreeMap<String, Site>,
    /// Pods that were never placed, and are meant for a node that is gone.
    pub(crate) homeless: Vec<Arc<Pod>>,
    /// Matching pods that nobody controls.
    pub(crate) orphans: Vec<Arc<Pod>>,
    /// Controlled pods that no longer match.
    pub(crate) strays: Vec<Arc<Pod>>,
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
    /// The present template's revision, recorded or not.
    pub(crate) update: Revision,
    /// A revision of another template has the name the present one's should have.
    pub(crate) collides: bool,
    pub(crate) refusal: Option<Refusal>,
}

/// What is to be done about pods, and what is waited for.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Nodes to make pods for.
    pub(crate) create: Vec<String>,
    /// Pods that have ended and are to be made again.
    pub(crate) remake: Vec<Arc<Pod>>,
    /// Pods to be deleted: where none or another should be.
    pub(crate) delete: Vec<Arc<Pod>>,
    pub(crate) waits: Vec<Wait>,
}

/// Something waited for: a pod, and what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) guard: &'static str,
    pub(crate) detail: String,
    pub(crate) until: Option<Timestamp>,
}

/// The pods of a node that live: of the present template, and of earlier ones; the first of each first.
struct Split<'a> {
    new: Vec<&'a Arc<Pod>>,
    old: Vec<&'a Arc<Pod>>,
}

/// What is waited for where a pod has yet to go.
const GONE: &str = "a pod that is deleted is gone";
/// What is waited for in the middle of a rollout.
const ENOUGH: &str = "enough pods are available to replace another";

impl Site {
    /// The pod that speaks for the node.
    pub(crate) fn first(&self) -> Option<&Pod> {
        self.pods.first().map(|pod| &**pod)
    }

    fn live(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| is_active(pod))
    }
}

impl View {
    /// Makes sense of what was read. Whether the revision's name is taken is looked up after it.
    pub(crate) fn new(reading: Reading) -> Self {
        let Reading { now, set, nodes, owned, matching, mut revisions, refusal } = reading;
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let anywhere = pod::for_any_node(&set, &template);
        let site = |node: &Arc<Node>| Site { fit: pod::fit(&anywhere, node), pods: Vec::new() };
        let mut sites: BTreeMap<String, Site> =
            nodes.iter().filter_map(|node| Some((node.metadata.name.clone()?, site(node)))).collect();
        let uids: BTreeSet<&str> = matching.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        let matches = |pod: &Pod| pod.metadata.uid.as_deref().is_some_and(|uid| uids.contains(uid));
        let (mut homeless, mut strays) = (Vec::new(), Vec::new());
        for pod in owned.into_iter().filter(|pod| controls(&*set, &**pod)) {
            if !matches(&pod) && !is_terminating(&pod) {
                strays.push(pod);
            } else if is_terminating(&pod) && has_ended(&pod) {
                // Nothing of it is left but its object.
            } else if let Some(site) = pod::node_of(&pod).and_then(|node| sites.get_mut(node)) {
                site.pods.push(pod);
            } else if !is_placed(&pod) && !is_terminating(&pod) {
                homeless.push(pod);
            }
        }
        for site in sites.values_mut() {
            site.pods.sort_by_key(|pod| (!is_placed(pod), created(pod), pod.metadata.name.clone()));
        }
        let orphans = matching.iter().filter(|pod| !is_controlled(&***pod) && is_active(pod)).cloned().collect();
        revisions.sort_by_key(|revision| (revision.revision, revision.metadata.name.clone()));
        let collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let update = Revision::of(&*set, template, &revisions, collisions);
        Self { now, set, sites, homeless, orphans, strays, revisions, update, collides: false, refusal }
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.set.metadata.deletion_timestamp.is_some()
    }

    /// Whether pods are to be adopted or let go.
    pub(crate) fn has_claims(&self) -> bool {
        !self.orphans.is_empty() || !self.strays.is_empty()
    }

    fn eligible(&self) -> impl Iterator<Item = (&String, &Site)> {
        self.sites.iter().filter(|(_, site)| site.fit == Fit::Wanted)
    }

    /// How many nodes should run a pod.
    pub(crate) fn desired(&self) -> usize {
        self.eligible().count()
    }

    /// How many of them have no pod that lives.
    pub(crate) fn missing(&self) -> usize {
        self.eligible().filter(|(_, site)| site.live().next().is_none()).count()
    }

    /// How many of them have one that is available.
    pub(crate) fn available(&self) -> usize {
        self.eligible().filter(|(_, site)| site.live().any(|pod| self.is_available(pod))).count()
    }

    fn min_ready_seconds(&self) -> i32 {
        self.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    pub(crate) fn is_available(&self, pod: &Pod) -> bool {
        is_active(pod) && is_available(pod, self.min_ready_seconds(), self.now)
    }

    /// Whether pods are replaced by the set, and not by their user.
    fn rolls(&self) -> bool {
        let strategy = self.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
    }

    fn rolling(&self) -> Option<&RollingUpdateDaemonSet> {
        self.set.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref().filter(|_| self.rolls())
    }

    /// How many nodes may have two pods while the first is replaced.
    fn max_surge(&self) -> usize {
        self.rolling().and_then(|rolling| rolling.max_surge.as_ref()).map_or(0, |count| self.share(count))
    }

    /// How many nodes may be without an available pod; one, where nothing else would let a rollout begin.
    fn max_unavailable(&self) -> usize {
        let written = self.rolling().and_then(|rolling| rolling.max_unavailable.as_ref());
        written.map_or(1, |count| self.share(count)).max(usize::from(self.max_surge() == 0))
    }

    /// So many, or so many of a hundred nodes that should run a pod, rounded up.
    fn share(&self, count: &IntOrString) -> usize {
        let desired = i32::try_from(self.desired()).unwrap_or(i32::MAX);
        usize::try_from(rounded_up(count, desired)).unwrap_or(0)
    }

    fn is_updated(&self, pod: &Pod) -> bool {
        revision_of_pod(pod) == Some(self.update.hash())
    }

    /// Whether the present template is on its way to the pods.
    pub(crate) fn is_rolling(&self) -> bool {
        self.rolls() && self.eligible().any(|(_, site)| site.live().any(|pod| !self.is_updated(pod)))
    }

    /// Whether pods are still to be created.
    pub(crate) fn lacks_pods(&self) -> bool {
        self.missing() > 0 || (self.max_surge() > 0 && self.is_rolling())
    }

    /// Whether something is lacking that may not be created.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.as_ref().is_some_and(|refusal| refusal.of_revision || self.lacks_pods())
    }

    /// When the next ready pod will have been ready for long enough.
    pub(crate) fn next_available(&self) -> Option<Timestamp> {
        let pods = self.sites.values().flat_map(|site| &site.pods);
        pods.filter_map(|pod| available_at(pod, self.min_ready_seconds())).filter(|at| *at > self.now).min()
    }

    /// Revisions nobody needs and history no longer holds.
    pub(crate) fn forgettable(&self) -> Vec<Arc<ControllerRevision>> {
        let limit = self.set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(HISTORY_LIMIT);
        let Ok(limit) = usize::try_from(limit) else { return Vec::new() };
        let pods = self.sites.values().flat_map(|site| &site.pods);
        let hashes: BTreeSet<&str> = pods.filter_map(|pod| revision_of_pod(pod)).collect();
        let names = self.revisions.iter().filter_map(|revision| revision.metadata.name.as_deref());
        let mut live: BTreeSet<&str> =
            names.filter(|name| name.rsplit('-').next().is_some_and(|hash| hashes.contains(hash))).collect();
        live.insert(&self.update.name);
        beyond_limit(&self.revisions, &live, limit)
    }

    /// All that is to be done about pods now. What a node lacks or has too much of comes before a rollout.
    pub(crate) fn work(&self) -> Work {
        let mut work = self.upkeep();
        if work.is_empty() && self.rolls() {
            if self.max_surge() > 0 { self.surge(&mut work) } else { self.replace(&mut work) }
        }
        let accepted = self.refusal.as_ref().map_or(usize::MAX, |refusal| refusal.accepted);
        work.create.truncate(accepted.min(PODS_PER_STEP_MAX));
        work.remake.truncate(PODS_PER_STEP_MAX);
        work.delete.truncate(PODS_PER_STEP_MAX.saturating_sub(work.create.len()));
        work
    }

    /// Every node that should run a pod has one, and no other has.
    pub(crate) fn upkeep(&self) -> Work {
        let mut work = Work { delete: self.homeless.clone(), ..Work::default() };
        for (node, site) in &self.sites {
            match site.fit {
                Fit::Unwanted => work.delete.extend(site.pods.iter().filter(|pod| !is_terminating(pod)).cloned()),
                Fit::Wanted if site.pods.is_empty() => work.create.push(node.clone()),
                Fit::Wanted | Fit::Tolerated => self.tend(site, &mut work),
            }
        }
        work
    }

    /// Of the pods on a node one stays; while it is replaced, one of each template.
    fn tend(&self, site: &Site, work: &mut Work) {
        for pod in &site.pods {
            if is_terminating(pod) {
                work.wait(GONE, name(pod), None);
            } else if has_ended(pod) {
                work.remake.push(pod.clone());
            } else if !self.is_available(pod) {
                let until = available_at(pod, self.min_ready_seconds());
                let guard = if until.is_some() { "a pod has been ready for long enough" } else { "a pod is ready" };
                work.wait(guard, name(pod), until);
            }
        }
        if self.max_surge() == 0 {
            return work.delete.extend(site.live().skip(1).cloned());
        }
        let Split { new, old } = self.split(site);
        let is_replaced = match (new.first(), old.first()) {
            (Some(new), Some(old)) => !is_ready(old) || self.is_available(new),
            _ => false,
        };
        work.delete.extend(old.into_iter().skip(usize::from(!is_replaced)).cloned());
        work.delete.extend(new.into_iter().skip(1).cloned());
    }

    fn split<'a>(&self, site: &'a Site) -> Split<'a> {
        let (new, old) = site.live().partition(|pod| self.is_updated(pod));
        Split { new, old }
    }

    /// Earlier pods go, as many as may be unavailable; those that do not serve go at once.
    fn replace(&self, work: &mut Work) {
        let unavailable = self.desired() - self.available();
        let mut budget = self.max_unavailable().saturating_sub(unavailable);
        let mut is_held = false;
        for (_, site) in self.eligible() {
            let Some(old) = self.split(site).old.first().copied() else { continue };
            if self.is_available(old) {
                if budget == 0 {
                    is_held = true;
                    continue;
                }
                budget -= 1;
            }
            work.delete.push(old.clone());
        }
        if is_held {
            work.wait(ENOUGH, format!("{unavailable} unavailable"), None);
        }
    }

    /// Nodes get a second pod, as many as may; those whose pod does not serve get it at once.
    fn surge(&self, work: &mut Work) {
        let splits: Vec<_> = self.eligible().map(|(node, site)| (node, self.split(site))).collect();
        let surged = splits.iter().filter(|(_, split)| !split.old.is_empty() && !split.new.is_empty()).count();
        let mut budget = self.max_surge().saturating_sub(surged);
        let mut is_held = false;
        for (node, split) in splits.into_iter().filter(|(_, split)| split.new.is_empty()) {
            let Some(old) = split.old.first() else { continue };
            if self.is_available(old) {
                if budget == 0 {
                    is_held = true;
                    continue;
                }
                budget -= 1;
            }
            work.create.push(node.clone());
        }
        if is_held {
            work.wait(ENOUGH, format!("{surged} nodes have two"), None);
        }
    }
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.remake.is_empty() && self.delete.is_empty()
    }

    fn wait(&mut self, guard: &'static str, detail: impl Into<String>, until: Option<Timestamp>) {
        self.waits.push(Wait { guard, detail: detail.into(), until });
    }
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn is_placed(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}
