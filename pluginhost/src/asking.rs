//! How steps ask a supervisor in the daemon: by suspension.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sampan_core::object::ObjectKey;
use sampan_core::operator::Crew;
use sampan_core::plugin::{Answer, Failure, Program, Question};
use serde_json::Value;

use crate::supervisor::Line;

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

fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
