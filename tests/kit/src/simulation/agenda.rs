//! What is to happen, in order of time.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// What is to happen, in order of time; at one time, in the order it was noted.
pub(super) struct Agenda<T> {
    noted: u64,
    entries: BTreeMap<(Timestamp, u64), T>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { noted: 0, entries: BTreeMap::new() }
    }
}

impl<T> Agenda<T> {
    /// Notes something that will happen.
    pub(super) fn note(&mut self, at: Timestamp, what: T) {
        self.noted += 1;
        self.entries.insert((at, self.noted), what);
    }

    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next thing off.
    pub(super) fn take(&mut self) -> Option<T> {
        self.entries.pop_first().map(|(_, what)| what)
    }
}
