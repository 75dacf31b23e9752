//! How long to wait before trying again: the kubelet's schedules.

use jiff::{SignedDuration, Timestamp};

use super::situation::ContainerRecord;

/// The first wait after a crash or a failed pull, in seconds.
pub const FIRST_SECONDS: u32 = 10;
/// The longest wait, in seconds.
pub const LONGEST_SECONDS: u32 = 300;
/// A run that lasted longer than this, in seconds, clears the container's record of crashes.
pub const FORGIVEN_AFTER_SECONDS: i64 = 2 * LONGEST_SECONDS as i64;
/// The first wait after the runtime refused an operation that is no pull, in seconds.
const FIRST_RETRY_SECONDS: u32 = 1;

/// An operation that failed, and how often in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    /// A one-word reason, such as `ErrImagePull`.
    pub reason: String,
    /// What the runtime said.
    pub message: String,
    /// Failures in a row, at least 1.
    pub count: u32,
    /// When it failed last.
    pub at: Timestamp,
    /// The first wait of its schedule, in seconds.
    pub first_seconds: u32,
}

impl Setback {
    /// The failure after `earlier`, of a pull if `is_pull`.
    pub fn after(earlier: Option<&Self>, reason: String, message: String, at: Timestamp, first_seconds: u32) -> Self {
        let count = earlier.map_or(1, |earlier| earlier.count.saturating_add(1));
        Self { reason, message, count, at, first_seconds }
    }

    /// The schedule of image pulls.
    pub const PULL: u32 = FIRST_SECONDS;
    /// The schedule of everything else.
    pub const OTHER: u32 = FIRST_RETRY_SECONDS;

    /// How long to wait after the last failure, in seconds: doubling up to [`LONGEST_SECONDS`].
    pub fn wait_seconds(&self) -> u32 {
        let doublings = self.count.saturating_sub(1).min(16);
        self.first_seconds.saturating_mul(1 << doublings).min(LONGEST_SECONDS)
    }

    /// When to try again.
    pub fn until(&self) -> Timestamp {
        later(self.at, i64::from(self.wait_seconds()))
    }
}

/// `moment` plus `seconds`, held at the end of time.
pub fn later(moment: Timestamp, seconds: i64) -> Timestamp {
    moment.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// When a container that ended may run again, and the wait to note on that next run.
///
/// The first restart is immediate; later ones wait 10 s, doubling to 300 s. A run longer than 10 minutes starts over. The
/// wait is carried by the run itself, so a restarted agent goes on where it was.
pub fn restart(ended: &ContainerRecord) -> (Timestamp, u32) {
    let Some(exit) = ended.exit() else { return (Timestamp::MIN, 0) };
    let ran_seconds = ended.started_at.map_or(0, |started| exit.finished_at.duration_since(started).as_secs());
    if ran_seconds > FORGIVEN_AFTER_SECONDS {
        return (exit.finished_at, FIRST_SECONDS);
    }
    let next = ended.backoff_seconds.saturating_mul(2).clamp(FIRST_SECONDS, LONGEST_SECONDS);
    (later(exit.finished_at, i64::from(ended.backoff_seconds)), next)
}

#[cfg(test)]
mod tests {
    use super::super::situation::{Exit, RunState};
    use super::*;

    fn run(backoff_seconds: u32, lasted_seconds: i64) -> ContainerRecord {
        let started_at = Timestamp::UNIX_EPOCH;
        let exit = Exit::of(1, later(started_at, lasted_seconds));
        ContainerRecord {
            id: String::new(),
            name: String::new(),
            attempt: 0,
            sandbox_attempt: 0,
            backoff_seconds,
            image: String::new(),
            image_id: String::new(),
            bounds: crate::pod::resize::Bounds::default(),
            started_at: Some(started_at),
            state: RunState::Exited(exit),
        }
    }

    #[test]
    fn restarts_wait_nothing_then_ten_seconds_doubling_to_five_minutes() {
        let mut carried = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let (due, next) = restart(&run(carried, 1));
            waits.push(due.as_second() - 1);
            carried = next;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_run_of_more_than_ten_minutes_forgives_the_crashes_before_it() {
        assert_eq!(restart(&run(300, 601)), (later(Timestamp::UNIX_EPOCH, 601), FIRST_SECONDS));
        assert_eq!(restart(&run(300, 600)).1, LONGEST_SECONDS);
    }

    #[test]
    fn pulls_are_retried_after_ten_seconds_doubling_to_five_minutes() {
        let mut setback: Option<Setback> = None;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let next =
                Setback::after(setback.as_ref(), String::new(), String::new(), Timestamp::UNIX_EPOCH, Setback::PULL);
            waits.push(next.wait_seconds());
            setback = Some(next);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
    }
}
