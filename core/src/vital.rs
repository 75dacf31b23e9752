//! Threads a process cannot be without: whether they get on, and what becomes of the process when they do not.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The process ends with this status where a thread it cannot be without has panicked: `EX_SOFTWARE` of `sysexits.h`.
pub const PANICKED: i32 = 70;

/// Since when a thread has been at what it is at. Its owner beats; anybody may look.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Milliseconds since the epoch; 0 while the thread waits for something to do.
    busy_since: AtomicI64,
}

impl Pulse {
    /// The thread begins something.
    pub(crate) fn beat(&self, now: Timestamp) {
        self.busy_since.store(now.as_millisecond().max(1), Ordering::Release);
    }

    /// The thread has nothing to do, and waits.
    pub(crate) fn rest(&self) {
        self.busy_since.store(0, Ordering::Release);
    }

    /// How long the thread has been at what it is at; nothing while it waits.
    pub fn busy_for(&self, now: Timestamp) -> Duration {
        match self.busy_since.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => Duration::from_millis(u64::try_from(now.as_millisecond() - since).unwrap_or_default()),
        }
    }
}

/// Runs what a thread is for. Should it panic the process ends and says so: it would seem to live and do nothing.
pub(crate) fn vital(name: &str, run: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else { return };
    let said = panic_text(&*payload);
    tracing::error!(thread = name, said, "a thread the process cannot be without has panicked");
    eprintln!(
        "the {name} thread has panicked: {said}. The process ends. What was acknowledged is kept: start it again, and \
         report this"
    );
    std::process::exit(PANICKED);
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_busy_from_its_beat_until_it_rests() {
        let (pulse, at) = (Pulse::default(), |ms: i64| Timestamp::from_millisecond(1_000 + ms).unwrap());
        assert_eq!(pulse.busy_for(at(0)), Duration::ZERO);
        pulse.beat(at(0));
        assert_eq!(pulse.busy_for(at(7_000)), Duration::from_secs(7));
        pulse.rest();
        assert_eq!(pulse.busy_for(at(9_000)), Duration::ZERO);
    }
}
