//! How much of the history the log keeps.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::object::Revision;

/// How long a change is kept, unless there are too many.
pub const LOG_KEPT: Duration = Duration::from_mins(5);

/// How many changes are kept, however young.
pub const LOG_CHANGES_MAX: u64 = 100_000;

/// The floor moves in steps, so that it is not written with every group.
const STEP_CHANGES: u64 = 1000;
const STEP: Duration = Duration::from_secs(1);

/// Which changes the log holds, and which of them are old enough to go.
#[derive(Clone)]
pub(super) struct LogWindow {
    floor: Revision,
    /// Moments and the head at each, in steps.
    moments: VecDeque<(Timestamp, Revision)>,
}

impl LogWindow {
    /// A window over what was recovered. When those changes were made is no longer known: they count as made now.
    pub(super) fn new(floor: Revision) -> Self {
        Self { floor, moments: VecDeque::new() }
    }

    /// Notes the head after a group, and returns the new floor if it should move. The last change always stays, because
    /// it tells where the history ends.
    pub(super) fn advance(&mut self, head: Revision, now: Timestamp) -> Option<Revision> {
        let is_new_moment =
            self.moments.back().is_none_or(|(last, _)| now.duration_since(*last).unsigned_abs() >= STEP);
        if is_new_moment {
            self.moments.push_back((now, head));
        }
        let mut floor = self.floor;
        if head.0 - floor.0 >= LOG_CHANGES_MAX + STEP_CHANGES {
            floor = Revision(head.0 - LOG_CHANGES_MAX);
        }
        while let Some((_, revision)) =
            self.moments.front().filter(|(then, _)| now.duration_since(*then).unsigned_abs() >= LOG_KEPT)
        {
            floor = floor.max(*revision);
            self.moments.pop_front();
        }
        floor = floor.min(Revision(head.0.saturating_sub(1)));
        if floor <= self.floor {
            return None;
        }
        self.floor = floor;
        Some(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn changes_older_than_five_minutes_go_and_the_last_one_stays() {
        let mut window = LogWindow::new(Revision(0));
        assert_eq!(window.advance(Revision(10), at(0)), None);
        assert_eq!(window.advance(Revision(20), at(200)), None);
        assert_eq!(window.advance(Revision(21), at(299)), None);
        assert_eq!(window.advance(Revision(22), at(300)), Some(Revision(10)));
        assert_eq!(window.advance(Revision(23), at(10_000)), Some(Revision(22)));
    }

    #[test]
    fn more_than_a_hundred_thousand_changes_are_not_kept_however_young() {
        let mut window = LogWindow::new(Revision(0));
        assert_eq!(window.advance(Revision(100_999), at(0)), None);
        assert_eq!(window.advance(Revision(101_000), at(0)), Some(Revision(1000)));
    }
}
