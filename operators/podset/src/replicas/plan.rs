//! A set and its pods as the machine sees them, and what follows from that. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use k8s_openapi::api::core::v1::Pod;
use sampan_core::object::selector::Selector;
use sampan_core::operator::{Kind as _, Refused};

use super::Replicator;
use crate::{Candidate, CreationRefusal, available_at, deletion_order, is_active};

/// The most pods created or deleted in one commit: what it may hold, less room for the Events that tell of it.
const PODS_PER_STEP_MAX: usize = 450;

/// What a set wants, and what is said of it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) generation: Option<i64>,
    pub(crate) is_terminating: bool,
    pub(crate) replicas: i32,
    pub(crate) min_ready_seconds: i32,
    /// The labels its template has now.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) status: Option<ReplicaSetStatus>,
    pub(crate) tells_terminating: bool,
}

impl Subject {
    /// The subject a set is.
    pub(crate) fn of<R: Replicator>(set: &R::Set) -> Self {
        let metadata = R::template(set).and_then(|template| template.metadata.as_ref());
        Self {
            generation: set.meta().generation,
            is_terminating: set.meta().deletion_timestamp.is_some(),
            // A missing number is one.
            replicas: R::replicas(set).unwrap_or(1),
            min_ready_seconds: R::min_ready_seconds(set).unwrap_or(0),
            labels: metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default(),
            status: R::status(set),
            tells_terminating: R::TELLS_TERMINATING,
        }
    }
}

/// One look at a set and its pods.
#[derive(Debug)]
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) set: Subject,
    /// The pods that count: controlled, matching, neither finished nor going.
    pub(crate) active: Vec<Arc<Pod>>,
    /// How many controlled pods are going.
    pub(crate) terminating: usize,
    /// Matching pods nobody controls.
    pub(crate) orphans: Vec<Arc<Pod>>,
    /// Controlled pods that no longer match.
    pub(crate) strays: Vec<Arc<Pod>>,
    /// What the gateway answered when pods were to be created.
    pub(crate) refusal: Option<CreationRefusal>,
}

impl View {
    /// Makes sense of what was read: the pods the set controls, and those its selector matches that nobody does.
    pub(crate) fn new(
        now: Timestamp,
        set: Subject,
        selector: &Selector,
        owned: Vec<Arc<Pod>>,
        orphans: Vec<Arc<Pod>>,
        refused: Option<&Refused>,
    ) -> Self {
        let mut view = Self {
            now,
            set,
            active: Vec::new(),
            terminating: 0,
            orphans: Vec::new(),
            strays: Vec::new(),
            refusal: refused.and_then(CreationRefusal::of),
        };
        for pod in owned {
            if pod.metadata.deletion_timestamp.is_some() {
                view.terminating += 1;
            } else if is_active(&pod) {
                if selector.selects(pod.metadata.labels.as_ref()) {
                    view.active.push(pod)
                } else {
                    view.strays.push(pod)
                }
            }
        }
        view.orphans = orphans.into_iter().filter(|pod| is_active(pod)).collect();
        view
    }

    /// How many pods are wanted.
    pub(crate) fn desired(&self) -> usize {
        usize::try_from(self.set.replicas).unwrap_or(0)
    }

    /// Whether the set is being deleted. Its pods are the garbage collector's.
    pub(crate) fn is_terminating(&self) -> bool {
        self.set.is_terminating
    }

    /// Whether pods are to be adopted or let go.
    pub(crate) fn has_claims(&self) -> bool {
        !self.orphans.is_empty() || !self.strays.is_empty()
    }

    /// How many pods are missing.
    pub(crate) fn missing(&self) -> usize {
        self.desired().saturating_sub(self.active.len())
    }

    /// How many pods are too many.
    pub(crate) fn surplus(&self) -> usize {
        self.active.len().saturating_sub(self.desired())
    }

    /// How many pods to create in this step: of what was refused, only what fits.
    pub(crate) fn creatable(&self) -> usize {
        let fits = self.refusal.as_ref().map_or(usize::MAX, |refusal| refusal.accepted);
        self.missing().min(fits).min(PODS_PER_STEP_MAX)
    }

    /// The pods to delete in this step, those first that are missed least.
    pub(crate) fn victims(&self) -> Vec<Arc<Pod>> {
        let mut crowd: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in &self.active {
            *crowd.entry(node(pod)).or_default() += 1;
        }
        let on_node = |pod: &Pod| crowd.get(node(pod)).copied().unwrap_or_default();
        let candidate = |pod: &Arc<Pod>| Candidate {
            pod: pod.clone(),
            on_node: on_node(pod),
            is_available: self.is_available(pod),
        };
        let mut candidates: Vec<Candidate> = self.active.iter().map(candidate).collect();
        deletion_order(&mut candidates);
        candidates.into_iter().take(self.surplus().min(PODS_PER_STEP_MAX)).map(|candidate| candidate.pod).collect()
    }

    /// How many pods are available.
    pub(crate) fn available(&self) -> usize {
        self.active.iter().filter(|pod| self.is_available(pod)).count()
    }

    fn is_available(&self, pod: &Pod) -> bool {
        self.available_at(pod).is_some_and(|at| at <= self.now)
    }

    /// When the next ready pod will have been ready for long enough.
    pub(crate) fn next_available(&self) -> Option<Timestamp> {
        self.active.iter().filter_map(|pod| self.available_at(pod)).filter(|at| *at > self.now).min()
    }

    fn available_at(&self, pod: &Pod) -> Option<Timestamp> {
        available_at(pod, self.set.min_ready_seconds)
    }
}

fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}
