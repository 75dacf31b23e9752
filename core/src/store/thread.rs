//! The thin shell around the sequencer: the one thread that writes, and the handle everybody else has.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_channel::oneshot;
use jiff::Timestamp;

use super::backend::Backend;
use super::reservation::ReservationId;
use super::{Commit, OpenError, ReadKey, Reader, Refusal, Sequencer, Settings, Ticket, Write};
use crate::vital::{Pulse, vital};

/// How long nothing must come before the store counts as idle and notes that everything was acknowledged.
const SETTLE_AFTER: Duration = Duration::from_millis(5);

/// A write that takes this long does not come back soon: a healthy disk is a thousand times faster.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// The most requests taken over at once; what is queued beyond joins the next group.
const TAKEN_MAX: usize = 4096;

/// The most requests that wait to be taken over. HTTP lets in fewer; beyond it whoever can wait waits, and who cannot is
/// sent away.
const QUEUED_MAX: usize = 8192;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Who waits for an answer. Everybody gets one: a reply that is dropped says that the store is closed.
struct Reply(Option<Box<dyn FnOnce(Result<Commit, Refusal>) + Send>>);

impl Reply {
    /// `tell` is called with the answer, mostly on the thread that writes: it must return at once.
    fn new(tell: impl FnOnce(Result<Commit, Refusal>) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    fn tell(mut self, answer: Result<Commit, Refusal>) {
        if let Some(tell) = self.0.take() {
            tell(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Err(closed()));
        }
    }
}

enum Request {
    Commit(Box<Write>, Option<ReservationId>, Reply),
    Reserve(Vec<ReadKey>, SyncSender<Option<ReservationId>>),
    Release(ReservationId),
    Close,
}

/// A store that is open. Clones are handles of the same one. It reads as a [`Reader`] does.
///
/// # Guarantees
/// What [`commit`](Self::commit) answers with success survives a crash and is in every snapshot taken after.
#[derive(Clone)]
pub struct Store {
    reader: Reader,
    requests: SyncSender<Request>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    pulse: Arc<Pulse>,
    clock: Clock,
}

impl Store {
    /// Opens a store, and starts the thread that writes to it. Should that panic, the process ends.
    ///
    /// # Errors
    /// When the store cannot be read or is not whole.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn open<B: Backend>(backend: B, settings: Settings, clock: Clock) -> Result<Self, OpenError> {
        let sequencer = Sequencer::open(backend, settings)?;
        let reader = sequencer.reader();
        let (requests, queue) = sync_channel(QUEUED_MAX);
        let pulse = Arc::<Pulse>::default();
        let (beat, told) = (pulse.clone(), clock.clone());
        let replies = BTreeMap::new();
        let shell = Shell { sequencer, queue, clock: told, pulse: beat, replies, next: 0, is_closing: false };
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || vital("store", || shell.run()));
        let thread = thread.expect("a process that starts can start a thread");
        Ok(Self { reader, requests, thread: Arc::new(Mutex::new(Some(thread))), pulse, clock })
    }

    /// What can be read, without the right to write.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Commits a request. The future may be awaited on any runtime, or dropped: the request is on its way.
    ///
    /// # Errors
    /// When the request is refused; [`Refusal::Overloaded`] where too many wait already.
    pub fn commit(&self, write: Write) -> impl Future<Output = Result<Commit, Refusal>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Commit(Box::new(write), None, Reply::new(move |result| drop(reply.send(result))));
        if let Err(TrySendError::Full(Request::Commit(_, _, reply))) = self.requests.try_send(request) {
            reply.tell(Err(Refusal::Overloaded));
        }
        async move { answer.await.unwrap_or_else(|_| Err(closed())) }
    }

    /// Commits a request, and waits for the answer. Not for async code.
    ///
    /// # Errors
    /// When the request is refused.
    pub fn commit_blocking(&self, write: Write) -> Result<Commit, Refusal> {
        self.wait_for(write, None)
    }

    /// Commits the request a reservation was made for, and waits for the answer.
    ///
    /// # Errors
    /// When the request is refused.
    pub fn commit_reserved(&self, write: Write, reservation: ReservationId) -> Result<Commit, Refusal> {
        self.wait_for(write, Some(reservation))
    }

    /// Commits a request, the one a reservation was made for if there is one, and calls `reply` with the answer on the
    /// thread that writes: it must return at once. Waits while too many wait already. Not for async code.
    pub fn commit_with(
        &self,
        write: Write,
        reservation: Option<ReservationId>,
        reply: impl FnOnce(Result<Commit, Refusal>) + Send + 'static,
    ) {
        self.commit_then(write, reservation, Reply::new(reply));
    }

    /// What keeps the store from taking writes: the disk, for good, or a write that hangs for some seconds now.
    pub fn problem(&self) -> Option<String> {
        if let Some(reason) = self.reader.halted() {
            return Some(format!("the store takes no writes: {reason}"));
        }
        let busy_for = self.pulse.busy_for((self.clock)());
        (busy_for > STUCK_AFTER).then(|| format!("a write has been under way for {} s", busy_for.as_secs()))
    }

    /// Lets requests of others that touch these reads wait for at most [`RESERVATION_MAX`](super::RESERVATION_MAX).
    /// `None` where another holds one of them.
    pub fn reserve(&self, reads: Vec<ReadKey>) -> Option<ReservationId> {
        let (reply, answer) = sync_channel(1);
        self.requests.send(Request::Reserve(reads, reply)).ok()?;
        answer.recv().ok().flatten()
    }

    /// Ends a reservation that is not needed after all.
    pub fn release(&self, reservation: ReservationId) {
        // A store that is closed holds nothing.
        let _ = self.requests.send(Request::Release(reservation));
    }

    /// Commits what is queued, closes the store and waits until its files are closed too. Later requests are refused.
    pub fn close(&self) {
        let _ = self.requests.send(Request::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.into_iter().for_each(|thread| drop(thread.join()));
    }

    fn wait_for(&self, write: Write, reservation: Option<ReservationId>) -> Result<Commit, Refusal> {
        let (reply, answer) = channel();
        self.commit_then(write, reservation, Reply::new(move |result| drop(reply.send(result))));
        answer.recv().unwrap_or_else(|_| Err(closed()))
    }

    fn commit_then(&self, write: Write, reservation: Option<ReservationId>, reply: Reply) {
        // A request that comes back is dropped, and so answered.
        let _ = self.requests.send(Request::Commit(Box::new(write), reservation, reply));
    }
}

