//! Reads held still for a moment, so that a step that was overtaken again and again gets its turn.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::ReadKey;
use super::touched::read_digest;

/// How long others wait at most.
pub const RESERVATION_MAX: Duration = Duration::from_millis(5);

/// How many steps may hold reads still at once.
const RESERVATIONS_MAX: usize = 8;

/// Names a reservation to its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReservationId(u64);

/// The reservations that hold.
#[derive(Clone, Default)]
pub(super) struct Reservations {
    next: u64,
    held: Vec<Reservation>,
}

#[derive(Clone)]
struct Reservation {
    id: ReservationId,
    reads: BTreeSet<u64>,
    since: Timestamp,
}

impl Reservation {
    fn until(&self) -> Timestamp {
        self.since.checked_add(RESERVATION_MAX).unwrap_or(Timestamp::MAX)
    }

    /// A clock that was set back ends it too: nobody waits longer than the bound.
    fn holds(&self, now: Timestamp) -> bool {
        self.since <= now && now < self.until()
    }
}

impl Reservations {
    /// Holds `reads` still from now on; `None` where another holds one of them, or too many hold some.
    pub(super) fn reserve(&mut self, reads: &[ReadKey], now: Timestamp) -> Option<ReservationId> {
        self.expire(now);
        let reads: BTreeSet<u64> = reads.iter().map(read_digest).collect();
        let is_free = self.held.iter().all(|other| other.reads.is_disjoint(&reads));
        if !is_free || self.held.len() >= RESERVATIONS_MAX {
            return None;
        }
        let id = ReservationId(self.next);
        self.next += 1;
        self.held.push(Reservation { id, reads, since: now });
        Some(id)
    }

    /// Ends a reservation, if it still holds.
    pub(super) fn release(&mut self, id: ReservationId) {
        self.held.retain(|reservation| reservation.id != id);
    }

    /// Ends all of them.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// Ends those whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.held.retain(|reservation| reservation.holds(now));
    }

    /// Whether none hold.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// When the next one ends by itself.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.held.iter().map(Reservation::until).min()
    }

    /// Whether a change that touches these must wait, made by the holder of `own` or by nobody's.
    pub(super) fn block(&self, touched: &[u64], own: Option<ReservationId>) -> bool {
        let others = self.held.iter().filter(|reservation| Some(reservation.id) != own);
        others.into_iter().any(|reservation| touched.iter().any(|digest| reservation.reads.contains(digest)))
    }
}
