//! A budget, its pods, and what follows from that.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sampan_core::Timestamp;
use sampan_podset::{is_ready, rounded_up};

use crate::expectation::Expected;
use crate::status;

/// After so long, a pod that was said to be evicted and is still there is taken to stay.
const EVICTION_TAKES: SignedDuration = SignedDuration::from_mins(2);

/// One look at a budget.
pub struct View {
    pub(crate) budget: Arc<PodDisruptionBudget>,
    /// Whether it selects any.
    pub(crate) has_pods: bool,
    /// What its status should say.
    pub(crate) wanted: PodDisruptionBudgetStatus,
    /// Pods nobody controls, whose number is therefore not known.
    pub(crate) unmanaged: Vec<String>,
    /// Why it cannot be told how many pods are expected.
    pub(crate) failure: Option<String>,
    /// When a pod that was to be evicted is taken to stay after all.
    pub(crate) next_expiry: Option<Timestamp>,
}

/// Where a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It selects no pods.
    Unmatched,
    /// Pods may be evicted.
    Allowing,
    /// None may be.
    Blocking,
    /// It cannot be told, so none may be.
    Failing,
}

/// Whether a budget is a share of what those who control the pods mean to keep.
pub(crate) fn depends_on_controllers(budget: &PodDisruptionBudget) -> bool {
    let Some(spec) = &budget.spec else { return false };
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

impl View {
    pub(crate) fn new(
        budget: Arc<PodDisruptionBudget>,
        pods: &[Arc<Pod>],
        expected: Result<Expected, String>,
        now: Timestamp,
    ) -> Self {
        let disrupted = still_leaving(&budget, pods, now);
        let next_expiry = disrupted.values().filter_map(|since| since.0.checked_add(EVICTION_TAKES).ok()).min();
        let healthy = pods.iter().filter(|pod| is_healthy(pod, &disrupted)).count();
        let (expected, failure) = match expected {
            Ok(expected) => (expected, None),
            Err(why) => (Expected::default(), Some(why)),
        };
        let count = Count {
            expected: expected.pods,
            desired: desired(&budget, expected.pods),
            healthy: i32::try_from(healthy).unwrap_or(i32::MAX),
        };
        let wanted = match &failure {
            None => status::status(&budget, count, disrupted, now),
            Some(why) => status::failed(&budget, why, now),
        };
        let has_pods = !pods.is_empty();
        Self { budget, has_pods, wanted, unmanaged: expected.unmanaged, failure, next_expiry }
    }

    /// Where the budget stands: a function of the view alone.
    pub(crate) fn standing(&self) -> Standing {
        match (&self.failure, self.has_pods, self.wanted.disruptions_allowed) {
            (Some(_), ..) => Standing::Failing,
            (None, false, _) => Standing::Unmatched,
            (None, true, 1..) => Standing::Allowing,
            (None, true, _) => Standing::Blocking,
        }
    }

    /// Whether the status already says what is.
    pub(crate) fn is_told(&self) -> bool {
        self.budget.status.as_ref() == Some(&self.wanted)
    }

    /// What users are told of pods nobody controls.
    pub(crate) fn unmanaged_message(&self) -> String {
        let pods = self.unmanaged.join(", ");
        format!(
            "Pods selected by this PodDisruptionBudget ({pods}) were found to be unmanaged. As a result, the status of the PDB \
             cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \
             \".spec.minAvailable\" field of the PDB to an integer value."
        )
    }

    /// The budget with the status it should have.
    pub(crate) fn with_status(&self) -> PodDisruptionBudget {
        PodDisruptionBudget { status: Some(self.wanted.clone()), ..(*self.budget).clone() }
    }
}

/// What a budget counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    /// How many pods there should be.
    pub(crate) expected: i32,
    /// How many must be healthy.
    pub(crate) desired: i32,
    /// How many are.
    pub(crate) healthy: i32,
}

impl Count {
    /// How many may go.
    pub(crate) fn allowed(self) -> i32 {
        if self.expected <= 0 { 0 } else { self.healthy.saturating_sub(self.desired).max(0) }
    }
}

/// How many pods must be healthy.
fn desired(budget: &PodDisruptionBudget, expected: i32) -> i32 {
    let Some(spec) = &budget.spec else { return 0 };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(unavailable), _) => expected.saturating_sub(rounded_up(unavailable, expected)).max(0),
        (None, Some(available)) => rounded_up(available, expected),
        (None, None) => 0,
    }
}

/// Pods somebody said to evict, which are neither on their way out yet nor taken to stay.
fn still_leaving(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], now: Timestamp) -> BTreeMap<String, Time> {
    let told = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let is_there = |name: &String| {
        let found = pods.iter().find(|pod| pod.metadata.name.as_ref() == Some(name));
        found.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none())
    };
    let is_awaited = |since: &Time| since.0.checked_add(EVICTION_TAKES).is_ok_and(|end| now < end);
    told.into_iter().filter(|(name, since)| is_there(name) && is_awaited(since)).collect()
}

fn is_healthy(pod: &Pod, disrupted: &BTreeMap<String, Time>) -> bool {
    let is_leaving = pod.metadata.name.as_ref().is_some_and(|name| disrupted.contains_key(name));
    pod.metadata.deletion_timestamp.is_none() && !is_leaving && is_ready(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_desired_may_go() {
        for (expected, desired, healthy, allowed) in [(3, 2, 3, 1), (3, 2, 2, 0), (3, 5, 2, 0), (0, 0, 2, 0)] {
            assert_eq!(Count { expected, desired, healthy }.allowed(), allowed);
        }
    }
}
