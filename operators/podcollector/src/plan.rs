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

/// The oldest so many of the pods that have ended, who goes first before all others.
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
        pods.truncate(count);
    }
    pods.sort_unstable_by_key(|(rank, _)| *rank);
    pods.into_iter().map(|(_, pod)| pod.clone()).collect()
}

type Rank<'o> = (bool, Timestamp, &'o ObjectKey);

/// Who goes first: whom a node rid itself of, then who is older.
fn rank(pod: &Object) -> Rank<'_> {
    (!was_evicted(pod), pod.metadata().creation_timestamp, pod.key())
}

/// Of pods that are to go, so many at most, where somebody refused the one that comes after so many: the others. Half the time,
/// by lot, only some of them, far and near: which are refused besides nobody knows, and those are not to keep all others. Where
/// there are no others the refused one is tried again.
pub(crate) fn without_refused(due: &[Arc<Object>], accepted: usize, count: usize, lot: u64) -> Vec<Arc<Object>> {
    let others: Vec<&Arc<Object>> = due.iter().take(accepted).chain(due.iter().skip(accepted + 1)).collect();
    if others.is_empty() {
        return due.iter().take(count).cloned().collect();
    }
    let stride = stride(others.len(), lot);
    let first = usize::try_from(lot >> 32).unwrap_or_default() % stride;
    others.into_iter().skip(first).step_by(stride).take(count).cloned().collect()
}

/// One in how many is taken of so many: half the time each one, else one in some power of two, all of which are as likely.
fn stride(number: usize, lot: u64) -> usize {
    let powers = u64::from(number.checked_ilog2().unwrap_or_default()) + 1;
    let power = if lot.is_multiple_of(2) { 0 } else { (lot & 0xffff_ffff) / 2 % powers };
    1 << power
}

#[cfg(test)]
mod tests {
    use sampan_core::object::{Draft, SHARE, written_share};
    use serde_json::json;

    use super::*;

    fn ended(name: &str, created: &str) -> Draft {
        let phase = "Succeeded";
        let pod =
            json!({"metadata": {"name": name, "namespace": "default", "uid": name, "creationTimestamp": created}});
        let share = written_share("", [("ended", 1)]);
        Draft::new(
            ObjectKey::namespaced(PODS, "default", name),
            pod,
            vec![("status.phase", phase.to_owned()), (SHARE, share)],
        )
        .unwrap()
    }

    fn names(pods: &[Arc<Object>]) -> Vec<&str> {
        pods.iter().map(|pod| &*pod.key().name).collect()
    }

    #[test]
    fn the_oldest_go_first_whatever_their_names() {
        let snapshot = Snapshot::of([
            ended("a", "2026-01-03T00:00:00Z"),
            ended("b", "2026-01-01T00:00:00Z"),
            ended("c", "2026-01-02T00:00:00Z"),
            ended("d", "2026-01-03T00:00:00Z"),
        ]);
        for (count, expect) in
            [(0, &[][..]), (1, &["b"]), (2, &["b", "c"]), (3, &["b", "c", "a"]), (9, &["b", "c", "a", "d"])]
        {
            assert_eq!(names(&oldest(&snapshot, count)), expect, "{count}");
        }
    }

    #[test]
    fn whom_somebody_refuses_keeps_no_others() {
        let snapshot = Snapshot::of(["a", "b", "c", "d", "e"].map(|name| ended(name, "2026-01-01T00:00:00Z")));
        let due = oldest(&snapshot, 5);
        for (accepted, count, expect) in [
            (0, 5, &["b", "c", "d", "e"][..]),
            (2, 5, &["a", "b", "d", "e"]),
            (4, 5, &["a", "b", "c", "d"]),
            (0, 2, &["b", "c"]),
            (9, 5, &["a", "b", "c", "d", "e"]),
        ] {
            assert_eq!(names(&without_refused(&due, accepted, count, 0)), expect, "{accepted} {count}");
        }
        assert_eq!(names(&without_refused(due.get(..1).unwrap(), 0, 5, 0)), ["a"], "who is alone is tried again");
        assert_eq!(without_refused(&[], 0, 5, 0).len(), 0);
    }

    #[test]
    fn some_are_tried_without_the_others_who_may_be_refused_as_well() {
        let snapshot = Snapshot::of(["a", "b", "c", "d", "e"].map(|name| ended(name, "2026-01-01T00:00:00Z")));
        let due = oldest(&snapshot, 5);
        let mut lots = (0..u64::from(u8::MAX)).flat_map(|far| (0..4).map(move |first| first << 32 | far));
        for alone in ["b", "c", "d", "e"] {
            assert!(lots.clone().any(|lot| names(&without_refused(&due, 0, 5, lot)) == [alone]), "{alone}");
        }
        assert!(lots.all(|lot| {
            let tried = without_refused(&due, 0, 5, lot);
            !tried.is_empty() && !names(&tried).contains(&"a")
        }));
    }

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
