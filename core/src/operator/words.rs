//! How far runs of effects say they have come: the latest word of each, so often that people can follow it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::object::ObjectKey;

/// How long a word stands at least before the next one of its run is written: each is a revision, and a wake-up.
const STANDS: Duration = Duration::from_secs(1);

/// The words of runs, by the keys of their records.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    latest: BTreeMap<ObjectKey, String>,
    /// Since when the last one written stands.
    written: BTreeMap<ObjectKey, Timestamp>,
}

impl Words {
    /// A run says something: what it said before and is not written yet is not any more.
    pub(super) fn hear(&mut self, record: &ObjectKey, word: String) {
        self.latest.insert(record.clone(), word);
    }

    /// A word that is to be written now.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(ObjectKey, String)> {
        let may =
            |record: &&ObjectKey| self.due(record) <= now || self.written.get(*record).is_some_and(|at| *at > now);
        let record = self.latest.keys().find(may)?.clone();
        let word = self.latest.remove(&record)?;
        self.written.insert(record.clone(), now);
        Some((record, word))
    }

    /// When a word is to be written.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.latest.keys().map(|record| self.due(record)).min()
    }

    /// A run has ended: what came of it says more.
    pub(super) fn forget(&mut self, record: &ObjectKey) {
        self.latest.remove(record);
        self.written.remove(record);
    }

    fn due(&self, record: &ObjectKey) -> Timestamp {
        let since = self.written.get(record);
        since.map_or(Timestamp::MIN, |since| since.checked_add(STANDS).unwrap_or(*since))
    }
}
