//! How steps ask a supervisor: by suspension, as in the daemon, or by waiting, as under proof.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

use sampan_core::object::ObjectKey;
use sampan_core::operator::Crew;
use sampan_core::plugin::{Answer, Failure, Program, Question};
use serde_json::Value;

use crate::supervisor::{Line, Supervisor};

/// What was asked about an object, and the answer once it is there.
struct Asked {
    body: Value,
    answer: Option<Result<Answer, Failure>>,
}

type Memory = Arc<Mutex<BTreeMap<ObjectKey, Asked>>>;

/// Has steps suspended until their answers are there.
pub(crate) struct Suspending {
    operator: &'static str,
    line: Line,
    crew: Crew,
    memory: Memory,
}

impl Suspending {
    pub(crate) fn new(operator: &'static str, line: Line, crew: Crew) -> Self {
        Self { operator, line, crew, memory: Memory::default() }
    }
}

impl Program for Suspending {
    fn answer(&self, key: &ObjectKey, question: &Question) -> Option<Result<Answer, Failure>> {
        let mut memory = locked(&self.memory);
        if let Some(asked) = memory.get_mut(key).filter(|asked| asked.body == question.body) {
            let answer = asked.answer.take()?;
            memory.remove(key);
            return Some(answer);
        }
        memory.insert(key.clone(), Asked { body: question.body.clone(), answer: None });
        drop(memory);
        let (operator, crew, memory) = (self.operator, self.crew.clone(), self.memory.clone());
        let (about, body) = (key.clone(), question.body.clone());
        let reply = move |answer| {
            if let Some(asked) = locked(&memory).get_mut(&about).filter(|asked| asked.body == body) {
                asked.answer = Some(answer);
            }
            crew.resume(operator, about);
        };
        self.line.ask(key.clone(), question.clone(), Box::new(reply));
        None
    }

    fn complain(&self, key: &ObjectKey, why: &str) {
        self.line.complain(key.clone(), why.to_owned());
    }

    fn forget(&self, key: &ObjectKey) {
        locked(&self.memory).remove(key);
        self.line.forget(key.clone());
    }
}

/// Why a program cannot be waited for.
#[derive(Debug, thiserror::Error)]
#[error("failed to start a runtime: {0}")]
pub struct WaitingError(#[from] std::io::Error);

/// Has steps wait for their answers, with the same ones to the same questions: for proofs, where a step is a function.
pub struct Waiting {
    supervisors: Vec<Supervisor>,
    known: Mutex<BTreeMap<String, Answer>>,
    /// The runtime the supervisors live on, which ends after them.
    _runtime: tokio::runtime::Runtime,
}

impl Waiting {
    /// Waits for the programs that `start` starts, as many as there are cores to step on.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(count: usize, start: impl Fn() -> Supervisor) -> Result<Self, WaitingError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let entered = runtime.enter();
        let supervisors = (0..count.max(1)).map(|_| start()).collect();
        drop(entered);
        Ok(Self { supervisors, known: Mutex::default(), _runtime: runtime })
    }

    fn ask(&self, key: &ObjectKey, question: &Question) -> Result<Answer, Failure> {
        let chosen = key.to_string().len() + question.now.as_second() as usize;
        let supervisor = self.supervisors.get(chosen % self.supervisors.len());
        let (tell, told) = channel();
        let gone = || Failure { what: "the plugin is gone".to_owned(), retry_after: None };
        let supervisor = supervisor.ok_or_else(gone)?;
        supervisor.line().ask(key.clone(), question.clone(), Box::new(move |answer| drop(tell.send(answer))));
        let answered = told.recv().map_err(|_| gone())?;
        // Under proof a program must answer: to be asked again is what its author wants to hear of.
        answered.map_err(|failure| Failure { retry_after: None, ..failure })
    }
}

impl Program for Waiting {
    fn answer(&self, key: &ObjectKey, question: &Question) -> Option<Result<Answer, Failure>> {
        let line = question.line(0);
        if let Some(known) = locked(&self.known).get(&line) {
            return Some(Ok(known.clone()));
        }
        let answered = self.ask(key, question);
        if let Ok(answer) = &answered {
            locked(&self.known).insert(line, answer.clone());
        }
        Some(answered)
    }

    fn complain(&self, _key: &ObjectKey, _why: &str) {}

    fn forget(&self, _key: &ObjectKey) {}
}

fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
