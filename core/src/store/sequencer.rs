//! The one writer: it puts requests in order, checks them, and makes them durable in groups.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};

use super::backend::{Backend, MemoryBackend, MemoryDisk};
use super::check::check;
use super::condition::Counters;
use super::decisions::{Shelf, fill_revisions};
use super::expiry::{Expiry, TimesToLive};
use super::feed::Feed;
use super::group::Building;
use super::log_window::LogWindow;
use super::reader::{Counts, Shared};
use super::recovery::{KnownOrigins, OpenError, floor_row, own_origin, recover};
use super::reservation::{ReservationId, Reservations};
use super::snapshot::Head;
use super::touched::{After, Touched, touched_by};
use super::{
    Change, Commit, Event, Indexing, Origin, Origins, Precondition, Put, ReadKey, Reader, Refusal, Snapshot,
    WatchChange, Write,
};
use crate::object::{Draft, Object, ObjectKey, Revision};

/// How many expired objects leave with one group: the rest leaves with the next.
const EXPIRED_MAX: usize = 256;

/// How often the high-water mark moves while there is work: the disk is not asked for it with every group. So it lags behind by
/// less than twice as much.
const MARK_EVERY: SignedDuration = SignedDuration::from_millis(5);

/// Tells a request's answer apart from others'; given by who submits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The cluster's identity, if the store is new.
    pub cluster_uid: String,
    /// Which objects go by themselves.
    pub times_to_live: TimesToLive,
    /// How what objects are found by is read, where the store is to hold to it; otherwise it is what was written.
    pub indexing: Option<Indexing>,
}

/// A request's answer, under its ticket.
pub type Answer = (Ticket, Result<Commit, Refusal>);

/// Puts all writes in one order, each change at a revision of its own, and makes them durable in groups.
///
/// # Guarantees
/// Requests are decided in the order they were submitted, against everything decided before. What is answered as
/// committed is durable and in every snapshot taken later. A request refused leaves no trace and disturbs no other.
///
/// # Caveats
/// It owns no thread and reads no clock: somebody calls [`commit_group`](Self::commit_group).
pub struct Sequencer<B: Backend> {
    backend: B,
    shared: Arc<Shared>,
    head: Head,
    queue: VecDeque<Queued>,
    touched: Touched,
    counters: Counters,
    reservations: Reservations,
    window: LogWindow,
    shelf: Shelf,
    expiry: Expiry,
    origins: KnownOrigins,
    marked_at: Timestamp,
    is_settled: bool,
}

struct Queued {
    ticket: Ticket,
    write: Write,
    reservation: Option<ReservationId>,
    was_parked: bool,
}

impl<B: Backend> Sequencer<B> {
    /// Reads the store back, or begins one.
    ///
    /// # Errors
    /// When the store cannot be read or is not whole.
    pub fn open(mut backend: B, settings: Settings) -> Result<Self, OpenError> {
        let mut expiry = Expiry::new(settings.times_to_live.clone());
        let recovered = recover(&mut backend, &settings, &mut expiry)?;
        let revision = recovered.head.revision;
        let shared = Shared {
            snapshot: ArcSwap::from_pointee(recovered.head.snapshot()),
            feed: Feed::new(revision),
            archive: Mutex::new(Some(backend.archive())),
            cluster_uid: recovered.cluster_uid,
            floor: AtomicU64::new(recovered.floor.0),
            counts: Counts::default(),
            decided: Arc::default(),
            halted: OnceLock::new(),
        };
        backend.trim(recovered.floor);
        Ok(Self {
            backend,
            shared: Arc::new(shared),
            head: recovered.head,
            queue: VecDeque::new(),
            touched: Touched::new(revision),
            counters: Counters::default(),
            reservations: Reservations::default(),
            window: LogWindow::new(recovered.floor),
            shelf: recovered.shelf,
            expiry,
            origins: KnownOrigins::default(),
            marked_at: Timestamp::MIN,
            is_settled: false,
        })
    }

    /// Reads the store, from any thread.
    pub fn reader(&self) -> Reader {
        Reader(self.shared.clone())
    }

    /// The cluster after the last group.
    pub fn snapshot(&self) -> Snapshot {
        self.reader().snapshot()
    }

    /// Queues a request.
    pub fn submit(&mut self, write: Write, ticket: Ticket) {
        self.queue.push_back(Queued { ticket, write, reservation: None, was_parked: false });
    }

