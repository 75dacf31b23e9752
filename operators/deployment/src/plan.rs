//! The arithmetic of a rollout: how many replicas each ReplicaSet should have. Pure numbers in, pure numbers out.
//!
//! The rules are those of the Kubernetes deployment controller, seen as functions of one snapshot.

use std::cmp::Reverse;

/// A ReplicaSet of the Deployment, by its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SetSize {
    /// Its name.
    pub(crate) name: String,
    /// Its age: the creation time in seconds, where 0 is oldest.
    pub(crate) created: i64,
    /// The replicas it is asked for.
    pub(crate) replicas: i32,
    /// The pods it has.
    pub(crate) existing: i32,
    /// The pods that are available.
    pub(crate) available: i32,
    /// The pods that are on their way out, beside those.
    pub(crate) terminating: i32,
    /// Whether these numbers were told after the set was last sized.
    pub(crate) is_observed: bool,
    /// The size the Deployment had when the set was last sized; 0 where it never was.
    pub(crate) sized_for: i32,
    /// The same with the surge.
    pub(crate) sized_within: i32,
}

/// What the Deployment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The replicas it asks for.
    pub(crate) replicas: i32,
    /// How many more there may be.
    pub(crate) surge: i32,
    /// How many fewer may be available.
    pub(crate) unavailable: i32,
}

/// The ReplicaSets of a Deployment: the one of its present template, and the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sets {
    /// The one of the present template.
    pub(crate) new: Option<SetSize>,
    /// The others.
    pub(crate) old: Vec<SetSize>,
}

/// A ReplicaSet to be sized, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resize {
    /// The ReplicaSet.
    pub(crate) name: String,
    /// The replicas it has been asked for.
    pub(crate) from: i32,
    /// The replicas to ask it for.
    pub(crate) to: i32,
}

impl Bounds {
    /// The bounds of a Deployment of that size. Both bounds at zero would never move, so that one pod may then be missing
    /// (`ResolveFenceposts` upstream).
    pub(crate) fn resolve(replicas: i32, surge: Share, unavailable: Share) -> Self {
        let surge = surge.of(replicas, Rounding::Up);
        let unavailable = unavailable.of(replicas, Rounding::Down);
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Self { replicas, surge, unavailable: unavailable.min(replicas.max(0)) }
    }

    /// A Deployment that recreates: all old pods go before a new one comes.
    pub(crate) fn recreate(replicas: i32) -> Self {
        Self { replicas, surge: 0, unavailable: 0 }
    }

    /// The most pods there may be.
    pub(crate) fn most(self) -> i32 {
        if self.replicas == 0 { 0 } else { self.replicas.saturating_add(self.surge) }
    }

    /// The fewest pods that must be available.
    pub(crate) fn fewest(self) -> i32 {
        (self.replicas - self.unavailable).max(0)
    }
}

/// A number of pods, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// So many.
    Count(i32),
    /// So many of a hundred.
    Percent(i32),
}

/// Which way a share is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the larger number: surge.
    Up,
    /// To the smaller number: unavailable.
    Down,
}

impl Share {
    fn of(self, whole: i32, rounding: Rounding) -> i32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let hundredths = i64::from(percent) * i64::from(whole);
                let rounded = match rounding {
                    Rounding::Up => (hundredths + 99) / 100,
                    Rounding::Down => hundredths / 100,
                };
                i32::try_from(rounded).unwrap_or(i32::MAX)
            }
        }
    }
}

impl Sets {
    fn all(&self) -> impl Iterator<Item = &SetSize> {
        self.new.iter().chain(&self.old)
    }

    /// The replicas asked for, over all sets.
    pub(crate) fn replicas(&self) -> i32 {
        self.all().map(|set| set.replicas).sum()
    }

    /// The replicas asked for of sets of earlier templates.
    pub(crate) fn old_replicas(&self) -> i32 {
        self.old.iter().map(|set| set.replicas).sum()
    }

    /// The pods of sets of earlier templates that are still there.
    pub(crate) fn old_pods(&self) -> i32 {
        self.old.iter().map(|set| set.existing.max(set.replicas)).sum()
    }

