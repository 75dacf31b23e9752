//! Who gives way to a pod that fits nowhere: pods of lower priority on one node, as few and as unimportant as can be.
//!
//! The choice follows <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>. The pod is nominated
//! for the node and those who give way are marked, in one commit; then they are deleted. What is going on is read off those
//! marks, so that it goes on after a restart.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use sampan_core::object::ObjectKey;
use sampan_core::operator::Kind;
use sampan_core::resource::NODES;
use sampan_core::store::Snapshot;

use crate::budgets::Budgets;
use crate::occupants::{lower_on, nominated_node, priority};
use crate::search::{Search, Wanted};
use crate::status::is_preempted;

/// Nodes with somebody who could give way that are weighed against each other before one is taken, as in Kubernetes.
const CANDIDATES_MAX: usize = 100;

const NOBODY: &str = "No preemption victims found for incoming pod";
const NO_HELP: &str = "Preemption is not helpful for scheduling";

/// What may be hoped of others.
#[derive(Debug, Default, Clone)]
pub(crate) enum Preemption {
    /// Nobody was asked.
    #[default]
    Untried,
    /// Nobody gives way, and why not.
    Useless(String),
    /// These give way on the node.
    Making(Box<Way>),
}

/// Room being made.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) node: String,
    /// Who gives way, also those on their way out.
    pub(crate) victims: Vec<Arc<Pod>>,
}

impl Preemption {
    /// What is said after why the pod fits nowhere.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Useless(why) => Some(why),
            Self::Untried | Self::Making(_) => None,
        }
    }

    /// The room being made.
    pub(crate) fn way(&self) -> Option<&Way> {
        match self {
            Self::Making(way) => Some(way),
            Self::Untried | Self::Useless(_) => None,
        }
    }
}

impl Way {
    /// Those who are not told yet.
    pub(crate) fn unmarked(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.staying().filter(|pod| !is_preempted(pod))
    }

    /// Those who are told and stay.
    pub(crate) fn marked(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.staying().filter(|pod| is_preempted(pod))
    }

    fn staying(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.victims.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none())
    }
}

/// A pod looking for others to give way.
pub(crate) struct Claimant<'p> {
    pub(crate) pod: &'p Pod,
    pub(crate) wanted: &'p Wanted<'p>,
    pub(crate) snapshot: &'p Snapshot,
}

/// What giving way on a node would cost: the least is the best.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Harm {
    budgets_broken: usize,
    highest: i32,
    total: i64,
    count: usize,
    /// Of the most important, whoever has run for the shortest time.
    started: Reverse<Option<String>>,
}

impl Claimant<'_> {
    /// Who gives way, after a search that found no node.
    pub(crate) fn preempt(&self, search: &Search) -> Preemption {
        let policy = self.pod.spec.as_ref().and_then(|spec| spec.preemption_policy.as_deref());
        if policy == Some("Never") {
            return Preemption::Useless("not eligible due to preemptionPolicy=Never.".to_owned());
        }
        if let Some(way) = self.under_way() {
            return Preemption::Making(Box::new(way));
        }
        let budgets = Budgets::of(self.snapshot);
        let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
        let mut best: Option<(Harm, Way)> = None;
        let mut found = 0;
        for node in search.passing() {
            match self.give_way_on(node, &budgets) {
                Ok((harm, way)) => {
                    found += 1;
                    if best.as_ref().is_none_or(|(least, _)| harm < *least) {
                        best = Some((harm, way));
                    }
                }
                Err(reasons) => reasons.into_iter().for_each(|why| *refusals.entry(why).or_default() += 1),
            }
            if found == CANDIDATES_MAX {
                break;
            }
        }
        if let Some((_, way)) = best {
            return Preemption::Making(Box::new(way));
        }
        let unhelped = search.looked_at() - search.passing().len();
        if unhelped > 0 {
            refusals.insert(NO_HELP.to_owned(), unhelped);
        }
        let mut refusals: Vec<String> = refusals.into_iter().map(|(why, nodes)| format!("{nodes} {why}")).collect();
        refusals.sort();
        Preemption::Useless(format!("0/{} nodes are available: {}.", search.looked_at(), refusals.join(", ")))
    }

    /// What was begun and is not over. It is, where somebody more important has been promised the room since.
    fn under_way(&self) -> Option<Way> {
        let name = nominated_node(self.pod)?;
        let lower = lower_on(name, self.pod, self.snapshot).into_iter();
        let victims: Vec<_> = lower.filter(|pod| is_preempted(pod)).collect();
        if victims.is_empty() {
            return None;
        }
        let gone: BTreeSet<ObjectKey> = victims.iter().map(|pod| pod.key()).collect();
        let node = self.snapshot.get(&ObjectKey::cluster(NODES, name))?.decode::<Node>().ok()?;
        let suffices = self.wanted.refusal_without(&node, &gone).is_none();
        suffices.then(|| Way { node: name.to_owned(), victims })
    }

    /// Who would have to give way on the node, and what harm that does.
    fn give_way_on(&self, node: &Arc<Node>, budgets: &Budgets) -> Result<(Harm, Way), Vec<String>> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let mut lower = lower_on(name, self.pod, self.snapshot);
        if lower.is_empty() {
            return Err(vec![NOBODY.to_owned()]);
        }
        let mut gone: BTreeSet<ObjectKey> = lower.iter().map(|pod| pod.key()).collect();
        if let Some(refusal) = self.wanted.refusal_without(node, &gone) {
            return Err(refusal.reasons);
        }
        lower.sort_by_key(|pod| importance(pod));
        let (broken, kept): (Vec<_>, Vec<_>) = budgets.divide(lower);
        let mut victims = Vec::new();
        let mut budgets_broken = 0;
        // Whoever can stay does, the most important first, and those whose budget is spent before all others.
        for (breaks, pod) in broken.into_iter().map(|pod| (1, pod)).chain(kept.into_iter().map(|pod| (0, pod))) {
            gone.remove(&pod.key());
            if self.wanted.refusal_without(node, &gone).is_some() {
                gone.insert(pod.key());
                budgets_broken += breaks;
                victims.push(pod);
            }
        }
        let harm = Harm::of(&victims, budgets_broken);
        Ok((harm, Way { node: name.to_owned(), victims }))
    }
}

impl Harm {
    fn of(victims: &[Arc<Pod>], budgets_broken: usize) -> Self {
        let highest = victims.iter().map(|pod| priority(pod)).max().unwrap_or(i32::MIN);
        let above_least = |pod: &Arc<Pod>| i64::from(priority(pod)) - i64::from(i32::MIN) + 1;
        let most_important = victims.iter().filter(|pod| priority(pod) == highest);
        Self {
            budgets_broken,
            highest,
            total: victims.iter().map(above_least).sum(),
            count: victims.len(),
            started: Reverse(most_important.map(|pod| started(pod)).min().flatten()),
        }
    }
}

/// Higher priority is more important, and so is having run for longer.
fn importance(pod: &Pod) -> (Reverse<i32>, bool, Option<String>) {
    let started = started(pod);
    (Reverse(priority(pod)), started.is_none(), started)
}

/// Times of one format compare as texts.
fn started(pod: &Pod) -> Option<String> {
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref())?;
    Some(started.0.to_string())
}