    /// Queues the request that a reservation was made for. Deciding it ends the reservation.
    pub fn submit_reserved(&mut self, write: Write, ticket: Ticket, reservation: ReservationId) {
        self.queue.push_back(Queued { ticket, write, reservation: Some(reservation), was_parked: false });
    }

    /// Lets requests of others that touch these reads wait, in order, until the holder has committed or
    /// [`RESERVATION_MAX`](super::RESERVATION_MAX) is over. `None` where another holds one of them.
    pub fn reserve(&mut self, reads: &[ReadKey], now: Timestamp) -> Option<ReservationId> {
        self.reservations.reserve(reads, now)
    }

    /// Ends a reservation that is not needed after all.
    pub fn release(&mut self, reservation: ReservationId) {
        self.reservations.release(reservation);
    }

    /// Ends every reservation: nothing waits any longer.
    pub fn release_all(&mut self) {
        self.reservations.clear();
    }

    /// Whether requests wait to be decided.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether a call of [`commit_group`](Self::commit_group) at `now` has something to do.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.queue.iter().any(|queued| !queued.was_parked) || self.next_deadline().is_some_and(|due| due <= now)
    }

    /// When [`commit_group`](Self::commit_group) has something to do though nothing is submitted: objects expire, or
    /// requests have waited long enough.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let expiry = self.expiry.next().filter(|_| !self.is_halted());
        let parked = match (self.queue.is_empty(), self.reservations.is_empty()) {
            (true, _) => None,
            (false, true) => Some(Timestamp::MIN),
            (false, false) => self.reservations.next_end(),
        };
        expiry.into_iter().chain(parked).min()
    }

    /// Decides what is queued, makes it durable, publishes it, and returns the answers.
    pub fn commit_group(&mut self, now: Timestamp) -> Vec<Answer> {
        if self.is_halted() {
            return self.refuse_all(Vec::new());
        }
        self.reservations.expire(now);
        let mut group = Building::default();
        let mut answers = Vec::new();
        self.expire(now, &mut group);
        self.decide_queue(now, &mut group, &mut answers);
        if group.is_empty() {
            return self.count(answers);
        }
        match self.write(group, now) {
            Ok(()) => self.count(answers),
            Err(reason) => {
                self.head = self.snapshot().head().clone();
                self.counters.forget();
                tracing::error!("the store takes no writes any more: {reason}");
                let _ = self.shared.halted.set(reason);
                self.refuse_all(answers)
            }
        }
    }

    fn is_halted(&self) -> bool {
        self.shared.halted.get().is_some()
    }

    /// Notes, while nothing is under way, that everything so far was acknowledged. Called when no request came for
    /// some milliseconds.
    pub fn settle(&mut self) {
        if std::mem::replace(&mut self.is_settled, true) || self.is_halted() {
            return;
        }
        if let Err(error) = self.backend.settle(self.head.revision) {
            tracing::warn!(%error, "the high-water mark lags behind");
        }
        self.shared.counts.syncs.store(self.backend.syncs(), Ordering::Relaxed);
    }

    /// Whether the mark lags behind and no group has come that would have moved it: what is refused moves nothing.
    pub fn is_mark_late(&self, now: Timestamp) -> bool {
        !self.is_settled && now.duration_since(self.marked_at).abs() >= MARK_EVERY * 2
    }

    /// Whether everything acknowledged is noted as such.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Closes the store: its files too, whoever still holds a [`Reader`].
    pub fn close(mut self) {
        self.settle();
        *self.shared.archive.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn decide_queue(&mut self, now: Timestamp, group: &mut Building, answers: &mut Vec<Answer>) {
        let mut parked = Parked::default();
        while let Some(mut queued) = self.queue.pop_front() {
            if group.is_full() {
                self.queue.push_front(queued);
                break;
            }
            if self.must_wait(&queued, &parked) {
                self.shared.counts.parked.fetch_add(u64::from(!queued.was_parked), Ordering::Relaxed);
                queued.was_parked = true;
                parked.add(queued);
                continue;
            }
            let answer = self.decide(queued.write, now, group);
            if let Some(reservation) = queued.reservation {
                self.reservations.release(reservation);
            }
            answers.push((queued.ticket, answer));
        }
        for queued in parked.queue.into_iter().rev() {
            self.queue.push_front(queued);
        }
    }

    /// Whether the request touches what another holds still, or what a request that waits touches.
    fn must_wait(&self, queued: &Queued, parked: &Parked) -> bool {
        if self.reservations.is_empty() {
            return false;
        }
        let touched = touched_by_write(&queued.write, &self.head);
        let is_blocked = self.reservations.block(&touched, queued.reservation);
        is_blocked || (queued.reservation.is_none() && parked.touched_objects(&queued.write))
    }

    fn decide(&mut self, write: Write, now: Timestamp, group: &mut Building) -> Result<Commit, Refusal> {
        check(&write, &self.head, &mut self.counters)?;
        if let Some((read, changed_at)) = write.guard.as_ref().and_then(|guard| self.touched.broken(guard)) {
            return Err(Refusal::Guard { read: Box::new(read.clone()), changed_at });
        }
        let origin = Arc::new(write.origin);
        let mut became = Vec::with_capacity(write.changes.len());
        let mut objects = Vec::with_capacity(write.changes.len());
        for change in write.changes {
            let key = change.key.clone();
            objects.push(self.apply(change, &origin, now, group));
            became.push((key, self.head.revision));
        }
        if let Some(mut decision) = write.decision {
            fill_revisions(&mut decision, &became);
            group.extend(self.shelf.put(&decision));
            if self.shared.decided.is_followed() {
                group.decided.push(decision);
            }
        }
        Ok(Commit { revision: self.head.revision, objects })
    }

    /// Makes a change that was checked, at the next revision.
    fn apply(&mut self, change: Change, origin: &Arc<Origin>, now: Timestamp, group: &mut Building) -> Arc<Object> {
        let revision = self.head.revision.next();
        self.head.revision = revision;
        match change.put {
            Put::Object(draft) => self.put(*draft, revision, origin, now, group),
            Put::Nothing => self.remove(&change.key, revision, origin, now, group),
        }
    }

    fn put(
        &mut self,
        draft: Draft,
        revision: Revision,
        origin: &Arc<Origin>,
        now: Timestamp,
        group: &mut Building,
    ) -> Arc<Object> {
        let object = Arc::new(draft.at(revision));
        let known = self.head.origins(object.key());
        let origins = known.map_or_else(|| Origins::of_new(origin.clone()), |known| known.changed_by(origin.clone()));
        let origins = self.origins.share(origins);
        group.put(&object, &origins, now);
        let before = self.head.insert(object.clone(), origins, now);
        self.counters.changed(object.key(), before.as_deref(), Some(&object));
        let after = After::of(object.key(), object.metadata(), object.fields());
        let touched = touched_by(object.key(), before.as_deref(), &after);
        self.touched.mark(revision, &touched);
        self.expiry.changed(object.key(), revision, now);
        let change = match before {
            Some(before) => WatchChange::Modified { before, after: object.clone() },
            None => WatchChange::Added(object.clone()),
        };
        let (key, origin) = (object.key().clone(), origin.clone());
        group.log(Event { revision, key, change, origin, changed_at: Some(now) });
        object
    }

    fn remove(
        &mut self,
        key: &ObjectKey,
        revision: Revision,
        origin: &Arc<Origin>,
        now: Timestamp,
        group: &mut Building,
    ) -> Arc<Object> {
        let before = self.head.remove(key).expect("only an object found by the check is removed");
        self.counters.changed(key, Some(&before), None);
        self.touched.mark(revision, &touched_by(key, Some(&before), &After::gone()));
        group.remove(key);
        let change = WatchChange::Removed(Arc::new(before.restamped(revision)));
        let (key, origin) = (key.clone(), origin.clone());
        group.log(Event { revision, key, change, origin, changed_at: Some(now) });
        before
    }

    /// Removes objects whose time is over and which nobody has changed since.
    fn expire(&mut self, now: Timestamp, group: &mut Building) {
        for _ in 0..EXPIRED_MAX {
            let Some(due) = self.expiry.pop(now) else { break };
            let removal = Change {
                precondition: Precondition::Unchanged(due.revision),
                key: due.key,
                put: Put::Nothing,
                conditions: Vec::new(),
            };
            let origin = own_origin("expiry");
            let write = Write { origin, changes: vec![removal], guard: None, decision: None };
            // Refused is what a later change has given more time.
            let _ = self.decide(write, now, group);
        }
    }

    /// Makes the group durable and tells everybody.
    fn write(&mut self, mut group: Building, now: Timestamp) -> Result<(), String> {
        let mark = group.has_changes().then(|| self.mark_due(now)).flatten();
        // What is trimmed is gone at once: the floor that says so must be durable by then, or the store would miss it.
        let floor = group.has_changes().then(|| self.window.advance(self.head.revision, now)).flatten();
        group.extend(floor.map(floor_row));
        let decided = std::mem::take(&mut group.decided);
        let (rows, events) = group.finish(mark);
        let has_changes = rows.has_changes;
        self.is_settled &= !has_changes;
        self.backend.append(rows).map_err(|error| error.to_string())?;
        if let Some(floor) = floor {
            self.shared.floor.store(floor.0, Ordering::Release);
            self.backend.trim(floor);
        }
        self.shared.counts.groups.fetch_add(1, Ordering::Relaxed);
        self.shared.counts.syncs.store(self.backend.syncs(), Ordering::Relaxed);
        if has_changes {
            self.shared.snapshot.store(Arc::new(self.head.snapshot()));
            self.shared.feed.publish(events, self.head.revision);
        }
        self.shared.decided.tell(decided);
        Ok(())
    }

    /// The last revision acknowledged, where it is time to note it beside the group.
    fn mark_due(&mut self, now: Timestamp) -> Option<Revision> {
        let is_due = now.duration_since(self.marked_at).abs() >= MARK_EVERY;
        is_due.then(|| {
            self.marked_at = now;
            self.shared.snapshot.load().revision()
        })
    }

    /// Answers everything queued, and what was decided on a group that failed, with what has halted the store.
    fn refuse_all(&mut self, decided: Vec<Answer>) -> Vec<Answer> {
        let reason = self.shared.halted.get().cloned().unwrap_or_default();
        let tickets = decided.into_iter().map(|(ticket, _)| ticket);
        let all: Vec<Ticket> = tickets.chain(self.queue.drain(..).map(|queued| queued.ticket)).collect();
        let refused = all.into_iter().map(|ticket| (ticket, Err(Refusal::Unavailable(reason.clone()))));
        let refused = refused.collect();
        self.count(refused)
    }

    fn count(&self, answers: Vec<Answer>) -> Vec<Answer> {
        let committed = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
        self.shared.counts.writes.fetch_add(committed as u64, Ordering::Relaxed);
        self.shared.counts.refusals.fetch_add((answers.len() - committed) as u64, Ordering::Relaxed);
        answers
    }
}