    /// The pods that are on their way out.
    pub(crate) fn terminating(&self) -> i32 {
        self.all().map(|set| set.terminating).sum()
    }

    /// Whether a pod of an earlier template may still run, if only on its way out.
    pub(crate) fn may_old_pods_run(&self) -> bool {
        self.old_pods() > 0 || self.old.iter().any(|set| set.terminating > 0 || !set.is_observed)
    }

    /// How many pods more there may be. A set that was asked to shrink counts with the pods it is about to lose, and while
    /// one has not told how many that are there is no room.
    fn room(&self, bounds: Bounds) -> i32 {
        if self.old.iter().any(|set| !set.is_observed) {
            return 0;
        }
        let pods: i32 = self.all().map(|set| set.existing.max(set.replicas)).sum();
        (bounds.most() - pods).max(0)
    }

    /// Whether the present template's set has all replicas, and they are available.
    pub(crate) fn is_saturated(&self, bounds: Bounds) -> bool {
        self.new.as_ref().is_some_and(|new| {
            new.replicas == bounds.replicas && new.sized_for == bounds.replicas && new.available == bounds.replicas
        })
    }

    /// Whether the Deployment was resized since its sets were sized: they are then sized anew in proportion before the
    /// rollout goes on.
    pub(crate) fn was_resized(&self, bounds: Bounds) -> bool {
        self.all().any(|set| set.replicas > 0 && set.sized_for != 0 && set.sized_for != bounds.replicas)
    }
}

/// How large the present template's set starts: what fits below the surge.
pub(crate) fn initial_size(sets: &Sets, bounds: Bounds, recreate: bool) -> i32 {
    if recreate {
        return bounds.replicas;
    }
    sets.room(bounds).min(bounds.replicas)
}

/// Sizes after a change of the Deployment's replicas: one active set takes all; a saturated new set empties the others;
/// in the middle of a rollout every set takes its share.
pub(crate) fn proportional(sets: &Sets, bounds: Bounds, recreate: bool) -> Vec<Resize> {
    let mut active: Vec<&SetSize> = sets.all().filter(|set| set.replicas > 0).collect();
    if let Some(only) = sole(&active, sets) {
        return resize(only, bounds.replicas).into_iter().collect();
    }
    if sets.is_saturated(bounds) {
        return sets.old.iter().filter_map(|set| resize(set, 0)).collect();
    }
    if recreate {
        return Vec::new();
    }
    let to_add = bounds.most() - active.iter().map(|set| set.replicas).sum::<i32>();
    // The largest takes its share first; of equals, growing favours the newest and shrinking the oldest.
    if to_add > 0 {
        active.sort_by_key(|set| (Reverse(set.replicas), Reverse(set.created)));
    } else {
        active.sort_by_key(|set| (Reverse(set.replicas), set.created));
    }
    share_out(&active, bounds, to_add)
}

/// The set a resize is about alone: the only active one, or the newest where none is.
fn sole<'a>(active: &[&'a SetSize], sets: &'a Sets) -> Option<&'a SetSize> {
    match active {
        [] => sets.new.as_ref().or_else(|| sets.old.iter().max_by_key(|set| set.created)),
        [only] => Some(only),
        _ => None,
    }
}

