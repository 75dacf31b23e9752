//! An output that runs: reads on, sends, waits for what is to come.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sampan_logs::output::{Chunk, Cursor, Outlet, Plan, Shape};
use sampan_logs::{Passage, Store};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::Surroundings;
use crate::backoff::Backoff;
use crate::destination::{Destination, Target};
use crate::encode::{Body, Encoding};
use crate::report::{Report, State};

/// How long a quiet output waits for more after a line came: few lines are sent together rather than each by itself.
const LINGER: Duration = Duration::from_millis(200);

/// What is sent where.
#[derive(Debug)]
pub struct Output {
    /// Which lines.
    pub plan: Plan,
    /// As what.
    pub shape: Shape,
    /// Where.
    pub destination: Destination,
    /// The file that tells how far it has come.
    pub cursor: PathBuf,
}

/// What is kept on a node, and how one learns of more.
#[derive(Clone)]
pub struct Kept {
    /// Everything that is kept.
    pub store: Arc<Mutex<Store>>,
    /// Changes whenever lines were collected.
    pub changed: watch::Receiver<u64>,
}

impl Kept {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends until `stop`, and tells how that goes.
pub async fn send(
    output: Output,
    kept: Kept,
    surroundings: Arc<dyn Surroundings>,
    report: watch::Sender<Report>,
    stop: CancellationToken,
) {
    let target = Target::new(output.destination.clone());
    let mut sender = Sender { target, changed: kept.changed.clone(), kept, surroundings, report };
    let _ = stop.run_until_cancelled(sender.run(output)).await;
}

struct Sender {
    target: Target,
    kept: Kept,
    changed: watch::Receiver<u64>,
    surroundings: Arc<dyn Surroundings>,
    report: watch::Sender<Report>,
}

/// What reads, on threads that may wait for the disk.
struct Pump {
    outlet: Outlet,
    passage: Passage,
    kept: Kept,
    shape: Shape,
    encoding: Encoding,
    cursor: PathBuf,
    /// Why the place could not be kept, while it cannot.
    unkept: Option<String>,
}

/// What came of reading on.
struct Read {
    chunk: Chunk,
    /// Nothing where the chunk has no records.
    body: Option<Body>,
}

impl Sender {
    async fn run(&mut self, output: Output) {
        let mut pump = self.begin(output).await;
        // Told even where it is nothing yet: the output is there.
        let begun = pump.report();
        self.report.send_modify(|report| *report = begun);
        let mut backoff = Backoff::default();
        loop {
            self.changed.mark_unchanged();
            let (back, read) = pump.work(Pump::read).await;
            pump = back;
            match read {
                Ok(Read { chunk, body: Some(body) }) => {
                    self.deliver(&body, &pump).await;
                    pump = acknowledge(pump, chunk).await;
                    self.report(Report { last_delivery: Some(Timestamp::now()), ..pump.report() });
                    backoff = Backoff::default();
                }
                Ok(Read { chunk, body: None }) if !chunk.is_empty() => {
                    pump = acknowledge(pump, chunk).await;
                    self.report(pump.report());
                }
                Ok(_) => {
                    if pump.unkept.is_some() {
                        (pump, ()) = pump.work(Pump::save).await;
                    }
                    self.report(pump.report());
                    let again = pump.unkept.as_ref().map(|_| Instant::now() + backoff.next());
                    let due = pump.outlet.due().into_iter().chain(again).min();
                    if self.wait(due).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    self.failed(&format!("failed to read what is kept: {error}"), &pump);
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    /// Opens the output's way through what is kept, however often the disk has to be asked.
    async fn begin(&mut self, output: Output) -> Pump {
        let mut backoff = Backoff::default();
        let cursor = loop {
            let path = output.cursor.clone();
            match aside(move || Cursor::load(&path)).await {
                Ok(cursor) => break cursor,
                Err(error) => self.tell_error(told(&error)),
            }
            sleep(backoff.next()).await;
        };
        let (kept, plan) = (self.kept.clone(), output.plan);
        let outlet = aside(move || Outlet::new(plan, cursor, &kept.store())).await;
        let encoding = self.target.encoding();
        let (kept, shape, cursor) = (self.kept.clone(), output.shape, output.cursor);
        let pump = Pump { outlet, passage: Passage::default(), kept, shape, encoding, cursor, unkept: None };
        // An output that is killed before its first chunk still knows where it began.
        pump.work(Pump::save).await.0
    }

    /// Sends a chunk until it is acknowledged.
    async fn deliver(&mut self, body: &Body, pump: &Pump) {
        let mut backoff = Backoff::default();
        loop {
            match self.target.send(body, &*self.surroundings).await {
                Ok(()) => return,
                Err(error) => self.failed(&error.to_string(), pump),
            }
            sleep(backoff.next()).await;
        }
    }

    /// Waits for lines, or for a record to have waited long enough. An error is the end of collecting.
    async fn wait(&mut self, due: Option<Instant>) -> Result<(), watch::error::RecvError> {
        let ripe = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ripe => Ok(()),
            changed = self.changed.changed() => {
                changed?;
                sleep(LINGER).await;
                Ok(())
            }
        }
    }

    fn failed(&self, error: &str, pump: &Pump) {
        let report = pump.report();
        self.update(|before| {
            *before = Report {
                last_error: Some(error.to_owned()),
                state: State::Retrying,
                last_delivery: before.last_delivery,
                ..report.clone()
            };
        });
    }

    fn tell_error(&self, error: String) {
        tracing::warn!(error, "an output of logs");
        self.update(|report| report.last_error = Some(error.clone()));
    }

    /// What is told while nothing is wrong.
    fn report(&self, report: Report) {
        self.update(|before| {
            let last_delivery = report.last_delivery.or(before.last_delivery);
            *before = Report { last_delivery, ..report.clone() };
        });
    }

    /// Wakes who listens only where something is new.
    fn update(&self, change: impl Fn(&mut Report)) {
        self.report.send_if_modified(|report| {
            let before = report.clone();
            change(report);
            *report != before
        });
    }
}

async fn acknowledge(pump: Pump, chunk: Chunk) -> Pump {
    pump.work(|pump| pump.acknowledge(chunk)).await.0
}

impl Pump {
    /// Does something that may wait for the disk, where that holds nobody up.
    async fn work<T: Send + 'static>(mut self, work: impl FnOnce(&mut Self) -> T + Send + 'static) -> (Self, T) {
        aside(move || {
            let done = work(&mut self);
            (self, done)
        })
        .await
    }

    fn read(&mut self) -> io::Result<Read> {
        let now = Instant::now();
        self.outlet.expire(now);
        if self.passage.is_at_end() {
            self.passage = self.outlet.survey(&self.kept.store())?;
        }
        let filled = self.outlet.fill(&mut self.passage, now);
        let chunk = self.outlet.seal();
        if chunk.records.is_empty() {
            filled?;
            return Ok(Read { chunk, body: None });
        }
        // What could be read is sent first; an error comes again.
        let body = Some(self.encoding.encode(&chunk, &self.shape));
        Ok(Read { chunk, body })
    }

    fn acknowledge(&mut self, chunk: Chunk) {
        self.outlet.acknowledge(chunk, &self.kept.store());
        self.save();
    }

    /// Keeps the place. Where that fails, what is delivered stays delivered; whoever is killed then sends it again.
    fn save(&mut self) {
        let unkept = self.outlet.cursor().save(&self.cursor).err().map(|error| told(&error));
        if let Some(error) = unkept.as_ref().filter(|_| self.unkept.is_none()) {
            tracing::warn!(error, "the place of an output of logs waits for the disk");
        }
        self.unkept = unkept;
    }

    fn report(&self) -> Report {
        let cursor = self.outlet.cursor();
        let waiting = self.outlet.waiting(&self.kept.store());
        let last_error = self.unkept.clone();
        Report { delivered: cursor.delivered, dropped: cursor.dropped, waiting, last_error, ..Report::default() }
    }
}

/// Does something on a thread that may wait for the disk.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
