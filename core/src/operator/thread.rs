//! The thin shell around the loop: the one thread that steps operators. It waits for changes, outcomes and timers, and
//! does nothing while there are none.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{Driver, EffectRun, Host, Loop, Operator, Shown, StepCommit, StepQuestions, Ticket, Turn};
use crate::gateway::{Call, Reply, WebhookClient};
use crate::object::ObjectKey;
use crate::store::{Clock, Commit, ReadKey, Reader, Refusal, ReservationId, Store};
use crate::vital::{Pulse, vital};

/// Where no timer runs, the thread looks around this often all the same: it costs nothing and outlives a lost message.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How often the thread shows how it is while it is never idle.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

enum Message {
    /// The store has moved on.
    Moved,
    /// A commit was decided.
    Settled(Ticket, Result<Commit, Refusal>),
    /// Webhooks have replied to the questions of an operator's step at an object.
    Replied(&'static str, ObjectKey, Vec<(Call, Reply)>),
    /// An effect says how far it has come.
    Told(Ticket, String),
    /// An effect has ended.
    Ended(Ticket, Result<Value, String>),
    /// Something is to be done between two turns.
    Do(Box<dyn FnOnce(&mut Loop, &Shore) + Send>),
    /// The thread is to end.
    Stop,
}

/// Operators at work.
pub struct Operators {
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
    shown: Shown,
}

impl Operators {
    /// Starts a thread that steps a driver's operators on a store, and asks webhooks of what they write. Should it panic, the process ends.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start(driver: Driver, store: Store, clock: Clock, webhooks: Arc<dyn WebhookClient>) -> Self {
        let (messages, inbox) = channel();
        let told = Arc::new(AtomicBool::new(false));
        let (waker, moved) = (messages.clone(), told.clone());
        store.on_commit(Arc::new(move |_| {
            // One message stands for all groups since the last look; whether anybody still listens is no matter.
            if !moved.swap(true, Ordering::AcqRel) {
                let _ = waker.send(Message::Moved);
            }
        }));
        let pulse = Arc::<Pulse>::default();
        let shown = Shown::new(pulse.clone(), clock.clone());
        let shore = Shore { store, clock, webhooks, outbox: messages.clone() };
        let operators = Loop::new(driver);
        let shell = Shell { operators, shore, inbox, told, pulse, shown: shown.clone(), shown_at: Timestamp::MIN };
        let thread = std::thread::Builder::new().name("operators".to_owned());
        let thread = thread.spawn(move || vital("operators", || shell.run()));
        let thread = thread.expect("a process that starts can start a thread");
        Self { messages, thread: Some(thread), shown }
    }

    /// How they are.
    pub fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// What changes them while they are at work.
    pub fn crew(&self) -> Crew {
        Crew(self.messages.clone())
    }

    /// Ends the thread after the step it is at, and waits for that. Commits under way are the store's.
    pub fn stop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// Changes operators while they are at work, from any thread. Cheap to clone; a thread that has ended hears nothing.
#[derive(Clone)]
pub struct Crew(Sender<Message>);

impl Crew {
    /// Adds an operator, in the place of one of the same name.
    pub fn install(&self, operator: impl Operator) {
        self.tell(move |operators, shore| operators.install(operator, shore));
    }

    /// Takes an operator away.
    pub fn remove(&self, name: &str) {
        let name = name.to_owned();
        self.tell(move |operators, _| {
            operators.remove(&name);
        });
    }

    /// Runs a step again that was suspended.
    pub fn resume(&self, operator: &'static str, key: ObjectKey) {
        self.tell(move |operators, _| operators.resume(operator, &key));
    }

    fn tell(&self, act: impl FnOnce(&mut Loop, &Shore) + Send + 'static) {
        let _ = self.0.send(Message::Do(Box::new(act)));
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread's loop stands on.
struct Shore {
    store: Store,
    clock: Clock,
    webhooks: Arc<dyn WebhookClient>,
    outbox: Sender<Message>,
}

impl Host for Shore {
    fn reader(&self) -> Reader {
        self.store.reader().clone()
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn commit(&mut self, commit: StepCommit, reservation: Option<ReservationId>) {
        let (outbox, ticket) = (self.outbox.clone(), commit.ticket);
        let tell = move |outcome| drop(outbox.send(Message::Settled(ticket, outcome)));
        self.store.commit_with(commit.write, reservation, tell);
    }

    fn reserve(&mut self, reads: Vec<ReadKey>) -> Option<ReservationId> {
        self.store.reserve(reads)
    }

    fn release(&mut self, reservation: ReservationId) {
        self.store.release(reservation);
    }

    /// On a thread of its own: an effect may wait for the world as long as it likes.
    fn run(&mut self, effect: EffectRun) {
        let (outbox, ticket) = (self.outbox.clone(), effect.ticket);
        let thread = std::thread::Builder::new().name("effect".to_owned());
        let run = move || {
            let outcome = effect.perform_telling(&|word| drop(outbox.send(Message::Told(ticket, word))));
            let _ = outbox.send(Message::Ended(ticket, outcome));
        };
        if let Err(error) = thread.spawn(run) {
            let _ = self.outbox.send(Message::Ended(ticket, Err(format!("no thread to run it on: {error}"))));
        }
    }

    fn ask(&mut self, questions: StepQuestions) {
        let StepQuestions { operator, key, calls } = questions;
        let outbox = self.outbox.clone();
        let tell = move |replies| drop(outbox.send(Message::Replied(operator, key, replies)));
        self.webhooks.ask(calls, Box::new(tell));
    }
}

/// What the thread owns.
struct Shell {
    operators: Loop,
    shore: Shore,
    inbox: Receiver<Message>,
    told: Arc<AtomicBool>,
    pulse: Arc<Pulse>,
    shown: Shown,
    shown_at: Timestamp,
}

impl Shell {
    fn run(mut self) {
        loop {
            self.pulse.beat(self.shore.now());
            let turn = self.operators.turn(&mut self.shore);
            self.show(turn == Turn::Idle);
            let first = if turn == Turn::Idle { self.wait() } else { self.inbox.try_recv().ok() };
            if self.take_all(first).is_break() {
                self.pulse.rest();
                return;
            }
        }
    }

    /// Waits for a message or the next timer.
    fn wait(&self) -> Option<Message> {
        self.pulse.rest();
        let until = self.operators.next_deadline().map(|deadline| deadline.duration_since(self.shore.now()));
        let until = until.map_or(LONGEST_WAIT, |until| Duration::try_from(until).unwrap_or_default());
        match self.inbox.recv_timeout(until.min(LONGEST_WAIT)) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
        }
    }

    fn take_all(&mut self, first: Option<Message>) -> ControlFlow<()> {
        let mut next = first;
        while let Some(message) = next {
            self.take(message)?;
            next = self.inbox.try_recv().ok();
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            Message::Moved => self.told.store(false, Ordering::Release),
            Message::Settled(ticket, outcome) => self.operators.settled(ticket, outcome.as_ref(), self.shore.now()),
            Message::Replied(operator, key, replies) => {
                self.operators.replied(operator, &key, replies, self.shore.now());
            }
            Message::Told(ticket, word) => self.operators.effect_tells(ticket, word),
            Message::Ended(ticket, outcome) => self.operators.effect_done(ticket, outcome),
            Message::Do(act) => act(&mut self.operators, &self.shore),
            Message::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn show(&mut self, is_idle: bool) {
        let now = self.shore.now();
        if is_idle || now.duration_since(self.shown_at).unsigned_abs() >= SHOWN_EVERY {
            self.shown.renew(&self.operators);
            self.shown_at = now;
        }
    }
}
