//! What the operators' thread shows to others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Disabled, Driver, Figures};
use crate::object::ObjectKey;
use crate::store::Clock;
use crate::vital::Pulse;

/// A wake-up or a turn this old is worth telling.
const OLD: Duration = Duration::from_secs(5);

/// How the operators are.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Operators that panicked, with what they said.
    pub disabled: Vec<Disabled>,
    /// The wake-up nobody has handled for longest: operator, key and since when.
    pub oldest_unhandled: Option<(&'static str, ObjectKey, Timestamp)>,
    /// Keys that wait to be stepped.
    pub queued: usize,
    /// Commits under way.
    pub under_way: usize,
    /// What each operator has done.
    pub figures: Vec<(&'static str, Figures)>,
}

impl View {
    fn of(driver: &Driver) -> Self {
        Self {
            disabled: driver.disabled().to_vec(),
            oldest_unhandled: driver.oldest_unhandled(),
            queued: driver.queued(),
            under_way: driver.under_way(),
            figures: driver.figures().collect(),
        }
    }

    /// The oldest wake-up, where it is old at `now`.
    fn stuck(&self, now: Timestamp) -> Option<String> {
        let (operator, key, since) = self.oldest_unhandled.as_ref()?;
        (now.duration_since(*since).unsigned_abs() > OLD && *since < now)
            .then(|| format!("{operator} has not handled {key} since {since}"))
    }
}

/// Looks at the operators from other threads, without waiting for them.
#[derive(Clone)]
pub struct Shown {
    view: Arc<Mutex<View>>,
    pulse: Arc<Pulse>,
    clock: Clock,
}

impl Shown {
    pub(super) fn new(pulse: Arc<Pulse>, clock: Clock) -> Self {
        Self { view: Arc::default(), pulse, clock }
    }

    pub(super) fn renew(&self, driver: &Driver) {
        *self.locked() = View::of(driver);
    }

    fn locked(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the operators were when their thread last looked up: after every turn that found nothing to do, and once a
    /// second while there is something.
    pub fn view(&self) -> View {
        self.locked().clone()
    }

    /// What keeps the operators from their work for some seconds now: the thread hangs, or a wake-up is not handled.
    pub fn stuck(&self) -> Option<String> {
        let now = (self.clock)();
        let busy_for = self.pulse.busy_for(now);
        if busy_for > OLD {
            return Some(format!("the operators' thread has been at one turn for {} s", busy_for.as_secs()));
        }
        self.locked().stuck(now)
    }

    /// Everything that is not as it should be: operators that panicked, and what is stuck.
    pub fn problems(&self) -> Vec<String> {
        let disabled = self.view().disabled;
        disabled.iter().map(Disabled::to_string).chain(self.stuck()).collect()
    }
}
