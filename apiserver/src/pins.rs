//! Snapshots that lists in pages are read from.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sampan_core::object::Revision;
use sampan_core::store::Snapshot;

/// How long a snapshot is kept for the next page.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);
/// How many snapshots are kept: each holds alive what has changed since.
const PINS_MAX: usize = 64;

/// Snapshots by revision, each kept for a while: who pages slowly cannot keep what has changed alive for ever.
#[derive(Default)]
pub(crate) struct Pins(Mutex<BTreeMap<Revision, Pin>>);

struct Pin {
    snapshot: Snapshot,
    since: Instant,
}

impl Pins {
    /// Keeps a snapshot for the next page. Where there is no room the oldest goes.
    pub(crate) fn keep(&self, snapshot: &Snapshot) {
        let mut pins = self.live();
        let pin = || Pin { snapshot: snapshot.clone(), since: Instant::now() };
        pins.entry(snapshot.revision()).or_insert_with(pin);
        while pins.len() > PINS_MAX {
            let oldest = pins.iter().min_by_key(|(_, pin)| pin.since).map(|(revision, _)| *revision);
            oldest.and_then(|revision| pins.remove(&revision));
        }
    }

    /// The snapshot of that revision, if it is still kept.
    pub(crate) fn get(&self, revision: Revision) -> Option<Snapshot> {
        self.live().get(&revision).map(|pin| pin.snapshot.clone())
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<Revision, Pin>> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|_, pin| pin.since.elapsed() < KEPT_FOR);
        pins
    }
}