impl Deref for Store {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

fn closed() -> Refusal {
    Refusal::Unavailable("it is closed".to_owned())
}

/// What the thread owns.
struct Shell<B: Backend> {
    sequencer: Sequencer<B>,
    queue: Receiver<Request>,
    clock: Clock,
    pulse: Arc<Pulse>,
    /// Who waits for what was submitted.
    replies: BTreeMap<Ticket, Reply>,
    next: u64,
    is_closing: bool,
}

/// Why the thread goes on.
enum Due {
    /// Somebody asks for something.
    Asked(Request),
    /// A group can be committed, or objects expire.
    Group,
    /// Nothing has come for a while.
    Idle,
    /// Nobody can ask for anything any more.
    Abandoned,
}

impl<B: Backend> Shell<B> {
    fn run(mut self) {
        while !self.is_closing {
            self.take_queued();
            self.commit();
        }
        self.sequencer.release_all();
        while self.sequencer.has_queued() {
            self.commit_group((self.clock)());
        }
        self.sequencer.close();
        self.pulse.rest();
    }

    /// Waits for something to do, then takes over what is queued: that is the group.
    fn take_queued(&mut self) {
        self.pulse.rest();
        let due = self.wait();
        self.pulse.beat((self.clock)());
        match due {
            Due::Asked(request) => self.take(request),
            Due::Group => {}
            // It costs a wait for the disk: while there is work, the next group notes what this one acknowledged.
            Due::Idle => self.sequencer.settle(),
            Due::Abandoned => self.is_closing = true,
        }
        for _ in 1..TAKEN_MAX {
            let Ok(request) = self.queue.try_recv() else { break };
            self.take(request);
        }
    }

    fn wait(&self) -> Due {
        let now = (self.clock)();
        if self.sequencer.is_due(now) {
            return Due::Group;
        }
        let until_deadline = self.sequencer.next_deadline().map(|due| due.duration_since(now).unsigned_abs());
        let until_settled = (!self.sequencer.is_settled()).then_some(SETTLE_AFTER);
        let asked = match until_deadline.into_iter().chain(until_settled).min() {
            Some(timeout) => self.queue.recv_timeout(timeout),
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match asked {
            Ok(request) => Due::Asked(request),
            Err(RecvTimeoutError::Disconnected) => Due::Abandoned,
            Err(RecvTimeoutError::Timeout) if self.sequencer.is_due((self.clock)()) => Due::Group,
            Err(RecvTimeoutError::Timeout) => Due::Idle,
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Commit(write, reservation, reply) => {
                let ticket = Ticket(self.next);
                self.next += 1;
                self.replies.insert(ticket, reply);
                match reservation {
                    Some(reservation) => self.sequencer.submit_reserved(*write, ticket, reservation),
                    None => self.sequencer.submit(*write, ticket),
                }
            }
            Request::Reserve(reads, reply) => {
                // Nobody waits for it any more: it ends by itself.
                let _ = reply.send(self.sequencer.reserve(&reads, (self.clock)()));
            }
            Request::Release(reservation) => self.sequencer.release(reservation),
            Request::Close => self.is_closing = true,
        }
    }

    fn commit(&mut self) {
        let now = (self.clock)();
        if self.sequencer.is_due(now) {
            self.commit_group(now);
        }
        if self.sequencer.is_mark_late(now) {
            self.sequencer.settle();
        }
    }

    fn commit_group(&mut self, now: Timestamp) {
        for (ticket, answer) in self.sequencer.commit_group(now) {
            if let Some(reply) = self.replies.remove(&ticket) {
                reply.tell(answer);
            }
        }
    }
}
