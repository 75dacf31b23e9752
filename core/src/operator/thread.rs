//! The thin shell around the driver: the one thread that steps operators. It waits for changes, outcomes and timers, and
//! does nothing while there are none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Driver, Progress, StepCommit, Ticket};
use crate::object::Revision;
use crate::store::{Clock, Commit, Event, ReadKey, Refusal, Snapshot, Store, WatchError};

/// The most changes heard of at once: it bounds how long a step waits for those before it.
const EVENTS_PER_READ: usize = 1000;
/// The most steps before changes and outcomes are looked at again: a snapshot older than that meets conflicts.
const STEPS_PER_LOOK: usize = 64;

enum Message {
    /// The store has moved on.
    Moved,
    /// A commit was decided.
    Settled(Ticket, Result<Commit, Refusal>),
    /// The thread is to end.
    Stop,
}

/// Operators at work.
pub struct Operators {
    driver: Arc<Mutex<Driver>>,
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Operators {
    /// Starts a thread that steps a driver's operators on a store.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start(driver: Driver, store: Store, clock: Clock) -> Self {
        let driver = Arc::new(Mutex::new(driver));
        let (messages, inbox) = channel();
        let told = Arc::new(AtomicBool::new(false));
        let (waker, moved) = (messages.clone(), told.clone());
        store.on_commit(Arc::new(move |_| {
            // One message stands for all groups since the last look; whether anybody still listens is no matter.
            if !moved.swap(true, Ordering::AcqRel) {
                let _ = waker.send(Message::Moved);
            }
        }));
        let shell =
            Shell { driver: driver.clone(), store, clock, inbox, outbox: messages.clone(), told, cursor: Revision(0) };
        let thread = std::thread::Builder::new().name("operators".to_owned()).spawn(move || shell.run());
        let thread = thread.expect("a process that starts can start a thread");
        Self { driver, messages, thread: Some(thread) }
    }

    /// The driver, to be looked at. While it is held no step runs.
    pub fn driver(&self) -> MutexGuard<'_, Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the thread after the step it is at, and waits for that.
    pub fn stop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that steps operators has panicked");
        }
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread owns.
struct Shell {
    driver: Arc<Mutex<Driver>>,
    store: Store,
    clock: Clock,
    inbox: Receiver<Message>,
    outbox: Sender<Message>,
    told: Arc<AtomicBool>,
    /// The last change heard of.
    cursor: Revision,
}

impl Shell {
    fn run(mut self) {
        self.start();
        let mut is_ready = true;
        while let Some(outcomes) = self.wait(is_ready) {
            self.settle(&outcomes);
            self.hear();
            is_ready = self.step();
        }
    }

    fn driver(&self) -> MutexGuard<'_, Driver> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&mut self) {
        let snapshot = self.store.snapshot();
        self.cursor = snapshot.revision();
        self.driver().start(&snapshot, (self.clock)());
    }

    /// Waits until there is something to do. Answers the commits decided meanwhile, or nothing when the thread is to end.
    fn wait(&self, is_ready: bool) -> Option<Vec<(Ticket, Result<Commit, Refusal>)>> {
        let mut outcomes = Vec::new();
        let mut message = if is_ready { self.inbox.try_recv().ok() } else { self.sleep()? };
        while let Some(next) = message {
            match next {
                Message::Moved => {}
                Message::Settled(ticket, outcome) => outcomes.push((ticket, outcome)),
                Message::Stop => return None,
            }
            message = self.inbox.try_recv().ok();
        }
        Some(outcomes)
    }

    /// Waits for a message or the next timer.
    #[expect(clippy::option_option, reason = "the outer says whether to go on, the inner whether a message came")]
    fn sleep(&self) -> Option<Option<Message>> {
        let deadline = self.driver().next_deadline();
        let Some(deadline) = deadline else {
            return self.inbox.recv().ok().map(Some);
        };
        let left = deadline.duration_since((self.clock)());
        match self.inbox.recv_timeout(Duration::try_from(left).unwrap_or_default()) {
            Ok(message) => Some(Some(message)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn settle(&self, outcomes: &[(Ticket, Result<Commit, Refusal>)]) {
        let now = (self.clock)();
        let mut driver = self.driver();
        for (ticket, outcome) in outcomes {
            driver.settled(*ticket, outcome.as_ref(), now);
        }
    }

    /// Hears of everything that changed. Where the log no longer reaches back, every primary is looked at instead.
    fn hear(&mut self) {
        self.told.store(false, Ordering::Release);
        while self.cursor < self.store.snapshot().revision() {
            match self.store.all_events_after(self.cursor, EVENTS_PER_READ) {
                Ok(batch) => {
                    self.observe(&batch.events);
                    self.cursor = batch.through;
                }
                Err(WatchError::Compacted(_)) => self.start(),
                Err(error @ WatchError::Log(_)) => {
                    tracing::error!(%error, "operators do not hear of changes; every object is looked at");
                    self.start();
                }
            }
        }
    }

    fn observe(&self, events: &[Arc<Event>]) {
        let snapshot = self.store.snapshot();
        self.driver().observe(events, &snapshot, (self.clock)());
    }

    /// Steps while there is something to step. Answers whether there is more.
    fn step(&self) -> bool {
        let snapshot = self.store.snapshot();
        for _ in 0..STEPS_PER_LOOK {
            match self.poll(&snapshot) {
                Progress::Idle => return false,
                Progress::Stepped => {}
                Progress::Commit(commit) => self.commit(*commit),
                Progress::Reserve(reads) => {
                    self.step_reserved(reads);
                    return true;
                }
            }
        }
        true
    }

    fn poll(&self, snapshot: &Snapshot) -> Progress {
        self.driver().poll(snapshot, (self.clock)())
    }

    fn commit(&self, commit: StepCommit) {
        let (ticket, outbox) = (commit.ticket, self.outbox.clone());
        self.store.commit_with(commit.write, move |outcome| {
            let _ = outbox.send(Message::Settled(ticket, outcome));
        });
    }

    /// Steps on head while others that touch what the step reads wait.
    fn step_reserved(&self, reads: Vec<ReadKey>) {
        let reservation = self.store.reserve(reads);
        let progress = self.poll(&self.store.snapshot());
        match (progress, reservation) {
            (Progress::Commit(commit), Some(reservation)) => {
                let outcome = self.store.commit_reserved(commit.write, reservation);
                self.settle(&[(commit.ticket, outcome)]);
            }
            (progress, reservation) => {
                if let Some(reservation) = reservation {
                    self.store.release(reservation);
                }
                if let Progress::Commit(commit) = progress {
                    self.commit(*commit);
                }
            }
        }
    }
}
