//! The pod collector: keeps so many pods that have ended, and no more.
//!
//! A pod that has ended stays for who wants to know how it ended, until whoever made it or somebody else deletes it; where nobody
//! does they would be ever more. Once there are more than are kept, the oldest go: first those that their nodes rid themselves
//! of, which tell least, then by when they were created, as in
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection>.
//!
//! Up to one in 128 of those that may be kept go together with those that are too many, so that not each pod that ends has all
//! others looked through: of 12 500 there are between 12 403 and 12 500 left. Pods that are being deleted do not count, whatever
//! still holds them. A pod whose deletion somebody refuses, such as a webhook, stays, and younger ones go in its place.
//!
//! How many have ended the store knows at any time, so that nothing is looked at while they are few enough. There is one machine,
//! of the namespace of the cluster's own parts: the limit is one for the whole cluster.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;

use std::num::NonZeroUsize;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, Guarding, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::{NAMESPACES, is_kept_after_end, kept_after_end};
use sampan_core::store::{ReadKey, Snapshot};
use sampan_machine::Chart;

use machine::Intent;
pub use machine::PodCollectorMachine;
use plan::View;

/// How many ended pods Kubernetes keeps unless it is told otherwise.
pub const KEPT_BY_DEFAULT: usize = 12_500;

/// How many pods one commit deletes: what is prepared together holds others up.
const BATCH_MAX: usize = 250;

/// The namespace whose machine it is.
const HOME: &str = "kube-system";

/// The operator that keeps so many ended pods and no more.
#[derive(Debug, Clone, Copy)]
pub struct PodCollector {
    limit: Option<NonZeroUsize>,
    batch: usize,
}

impl PodCollector {
    /// An operator that keeps so many ended pods; 0 keeps all of them.
    pub fn keeping(limit: usize) -> Self {
        Self { limit: NonZeroUsize::new(limit), batch: BATCH_MAX }
    }

    /// Deleting so many of them in one commit, where more are to go.
    #[must_use]
    pub fn in_batches_of(self, batch: usize) -> Self {
        Self { batch, ..self }
    }
}

impl Operator for PodCollector {
    type Machine = PodCollectorMachine;

    fn chart(&self) -> &'static Chart {
        PodCollectorMachine::chart()
    }

    fn machine(&self) -> PodCollectorMachine {
        PodCollectorMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let limit = self.limit;
        let mut declaration = Declaration::of::<Namespace>("podcollector")
            .concerned_with(|namespace| *namespace.key().name == *HOME)
            .watching::<Pod>(Mapping::function(move |pod, snapshot| concerned(pod, snapshot, limit)))
            .writing::<Pod>(WriteVerb::Delete);
        declaration.guarding = Guarding::Decisive {
            because: "a pod that has ended does not come back, and whoever ends or goes meanwhile could as well have done so \
                      after the commit",
        };
        declaration
    }

    fn step(&self, machine: &mut PodCollectorMachine, _wake: &Wake, cx: &mut Context<'_>) {
        if cx.primary_object().is_none() {
            return;
        }
        let view = View { kept: kept_after_end(cx.unguarded()), limit: self.limit };
        let (view, intents) = cx.observe(machine, view);
        for Intent::Collect in intents {
            collect(&view, self.batch, cx);
        }
    }
}

/// Deletes the oldest of those that are too many. Where somebody refuses one, the next oldest goes in its place.
fn collect(view: &View, batch: usize, cx: &mut Context<'_>) {
    let surplus = view.surplus();
    let chosen = match cx.refusal().map(|refused| refused.accepted_before) {
        None => plan::oldest(cx.unguarded(), surplus.min(batch)),
        Some(accepted) => {
            let lot = cx.random().next_u64();
            plan::without_refused(&plan::oldest(cx.unguarded(), surplus + 1), accepted, surplus.min(batch), lot)
        }
    };
    for pod in chosen {
        cx.rests_on(ReadKey::Object(pod.key().clone()));
        cx.delete_object(&pod, DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() });
    }
}

/// The machine, where a pod has ended and there are too many, or where one of those is no longer there.
fn concerned(pod: &Object, snapshot: &Snapshot, limit: Option<NonZeroUsize>) -> Vec<ObjectKey> {
    let Some(limit) = limit.filter(|_| is_kept_after_end(pod)) else { return Vec::new() };
    let is_gone = snapshot.get(pod.key()).is_none_or(|now| !is_kept_after_end(now));
    let concerns = is_gone || kept_after_end(snapshot) > limit.get();
    concerns.then(|| ObjectKey::cluster(NAMESPACES, HOME)).into_iter().collect()
}