impl Sequencer<MemoryBackend> {
    /// The same store to go on another way, sharing all that neither of them changes: a simulation branches at every
    /// step. What was prepared before the fork and is committed after it is refused, as if something it rests on had changed.
    ///
    /// # Panics
    /// When requests are under way: who submitted them could not tell which of the two will answer.
    pub fn fork(&self) -> Self {
        assert!(self.queue.is_empty(), "a store is forked between requests");
        let backend = self.backend.fork();
        let revision = self.head.revision;
        let shared = Shared {
            snapshot: ArcSwap::new(self.shared.snapshot.load_full()),
            feed: Feed::new(revision),
            archive: Mutex::new(Some(backend.archive())),
            cluster_uid: self.shared.cluster_uid.clone(),
            floor: AtomicU64::new(self.shared.floor.load(Ordering::Acquire)),
            counts: Counts::default(),
            decided: Arc::default(),
            halted: self.shared.halted.clone(),
        };
        Self {
            backend,
            shared: Arc::new(shared),
            head: self.head.clone(),
            queue: VecDeque::new(),
            touched: Touched::new(revision),
            reservations: self.reservations.clone(),
            counters: self.counters.clone(),
            window: self.window.clone(),
            shelf: self.shelf.clone(),
            expiry: self.expiry.clone(),
            origins: self.origins.clone(),
            marked_at: self.marked_at,
            is_settled: self.is_settled,
        }
    }

    /// The disk the store is on.
    pub fn disk(&self) -> &MemoryDisk {
        self.backend.disk()
    }
}

/// The requests that wait, in order.
#[derive(Default)]
struct Parked {
    queue: VecDeque<Queued>,
    objects: BTreeSet<ObjectKey>,
}

impl Parked {
    fn add(&mut self, queued: Queued) {
        self.objects.extend(queued.write.changes.iter().map(|change| change.key.clone()));
        self.queue.push_back(queued);
    }

    fn touched_objects(&self, write: &Write) -> bool {
        write.changes.iter().any(|change| self.objects.contains(&change.key))
    }
}

fn touched_by_write(write: &Write, head: &Head) -> Vec<u64> {
    let mut touched = Vec::new();
    for change in &write.changes {
        let old = head.get(&change.key).map(|object| &**object);
        let new = match &change.put {
            Put::Object(draft) => After::of(&change.key, draft.metadata(), draft.fields()),
            Put::Nothing => After::gone(),
        };
        touched.extend(touched_by(&change.key, old, &new));
    }
    touched
}
