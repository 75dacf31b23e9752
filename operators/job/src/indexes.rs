//! Sets of completion indexes, written as `0-3,7`.

use std::collections::BTreeSet;
use std::fmt;

/// A set of indexes: ranges with both ends, ascending, that neither meet nor touch.
///
/// A Job may have a hundred thousand indexes, most of them in a few ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads a list, passing over what is no index below `completions`.
    pub(crate) fn parse(list: &str, completions: i32) -> Self {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
            (0 <= first && first <= last && first < completions).then_some((first, last.min(completions - 1)))
        };
        Self::of(list.split(',').filter_map(range).collect())
    }

    /// The set with more indexes.
    pub(crate) fn with(&self, more: impl IntoIterator<Item = i32>) -> Self {
        let more = more.into_iter().map(|index| (index, index));
        Self::of(self.0.iter().copied().chain(more).collect())
    }

    /// All indexes of both.
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied().collect())
    }

    fn of(mut ranges: Vec<(i32, i32)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(i32, i32)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut().filter(|(_, end)| first <= end.saturating_add(1)) {
                Some((_, end)) => *end = last.max(*end),
                None => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    pub(crate) fn total(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(crate) fn contains(&self, index: i32) -> bool {
        let after = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(after).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes both hold.
    pub(crate) fn shared(&self, other: &Self) -> i32 {
        let overlap = |one: &(i32, i32), other: &(i32, i32)| (one.1.min(other.1) - one.0.max(other.0) + 1).max(0);
        self.0.iter().map(|one| other.0.iter().map(|other| overlap(one, other)).sum::<i32>()).sum()
    }

    /// The first `count` indexes below `completions` that it does not hold.
    pub(crate) fn first_missing(&self, count: usize, completions: i32) -> BTreeSet<i32> {
        let mut missing = BTreeSet::new();
        let mut next = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            missing.extend((next..first.min(completions)).take(count - missing.len()));
            next = last.saturating_add(1);
        }
        missing
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match last - first {
                0 => write!(text, "{comma}{first}")?,
                1 => write!(text, "{comma}{first},{last}")?,
                _ => write!(text, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_it_is_read() {
        let check = |list: &str, completions: i32, expect: &str| {
            assert_eq!(Indexes::parse(list, completions).to_string(), expect, "{list} below {completions}");
        };
        check("", 5, "");
        check("0-3,7", 9, "0-3,7");
        check("0,1,2,4,5", 9, "0-2,4,5");
        check("0-9", 3, "0-2");
        check("2,x,5-", 9, "2");
    }

    #[test]
    fn ranges_grow_together() {
        let set = Indexes::parse("1,3-5", 9);
        assert_eq!(set.with([2, 8]).to_string(), "1-5,8");
        assert_eq!(set.union(&Indexes::parse("0,6", 9)).to_string(), "0,1,3-6");
        assert_eq!((set.total(), set.contains(3), set.contains(2)), (4, true, false));
        assert_eq!(set.shared(&Indexes::parse("0-4", 9)), 3);
    }

    #[test]
    fn what_is_missing_is_found_in_order() {
        let missing = |list: &str, count: usize| -> Vec<i32> {
            Indexes::parse(list, 6).first_missing(count, 6).into_iter().collect()
        };
        assert_eq!(missing("1,3", 2), [0, 2]);
        assert_eq!(missing("1,3", 9), [0, 2, 4, 5]);
        assert_eq!(missing("0-5", 9), [0; 0]);
    }
}
