//! How many pods have ended, and which of them go.

use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::{PODS, is_kept_after_end, was_evicted};
use sampan_core::store::{IndexKey, Snapshot};

/// One in so many of those that may be kept goes together with those that are too many. All are looked through for a batch: so
/// that this is not done for each pod that ends, but once for so many that a pod's share in it does not grow with the limit.
const SPARED: usize = 128;

/// What is known of ended pods.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// How many there are.
    pub(crate) kept: usize,
    /// How many there may be; any number where nobody says.
    pub(crate) limit: Option<NonZeroUsize>,
}

impl View {
    /// How many go.
    pub(crate) fn surplus(&self) -> usize {
        let Some(limit) = self.limit.map(NonZeroUsize::get).filter(|limit| self.kept > *limit) else { return 0 };
        self.kept - limit + limit / SPARED
    }
}

/// The oldest so many of the pods that have ended. Of those that are deleted together none is before another.
pub(crate) fn oldest(snapshot: &Snapshot, count: usize) -> Vec<Arc<Object>> {
    let phases = ["Succeeded", "Failed"];
    let ended = phases.map(|phase| IndexKey::Field { resource: PODS, field: "status.phase", value: phase.into() });
    let mut pods: Vec<(Rank<'_>, &Arc<Object>)> = ended
        .iter()
        .flat_map(|index| snapshot.index(index))
        .filter(|pod| is_kept_after_end(pod))
        .map(|pod| (rank(pod), pod))
        .collect();
    if count < pods.len() {
        pods.select_nth_unstable_by(count, |(one, _), (other, _)| one.cmp(other));
    }
    pods.into_iter().take(count).map(|(_, pod)| pod.clone()).collect()
}

type Rank<'o> = (bool, Timestamp, &'o ObjectKey);

/// Who goes first: whom a node rid itself of, then who is older.
fn rank(pod: &Object) -> Rank<'_> {
    (!was_evicted(pod), pod.metadata().creation_timestamp, pod.key())
}

/// Of pods that were to go, those that may: somebody refuses one, so many after the first. Those before it go; where it is the
/// first, one that the lot falls on is tried alone, so that nobody's refusal keeps all others.
pub(crate) fn without_refused(chosen: &[Arc<Object>], accepted: usize, lot: u64) -> Vec<Arc<Object>> {
    if accepted > 0 {
        return chosen.iter().take(accepted).cloned().collect();
    }
    let count = u64::try_from(chosen.len()).unwrap_or(u64::MAX).max(1);
    let at = usize::try_from(lot % count).unwrap_or_default();
    chosen.get(at).cloned().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kept: usize, limit: usize, expect: usize) {
        let view = View { kept, limit: NonZeroUsize::new(limit) };
        assert_eq!(view.surplus(), expect, "{kept} of {limit}");
    }

    #[test]
    fn what_is_more_than_is_kept_goes() {
        check(3, 3, 0);
        check(4, 3, 1);
        check(12_500, 12_500, 0);
        check(12_501, 12_500, 98);
        check(1_000_000, 0, 0);
    }
}
