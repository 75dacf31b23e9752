//! The shell around the operators: one thread that tells the driver what changed and commits what it hands out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sampan_apiserver::Part;
use sampan_core::object::Revision;
use sampan_core::operator::{Driver, Figures, Progress, StepCommit, Ticket};
use sampan_core::store::{Commit, Refusal, Snapshot, Store, WatchError};

/// How many changes are told at once.
const EVENTS_PER_TURN: usize = 1000;
/// Where no timer runs, the thread looks around this often all the same: it costs nothing and outlives a lost signal.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// A wake-up this old is worth telling.
const OLD: Duration = Duration::from_secs(5);

/// Reads one of an operator's counts.
type Count = fn(&Figures) -> u64;

enum Signal {
    Changed,
    Settled(Ticket, Result<Commit, Refusal>),
    Stop,
}

/// What the operators' thread shows to others.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Operators that panicked.
    pub(super) disabled: Vec<String>,
    /// The wake-up nobody has handled for longest, where it is old.
    pub(super) oldest_unhandled: Option<String>,
    /// Keys that wait to be stepped.
    pub(super) queued: usize,
    /// What each operator has done.
    pub(super) figures: Vec<(&'static str, Figures)>,
}

/// The operators as `/readyz` and `/metrics` show them.
pub(super) struct Shown(pub(super) Arc<Mutex<View>>);

impl Part for Shown {
    fn name(&self) -> &'static str {
        "operators"
    }

    fn is_well(&self) -> bool {
        let view = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        view.disabled.is_empty() && view.oldest_unhandled.is_none()
    }

    fn write_metrics(&self, out: &mut String) {
        let view = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        out.push_str(&format!("# TYPE sampan_operators_queued gauge\nsampan_operators_queued {}\n", view.queued));
        let oldest = u8::from(view.oldest_unhandled.is_some());
        out.push_str(&format!("# TYPE sampan_operators_stuck gauge\nsampan_operators_stuck {oldest}\n"));
        let rows: [(&str, Count); 4] = [
            ("steps", |figures| figures.steps),
            ("commits", |figures| figures.commits),
            ("conflicts", |figures| figures.conflicts),
            ("refusals", |figures| figures.refusals),
        ];
        for (name, read) in rows {
            out.push_str(&format!("# TYPE sampan_operator_{name}_total counter\n"));
            for (operator, figures) in &view.figures {
                let count = read(figures);
                out.push_str(&format!("sampan_operator_{name}_total{{operator={operator:?}}} {count}\n"));
            }
        }
    }
}

/// The running operators.
pub(super) struct Operators {
    signals: Sender<Signal>,
    thread: std::thread::JoinHandle<()>,
    view: Arc<Mutex<View>>,
}

impl Operators {
    /// Starts the thread. From here on the operators act.
    pub(super) fn start(driver: Driver, store: Store) -> std::io::Result<Self> {
        let (signals, inbox) = channel();
        let told = Arc::new(AtomicBool::new(false));
        let (sender, flag) = (Mutex::new(signals.clone()), told.clone());
        store.on_commit(Arc::new(move |_| {
            // One signal stands for all changes until it is taken.
            if !flag.swap(true, Ordering::AcqRel) {
                let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = sender.send(Signal::Changed);
            }
        }));
        let view = Arc::default();
        let cursor = Revision::default();
        let shell = Shell { driver, store, signals: signals.clone(), inbox, told, cursor, view: Arc::clone(&view) };
        let thread = std::thread::Builder::new().name("operators".to_owned()).spawn(move || shell.run())?;
        Ok(Self { signals, thread, view })
    }

    /// What the thread shows.
    pub(super) fn view(&self) -> Arc<Mutex<View>> {
        Arc::clone(&self.view)
    }

    /// Ends the thread. Commits under way are the store's.
    pub(super) fn stop(self) {
        let _ = self.signals.send(Signal::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the operators' thread has panicked");
        }
    }
}

struct Shell {
    driver: Driver,
    store: Store,
    signals: Sender<Signal>,
    inbox: Receiver<Signal>,
    told: Arc<AtomicBool>,
    cursor: Revision,
    view: Arc<Mutex<View>>,
}

