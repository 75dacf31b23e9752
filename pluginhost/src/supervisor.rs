//! One program: started, asked, given up on when it is silent, babbles or ends, and started again, later and later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use sampan_core::object::ObjectKey;
use sampan_core::operator::{EffectRequest, Telling};
use sampan_core::plugin::{Failure, Question};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::errand::{Errand, Heard, Reply, Told, listen};
use crate::health::{Health, Phase, Trouble};
use crate::hearing::{Said, Subjects};
use crate::process::{Launch, Process};

/// The wait before the first start after an end.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a start, and before an object is asked about again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A program that cannot be asked because it does not run is asked a little after it runs again.
const AFTER_START: Duration = Duration::from_millis(20);
/// What is shown of a line that is no answer.
const SHOWN_MAX: usize = 120;

struct Request {
    key: ObjectKey,
    errand: Errand,
    /// How long it may take until a word comes.
    patience: Duration,
}

struct InFlight {
    request: Box<Request>,
    deadline: Instant,
}

/// When a program is started first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    AtOnce,
    /// Once there is something for it to do.
    WhenAsked,
}

/// The number of what a line is about.
#[derive(Deserialize)]
struct Numbered {
    #[serde(default)]
    id: u64,
}

enum Message {
    Ask(Box<Request>),
    Complain(ObjectKey, String),
    Forget(ObjectKey),
}

/// A program that is kept running.
pub(crate) struct Supervisor {
    line: Line,
    health: watch::Receiver<Health>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

/// Asks a program. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    messages: mpsc::UnboundedSender<Message>,
    /// How long an answer may take.
    deadline: Duration,
}

impl Line {
    /// Asks about an object; `reply` is called once, from another thread.
    pub(crate) fn ask(&self, key: ObjectKey, question: Question, reply: Reply) {
        self.send(Request { key, errand: Errand::Question(question, reply), patience: self.deadline });
    }

    /// Has an effect run, which may go on for so long without a word, and waits for what comes of it.
    pub(crate) fn perform(
        &self,
        request: &EffectRequest,
        patience: Duration,
        tell: Telling<'_>,
    ) -> Result<Value, String> {
        let (teller, told) = std::sync::mpsc::channel();
        let errand = Errand::Effect(Box::new(request.clone()), teller);
        self.send(Request { key: request.record.clone(), errand, patience });
        listen(&told, tell)
    }

    fn send(&self, request: Request) {
        if let Err(mpsc::error::SendError(Message::Ask(request))) = self.messages.send(Message::Ask(Box::new(request)))
        {
            let what = "the plugin is being replaced".to_owned();
            request.errand.fail(Failure { what, retry_after: Some(LONGEST_WAIT) });
        }
    }

    pub(crate) fn complain(&self, key: ObjectKey, why: String) {
        let _ = self.messages.send(Message::Complain(key, why));
    }

    pub(crate) fn forget(&self, key: ObjectKey) {
        let _ = self.messages.send(Message::Forget(key));
    }
}

impl Supervisor {
    /// Starts a program and keeps it running, on the runtime this is called in.
    pub(crate) fn start(launch: Launch, start: Start, deadline: Duration, concurrency: usize) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (show, health) = watch::channel(Health::default());
        let (stop, stopped) = oneshot::channel();
        let watchman = Watchman {
            launch,
            concurrency,
            show,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            subjects: Subjects::default(),
            last_id: 0,
            failures: BTreeMap::new(),
            ends_in_a_row: 0,
        };
        let task = tokio::spawn(watchman.run(start, inbox, stopped));
        Self { line: Line { messages, deadline }, health, stop: Some(stop), task }
    }

    pub(crate) fn line(&self) -> Line {
        self.line.clone()
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Ends the program and waits for that.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        let _ = self.task.await;
    }
}

/// Why a process is given up.
struct Fall {
    reason: &'static str,
    what: String,
}

struct Watchman {
    launch: Launch,
    concurrency: usize,
    show: watch::Sender<Health>,
    waiting: VecDeque<Box<Request>>,
    in_flight: BTreeMap<u64, InFlight>,
    subjects: Subjects,
    last_id: u64,
    /// How often in a row each object was not answered for.
    failures: BTreeMap<ObjectKey, u32>,
    ends_in_a_row: u32,
}