fn share_out(active: &[&SetSize], bounds: Bounds, to_add: i32) -> Vec<Resize> {
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
    for set in active {
        let share = if to_add == 0 { 0 } else { fraction(set, bounds, to_add - added, to_add) };
        added += share;
        sizes.push(set.replicas + share);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    spare_the_serving(active, &mut sizes, bounds);
    active.iter().zip(sizes).filter_map(|(set, size)| resize(set, size)).collect()
}

/// Where a share would take pods that serve below the fewest promised, pods of other sets go that serve nobody. Kubernetes
/// shares without looking, and a Deployment that is made smaller in the middle of a rollout is short of pods for a while.
fn spare_the_serving(active: &[&SetSize], sizes: &mut [i32], bounds: Bounds) {
    let available: i32 = active.iter().map(|set| set.available).sum();
    let kept: i32 = active.iter().zip(&*sizes).map(|(set, size)| set.available.min(*size)).sum();
    for _ in kept..available.min(bounds.fewest()) {
        let losing = active.iter().zip(&mut *sizes).find(|(set, size)| **size < set.available);
        losing.into_iter().for_each(|(_, size)| *size += 1);
        let idle = active.iter().zip(&mut *sizes).find(|(set, size)| **size > set.available);
        idle.into_iter().for_each(|(_, size)| *size -= 1);
    }
}

/// A set's share of what is added or taken, never more than what is left.
fn fraction(set: &SetSize, bounds: Bounds, left: i32, to_add: i32) -> i32 {
    if set.replicas == 0 || left == 0 {
        return 0;
    }
    let most_before = if set.sized_within == 0 { bounds.most() } else { set.sized_within };
    let grown = f64::from(set.replicas) * f64::from(bounds.most()) / f64::from(most_before.max(1));
    let share = grown.round() as i32 - set.replicas;
    if to_add > 0 { share.min(left) } else { share.max(left) }
}

/// The next sizes of a rolling update: the new set grows into the surge; old ones shrink as the new becomes available.
pub(crate) fn roll(sets: &Sets, bounds: Bounds) -> Vec<Resize> {
    match sets.new.as_ref().and_then(|new| grow_new(new, sets, bounds)) {
        Some(growth) => vec![growth],
        None => shrink_old(sets, bounds),
    }
}

fn grow_new(new: &SetSize, sets: &Sets, bounds: Bounds) -> Option<Resize> {
    if new.replicas >= bounds.replicas {
        return resize(new, bounds.replicas);
    }
    resize(new, (new.replicas + sets.room(bounds)).min(bounds.replicas))
}

/// How far old sets may shrink. Pods of theirs that are not available go first, since they serve nobody; what is available
/// goes only as far as enough others are.
fn shrink_old(sets: &Sets, bounds: Bounds) -> Vec<Resize> {
    let new_unavailable = sets.new.as_ref().map_or(0, |new| (new.replicas - new.available).max(0));
    let mut may_go = sets.replicas() - bounds.fewest() - new_unavailable;
    if may_go <= 0 {
        return Vec::new();
    }
    let mut old: Vec<SetSize> = sets.old.clone();
    old.sort_by_key(|set| set.created);
    for set in &mut old {
        let unhealthy = (set.replicas - set.available).clamp(0, may_go);
        set.replicas -= unhealthy;
        may_go -= unhealthy;
    }
    // A set that was asked to shrink may still report the pods it is about to lose.
    let available: i32 = sets.all().map(|set| set.available.min(set.replicas)).sum();
    let mut spare = (available - bounds.fewest()).clamp(0, may_go);
    for set in &mut old {
        let goes = spare.min(set.replicas);
        set.replicas -= goes;
        spare -= goes;
    }
    let shrunk = |after: &SetSize| {
        let before = sets.old.iter().find(|before| before.name == after.name)?;
        resize(before, after.replicas)
    };
    old.iter().filter_map(shrunk).collect()
}

/// The next sizes of a Deployment that recreates: old sets go to zero; the new one comes when their pods are gone.
pub(crate) fn recreate(sets: &Sets, bounds: Bounds) -> Vec<Resize> {
    if sets.old_replicas() > 0 {
        return sets.old.iter().filter_map(|set| resize(set, 0)).collect();
    }
    if sets.may_old_pods_run() {
        return Vec::new();
    }
    sets.new.as_ref().and_then(|new| resize(new, bounds.replicas)).into_iter().collect()
}

fn resize(set: &SetSize, to: i32) -> Option<Resize> {
    (set.replicas != to).then(|| Resize { name: set.name.clone(), from: set.replicas, to })
}

/// Old sets that history no longer holds, oldest revision first: those without replicas and pods beyond the limit.
/// `revisions` pairs a set's name with its revision and whether it is empty.
pub(crate) fn beyond_history(revisions: &[(String, i64, bool)], limit: i32) -> Vec<String> {
    let keep = usize::try_from(limit).unwrap_or_default();
    let mut oldest_first: Vec<_> = revisions.iter().filter(|(_, _, empty)| *empty).collect();
    oldest_first.sort_by_key(|(_, revision, _)| *revision);
    let excess = oldest_first.len().saturating_sub(keep);
    oldest_first.into_iter().take(excess).map(|(name, _, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, created: i64, replicas: i32, available: i32) -> SetSize {
        let name = name.into();
        SetSize { name, created, replicas, existing: replicas, available, is_observed: true, ..SetSize::default() }
    }

    fn bounds(replicas: i32, surge: i32, unavailable: i32) -> Bounds {
        Bounds { replicas, surge, unavailable }
    }

    fn sizes(resizes: Vec<Resize>) -> Vec<(String, i32)> {
        resizes.into_iter().map(|resize| (resize.name, resize.to)).collect()
    }

    #[test]
    fn shares_round_in_favour_of_safety() {
        let check = |replicas, surge, unavailable, expect: (i32, i32)| {
            let bounds = Bounds::resolve(replicas, surge, unavailable);
            assert_eq!((bounds.surge, bounds.unavailable), expect, "{replicas} {surge:?} {unavailable:?}");
        };
        check(10, Share::Percent(25), Share::Percent(25), (3, 2));
        check(3, Share::Percent(25), Share::Percent(25), (1, 0));
        check(1, Share::Count(0), Share::Percent(25), (0, 1));
        check(4, Share::Count(2), Share::Count(1), (2, 1));
        check(0, Share::Percent(25), Share::Percent(25), (0, 0));
        check(2, Share::Percent(100), Share::Percent(100), (2, 2));
    }

    #[test]
    fn the_new_set_grows_into_the_surge_first() {
        let sets = Sets { new: Some(set("v2", 2, 0, 0)), old: vec![set("v1", 1, 3, 3)] };
        assert_eq!(sizes(roll(&sets, bounds(3, 1, 0))), [("v2".to_owned(), 1)]);
    }

    #[test]
    fn the_new_set_waits_for_pods_that_are_about_to_go() {
        let mut sets = Sets { new: Some(set("v2", 2, 1, 1)), old: vec![set("v1", 1, 1, 1)] };
        sets.old[0].existing = 2;
        assert_eq!(sizes(roll(&sets, bounds(2, 1, 0))), []);
        sets.old[0].existing = 1;
        assert_eq!(sizes(roll(&sets, bounds(2, 1, 0))), [("v2".to_owned(), 2)]);
        sets.old[0].is_observed = false;
        assert_eq!(sizes(roll(&sets, bounds(2, 1, 0))), []);
    }

    #[test]
    fn a_deployment_that_recreates_wants_every_replica_available() {
        assert_eq!(Bounds::recreate(2).fewest(), 2);
    }

    #[test]
    fn an_old_pod_goes_when_a_new_one_is_available() {
        let mut sets = Sets { new: Some(set("v2", 2, 1, 0)), old: vec![set("v1", 1, 3, 3)] };
        assert_eq!(sizes(roll(&sets, bounds(3, 1, 0))), []);
        sets.new = Some(set("v2", 2, 1, 1));
        assert_eq!(sizes(roll(&sets, bounds(3, 1, 0))), [("v1".to_owned(), 2)]);
    }

    #[test]
    fn pods_that_serve_nobody_go_first() {
        let sets = Sets { new: Some(set("v3", 3, 1, 0)), old: vec![set("v1", 1, 3, 3), set("v2", 2, 1, 0)] };
        assert_eq!(sizes(roll(&sets, bounds(3, 2, 0))), [("v2".to_owned(), 0)]);
    }

    #[test]
    fn a_single_active_set_takes_the_whole_size() {
        let sets = Sets { new: Some(set("v1", 1, 3, 3)), old: vec![set("v0", 0, 0, 0)] };
        assert_eq!(sizes(proportional(&sets, bounds(5, 1, 1), false)), [("v1".to_owned(), 5)]);
    }

    #[test]
    fn a_resize_in_the_middle_of_a_rollout_is_shared_out() {
        let sized = |mut set: SetSize| {
            (set.sized_for, set.sized_within) = (10, 13);
            set
        };
        let sets = Sets { new: Some(sized(set("v2", 2, 5, 5))), old: vec![sized(set("v1", 1, 8, 8))] };
        let bounds = bounds(15, 3, 2);
        assert!(sets.was_resized(bounds));
        let sizes = sizes(proportional(&sets, bounds, false));
        assert_eq!(sizes, [("v1".to_owned(), 11), ("v2".to_owned(), 7)]);
        assert_eq!(sizes.iter().map(|(_, size)| size).sum::<i32>(), bounds.most());
    }

    /// Found by `sampan simulate --seed 7`.
    #[test]
    fn what_serves_is_spared_where_a_rollout_is_made_smaller() {
        let sized = |mut set: SetSize| {
            (set.sized_for, set.sized_within) = (5, 6);
            set
        };
        let sets = Sets { new: Some(sized(set("v2", 2, 2, 0))), old: vec![sized(set("v1", 1, 4, 4))] };
        assert_eq!(sizes(proportional(&sets, bounds(4, 1, 0), false)), [("v2".to_owned(), 1)]);
        assert_eq!(sizes(proportional(&sets, bounds(4, 1, 1), false)), [("v1".to_owned(), 3)]);
    }

    #[test]
    fn recreating_waits_for_the_last_old_pod() {
        let mut sets = Sets { new: Some(set("v2", 2, 0, 0)), old: vec![set("v1", 1, 2, 2)] };
        assert_eq!(sizes(recreate(&sets, Bounds::recreate(2))), [("v1".to_owned(), 0)]);
        sets.old = vec![SetSize { existing: 1, ..set("v1", 1, 0, 0) }];
        assert_eq!(sizes(recreate(&sets, Bounds::recreate(2))), []);
        sets.old = vec![SetSize { terminating: 1, ..set("v1", 1, 0, 0) }];
        assert_eq!(sizes(recreate(&sets, Bounds::recreate(2))), []);
        sets.old = vec![SetSize { is_observed: false, ..set("v1", 1, 0, 0) }];
        assert_eq!(sizes(recreate(&sets, Bounds::recreate(2))), []);
        sets.old = vec![set("v1", 1, 0, 0)];
        assert_eq!(sizes(recreate(&sets, Bounds::recreate(2))), [("v2".to_owned(), 2)]);
    }

    #[test]
    fn history_drops_the_oldest_empty_sets() {
        let sets = [("a".to_owned(), 1, true), ("b".to_owned(), 3, true), ("c".to_owned(), 2, false)];
        assert_eq!(beyond_history(&sets, 1), ["a"]);
        assert_eq!(beyond_history(&sets, 0), ["a", "b"]);
        assert_eq!(beyond_history(&sets, 10), [] as [&str; 0]);
    }

    /// A rollout played out by numbers: whatever becomes available in whatever order, both bounds hold at every step and the
    /// end is reached.
    #[test]
    fn every_rollout_stays_within_its_bounds_and_ends() {
        for replicas in 0..=6 {
            for (surge, unavailable) in [(1, 0), (0, 1), (2, 1), (6, 6)] {
                let bounds = Bounds::resolve(replicas, Share::Count(surge), Share::Count(unavailable));
                play(bounds);
            }
        }
    }

    fn play(bounds: Bounds) {
        let old = set("v1", 1, bounds.replicas, bounds.replicas);
        let mut sets = Sets { new: Some(set("v2", 2, 0, 0)), old: vec![old] };
        for _ in 0..100 {
            let resizes = roll(&sets, bounds);
            for set in sets.new.iter_mut().chain(&mut sets.old) {
                if let Some(resize) = resizes.iter().find(|resize| resize.name == set.name) {
                    set.replicas = resize.to;
                    set.existing = resize.to;
                    set.available = set.available.min(resize.to);
                }
            }
            let available: i32 = sets.all().map(|set| set.available).sum();
            assert!(sets.replicas() <= bounds.most(), "{bounds:?} {sets:?}");
            assert!(available >= bounds.fewest(), "{bounds:?} {sets:?}");
            let Some(new) = sets.new.as_mut() else { return };
            if resizes.is_empty() && new.available == new.replicas {
                break;
            }
            new.available = (new.available + 1).min(new.replicas);
        }
        assert_eq!(sets.new.as_ref().map(|new| new.available), Some(bounds.replicas), "{bounds:?}");
        assert_eq!(sets.old_replicas(), 0, "{bounds:?}");
    }
}