impl Shell {
    fn run(mut self) {
        self.start_over();
        loop {
            let snapshot = self.catch_up();
            match self.driver.poll(&snapshot, Timestamp::now()) {
                Progress::Stepped => {}
                Progress::Commit(commit) => self.commit(*commit),
                Progress::Reserve(reads) => self.step_reserved(reads),
                Progress::Idle => {
                    self.show();
                    if self.wait().is_break() {
                        return;
                    }
                }
            }
            while let Ok(signal) = self.inbox.try_recv() {
                if self.take(signal).is_break() {
                    return;
                }
            }
        }
    }

    /// Wakes everything: at the start, and where the log no longer reaches back to what was seen.
    fn start_over(&mut self) {
        let snapshot = self.store.snapshot();
        self.cursor = snapshot.revision();
        self.driver.start(&snapshot, Timestamp::now());
    }

    /// Tells the driver every change, and gives the snapshot that holds them all.
    fn catch_up(&mut self) -> Snapshot {
        loop {
            let snapshot = self.store.snapshot();
            if snapshot.revision() <= self.cursor {
                return snapshot;
            }
            match self.store.all_events_after(self.cursor, EVENTS_PER_TURN) {
                Ok(batch) => {
                    self.cursor = batch.through;
                    let snapshot = self.store.snapshot();
                    self.driver.observe(&batch.events, &snapshot, Timestamp::now());
                }
                Err(WatchError::Compacted(_)) => self.start_over(),
                Err(WatchError::Log(error)) => {
                    tracing::error!(%error, "the operators cannot read the log, and start over");
                    self.start_over();
                }
            }
        }
    }

    fn commit(&self, commit: StepCommit) {
        let (signals, ticket) = (self.signals.clone(), commit.ticket);
        self.store.commit_with(commit.write, move |outcome| drop(signals.send(Signal::Settled(ticket, outcome))));
    }

    /// Others keep losing the race for this step: it is run while what it reads is held still.
    fn step_reserved(&mut self, reads: Vec<sampan_core::store::ReadKey>) {
        let reservation = self.store.reserve(reads);
        let snapshot = self.catch_up();
        match (self.driver.poll(&snapshot, Timestamp::now()), reservation) {
            (Progress::Commit(commit), Some(reservation)) => {
                let outcome = self.store.commit_reserved(commit.write, reservation);
                self.driver.settled(commit.ticket, outcome.as_ref(), Timestamp::now());
            }
            (Progress::Commit(commit), None) => self.commit(*commit),
            (_, Some(reservation)) => self.store.release(reservation),
            (_, None) => {}
        }
    }

    fn wait(&mut self) -> std::ops::ControlFlow<()> {
        let now = Timestamp::now();
        let until = self.driver.next_deadline().map(|deadline| deadline.duration_since(now));
        let until = until.map_or(LONGEST_WAIT, |until| Duration::try_from(until).unwrap_or_default());
        match self.inbox.recv_timeout(until.min(LONGEST_WAIT)) {
            Ok(signal) => self.take(signal),
            Err(RecvTimeoutError::Timeout) => std::ops::ControlFlow::Continue(()),
            Err(RecvTimeoutError::Disconnected) => std::ops::ControlFlow::Break(()),
        }
    }

    fn take(&mut self, signal: Signal) -> std::ops::ControlFlow<()> {
        match signal {
            Signal::Changed => self.told.store(false, Ordering::Release),
            Signal::Settled(ticket, outcome) => self.driver.settled(ticket, outcome.as_ref(), Timestamp::now()),
            Signal::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    fn show(&self) {
        let oldest = self.driver.oldest_unhandled().filter(|(_, _, since)| {
            Timestamp::now().duration_since(*since) > jiff::SignedDuration::try_from(OLD).unwrap_or_default()
        });
        let disabled = self.driver.disabled().iter();
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = View {
            disabled: disabled
                .map(|one| format!("{} panicked on {}: {}", one.operator, one.object, one.reason))
                .collect(),
            oldest_unhandled: oldest
                .map(|(operator, key, since)| format!("{operator} has not handled {key} since {since}")),
            queued: self.driver.queued(),
            figures: self.driver.figures().collect(),
        };
    }
}
