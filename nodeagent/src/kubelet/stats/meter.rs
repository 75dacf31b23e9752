//! How much of the processor is used: what was used between two looks.
//!
//! Nobody looks while nobody asks. Who asks for the first time waits for a second look; who comes back within a minute is told of the
//! time since.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::source;
use crate::runtime::docker::Docker;

/// The shortest time a rate is told of: within less, what a container does once passes for what it does always.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// The longest time a rate is told of: a look is kept so long.
const LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The machine.
    Machine,
    /// The run of a container, by its id.
    Container(String),
}

/// What was seen at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// When.
    pub(super) at: Timestamp,
    /// Processor time used since the start, in nanoseconds of one core.
    pub(super) cpu_ns: u64,
    /// Memory used, in bytes.
    pub(super) memory: u64,
    /// Memory used that cannot be had back by dropping files, in bytes.
    pub(super) working_set: u64,
}

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// The last look.
    pub(super) last: Reading,
    /// The time up to it that the rate is of.
    pub(super) window: Duration,
    /// Cores used in that time, in billionths.
    pub(super) nano_cores: u64,
}

impl Usage {
    fn between(first: Reading, last: Reading) -> Self {
        let window = Duration::try_from(last.at.duration_since(first.at)).unwrap_or_default();
        let used = u128::from(last.cpu_ns.saturating_sub(first.cpu_ns));
        let rate = (used * 1_000_000_000).checked_div(window.as_nanos()).unwrap_or_default();
        Self { last, window, nano_cores: u64::try_from(rate).unwrap_or(u64::MAX) }
    }
}

type Readings = BTreeMap<Subject, Reading>;

/// Measures, and keeps the last look at each for whoever asks next.
#[derive(Default)]
pub(in crate::kubelet) struct Meter {
    kept: Mutex<Readings>,
}

impl Meter {
    /// What each of these uses; nothing is told of what is gone.
    pub(super) async fn measure(&self, docker: Option<&Docker>, subjects: &[Subject]) -> BTreeMap<Subject, Usage> {
        let mut last = source::look(docker, subjects).await;
        let first = self.looked_before(&last);
        let is_too_soon = |(subject, now): (&Subject, &Reading)| {
            first.get(subject).is_some_and(|first| now.at.duration_since(first.at) < SHORTEST)
        };
        if last.iter().any(is_too_soon) {
            tokio::time::sleep(SHORTEST.unsigned_abs()).await;
            last = source::look(docker, subjects).await;
        }
        self.keep(&last);
        let usage = last.into_iter().filter_map(|(subject, last)| {
            let usage = Usage::between(*first.get(&subject)?, last);
            Some((subject, usage))
        });
        usage.collect()
    }

    /// The looks to compare with: those kept; of what was not looked at lately, this one.
    fn looked_before(&self, now: &Readings) -> Readings {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |(subject, now): (&Subject, &Reading)| {
            let known = kept.get(subject).filter(|kept| is_recent(kept, now.at));
            (subject.clone(), *known.unwrap_or(now))
        };
        now.iter().map(since).collect()
    }

    fn keep(&self, readings: &Readings) {
        let Some(now) = readings.values().map(|reading| reading.at).max() else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, reading| is_recent(reading, now));
        kept.extend(readings.iter().map(|(subject, reading)| (subject.clone(), *reading)));
    }
}

/// A look from after now is one from before the clock was set.
fn is_recent(reading: &Reading, now: Timestamp) -> bool {
    let age = now.duration_since(reading.at);
    !age.is_negative() && age < LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(second: i64, cpu_ns: u64) -> Reading {
        Reading { at: Timestamp::from_second(second).unwrap(), cpu_ns, memory: 0, working_set: 0 }
    }

    #[test]
    fn a_rate_is_what_was_used_in_the_time_between() {
        let cases = [
            ((0, 0), (2, 1_000_000_000), 500_000_000),
            ((10, 5), (11, 5), 0),
            ((0, 0), (1, 4_000_000_000), 4_000_000_000),
            ((0, 9), (1, 3), 0),
            ((5, 0), (5, 7), 0),
            ((9, 0), (5, 7), 0),
        ];
        for ((from, before), (to, after), expect) in cases {
            let usage = Usage::between(reading(from, before), reading(to, after));
            assert_eq!(usage.nano_cores, expect, "{from} {before} {to} {after}");
        }
    }

    #[test]
    fn a_look_is_compared_with_for_a_minute() {
        let (meter, web) = (Meter::default(), Subject::Container("web".to_owned()));
        let of = |reading: Reading| Readings::from([(web.clone(), reading)]);
        meter.keep(&of(reading(100, 1)));
        let compared = |now: i64| meter.looked_before(&of(reading(now, 2)))[&web];
        assert_eq!(compared(159), reading(100, 1));
        assert_eq!(compared(160), reading(160, 2));
        assert_eq!(compared(99), reading(99, 2), "the clock was set back");
        meter.keep(&Readings::from([(Subject::Machine, reading(200, 0))]));
        assert_eq!(meter.kept.lock().unwrap().len(), 1, "what is too old to compare with is not kept");
    }
}