impl Watchman {
    async fn run(
        mut self,
        start: Start,
        mut inbox: mpsc::UnboundedReceiver<Message>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        while start == Start::WhenAsked && self.waiting.is_empty() {
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
            }
        }
        loop {
            let fall = match Process::start(&self.launch, self.subjects.clone()) {
                Ok(process) => {
                    self.show.send_modify(|health| health.phase = Phase::Running { pid: process.id() });
                    let Some(fall) = self.keep(process, &mut inbox, &mut stopped).await else { break };
                    fall
                }
                Err(error) => Fall { reason: "NotStarted", what: format!("it does not start: {error}") },
            };
            self.ends_in_a_row += 1;
            let wait = backoff(self.ends_in_a_row);
            tracing::warn!(plugin = &*self.launch.name, "{}; it is started again in {wait:?}", fall.what);
            self.fell(&fall);
            if self.pause(&fall, wait, &mut inbox, &mut stopped).await.is_none() {
                break;
            }
            self.show.send_modify(|health| health.restarts += 1);
        }
        self.fail_all("the plugin is stopped");
    }

    /// Asks the process until it is given up; `None` when all is to end.
    async fn keep(
        &mut self,
        mut process: Process,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Option<Fall> {
        let fall = loop {
            self.send(&process);
            let next = self.in_flight.values().map(|flight| flight.deadline).min();
            let silence = tokio::time::sleep_until(next.unwrap_or_else(|| Instant::now() + LONGEST_WAIT));
            tokio::select! {
                biased;
                _ = &mut *stopped => break None,
                heard = process.heard.recv() => match self.hear(heard) {
                    Ok(()) => {}
                    Err(fall) => break Some(last_words(fall, &mut process).await),
                },
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => break None,
                },
                () = silence, if next.is_some() => break Some(self.silent()),
            }
        };
        process.end().await;
        fall
    }

    fn send(&mut self, process: &Process) {
        while self.in_flight.len() < self.concurrency {
            let Some(request) = self.waiting.pop_front() else { break };
            self.last_id += 1;
            process.ask(request.errand.line(self.last_id));
            let deadline = Instant::now() + request.patience;
            self.in_flight.insert(self.last_id, InFlight { request, deadline });
        }
        self.note_subjects();
    }

    fn note_subjects(&self) {
        let subjects = self.in_flight.values().map(|flight| flight.request.key.to_string()).collect();
        *self.subjects.lock().unwrap_or_else(PoisonError::into_inner) = subjects;
    }

    fn hear(&mut self, said: Option<Said>) -> Result<(), Fall> {
        let line = match said {
            Some(Said::Line(line)) => line,
            Some(Said::Flood(most)) => {
                return Err(Fall {
                    reason: "Flood",
                    what: format!("it answered with a line of more than {most} bytes"),
                });
            }
            Some(Said::Closed) | None => {
                return Err(Fall { reason: "Closed", what: "it closed its output".to_owned() });
            }
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let garbage = |why: &str| Fall {
            reason: "Garbage",
            what: format!("it answered with {}, which is no answer: {why}", shown(&line)),
        };
        let Numbered { id } = serde_json::from_slice(&line).map_err(|error| garbage(&error.to_string()))?;
        let Some(InFlight { request, deadline }) = self.in_flight.get_mut(&id) else {
            return Err(garbage(&format!("nothing was asked under the id {id}")));
        };
        let heard = request.errand.read(&line).map_err(|error| garbage(&error))?;
        self.ends_in_a_row = 0;
        match (heard, &request.errand) {
            (Heard::Word(word), Errand::Effect(_, teller)) => {
                *deadline = Instant::now() + request.patience;
                let _ = teller.send(Told::Word(word));
            }
            (heard, _) => {
                if let Some(InFlight { request, .. }) = self.in_flight.remove(&id) {
                    self.answered(*request, heard);
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, request: Request, heard: Heard) {
        let Request { key, errand, .. } = request;
        let error = match &heard {
            Heard::Answer(answer) => answer.error.clone(),
            Heard::Outcome(outcome) => outcome.as_ref().err().cloned(),
            Heard::Word(_) => None,
        };
        if let Some(error) = error {
            let failure = self.failure(&key, format!("it failed: {error}"), Duration::ZERO);
            self.trouble(&key, "Failed", &failure.what);
            errand.fail(failure);
            return;
        }
        self.failures.remove(&key);
        self.well(&key);
        match (errand, heard) {
            (Errand::Question(_, reply), Heard::Answer(answer)) => reply(Ok(*answer)),
            (Errand::Effect(_, teller), Heard::Outcome(outcome)) => drop(teller.send(Told::Outcome(outcome))),
            _ => unreachable!("what is heard is read as what was asked for"),
        }
    }

    fn silent(&self) -> Fall {
        let now = Instant::now();
        let late: Vec<&InFlight> = self.in_flight.values().filter(|flight| flight.deadline <= now).collect();
        let keys: Vec<String> = late.iter().map(|flight| flight.request.key.to_string()).collect();
        let seconds = late.first().map_or(0.0, |flight| flight.request.patience.as_secs_f64());
        Fall {
            reason: "Silent",
            what: format!("it did not answer within {seconds} s, asked about {}", keys.join(", ")),
        }
    }

    /// Everything that was asked is not answered, and is to be asked again.
    fn fell(&mut self, fall: &Fall) {
        let flights = std::mem::take(&mut self.in_flight);
        let wait = backoff(self.ends_in_a_row);
        for InFlight { request, .. } in flights.into_values() {
            let failure = self.failure(&request.key, fall.what.clone(), wait);
            self.trouble(&request.key, fall.reason, &fall.what);
            request.errand.fail(failure);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for request in waiting {
            let what = not_running(fall);
            request.errand.fail(Failure { what, retry_after: Some(wait + AFTER_START) });
        }
        self.note_subjects();
    }

    fn failure(&mut self, key: &ObjectKey, what: String, at_least: Duration) -> Failure {
        let tries = self.failures.entry(key.clone()).or_default();
        *tries += 1;
        // What failed together does not come back together.
        let spread = Duration::from_millis(spread(key));
        Failure { what, retry_after: Some(backoff(*tries).max(at_least) + AFTER_START + spread) }
    }

    /// Waits before the next start; `None` when all is to end.
    async fn pause(
        &mut self,
        fall: &Fall,
        wait: Duration,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Option<()> {
        let until = Instant::now() + wait;
        let (reason, what) = (fall.reason, fall.what.clone());
        self.show.send_modify(|health| health.phase = Phase::BackingOff { reason, what });
        loop {
            tokio::select! {
                biased;
                _ = &mut *stopped => return None,
                () = tokio::time::sleep_until(until) => return Some(()),
                message = inbox.recv() => match message? {
                    Message::Ask(request) => {
                        let left = until.saturating_duration_since(Instant::now());
                        let failure = Failure { what: not_running(fall), retry_after: Some(left + AFTER_START) };
                        request.errand.fail(failure);
                    }
                    other => self.take(other),
                },
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ask(request) => self.waiting.push_back(request),
            Message::Complain(key, why) => self.trouble(&key, "Refused", &why),
            Message::Forget(key) => {
                self.failures.remove(&key);
                self.well(&key);
            }
        }
    }

    fn trouble(&self, key: &ObjectKey, reason: &'static str, what: &str) {
        let trouble = Trouble { reason, what: what.to_owned() };
        self.show.send_if_modified(|health| health.note(key, Some(trouble)));
    }

    fn well(&self, key: &ObjectKey) {
        self.show.send_if_modified(|health| health.note(key, None));
    }

    fn fail_all(&mut self, what: &str) {
        let flights = std::mem::take(&mut self.in_flight).into_values().map(|flight| flight.request);
        for request in flights.chain(std::mem::take(&mut self.waiting)) {
            request.errand.fail(Failure { what: what.to_owned(), retry_after: Some(LONGEST_WAIT) });
        }
    }
}

/// A program that closes its output most often ends: then how it ended says more.
async fn last_words(fall: Fall, process: &mut Process) -> Fall {
    const TIME_TO_END: Duration = Duration::from_secs(1);
    if fall.reason != "Closed" {
        return fall;
    }
    match tokio::time::timeout(TIME_TO_END, process.ended()).await {
        Ok(Ok(status)) => Fall { reason: "Ended", what: format!("it ended: {status}") },
        _ => fall,
    }
}

fn not_running(fall: &Fall) -> String {
    format!("the plugin does not run: {}", fall.what)
}

/// The wait after so many failures in a row.
fn backoff(tries: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_WAIT)
}

/// Up to a tenth of a second, by the object's name.
fn spread(key: &ObjectKey) -> u64 {
    key.to_string().bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 100
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}
