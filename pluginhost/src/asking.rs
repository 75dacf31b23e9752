//! How steps ask a supervisor in the daemon: by suspension. Effects, which have threads of their own, wait for another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sampan_core::object::ObjectKey;
use sampan_core::operator::{Crew, EffectRequest, Telling};
use sampan_core::plugin::{Answer, EffectSpec, Failure, Program, Question};
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
    effects: Option<Effects>,
}

/// Who runs a plugin's effects, and how long each may go on without a word.
pub(crate) struct Effects {
    pub(crate) line: Line,
    pub(crate) declared: Vec<EffectSpec>,
}

impl Effects {
    fn perform(&self, request: &EffectRequest, tell: Telling<'_>) -> Result<Value, String> {
        let declared = self.declared.iter().find(|effect| effect.name == request.name);
        let seconds = declared.ok_or("the plugin does not declare it any more")?.deadline_seconds;
        self.line.perform(request, Duration::from_secs(seconds.into()), tell)
    }
}

impl Suspending {
    pub(crate) fn new(operator: &'static str, line: Line, crew: Crew, effects: Option<Effects>) -> Self {
        Self { operator, line, crew, memory: Memory::default(), effects }
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

    fn perform(&self, request: &EffectRequest, tell: Telling<'_>) -> Result<Value, String> {
        self.effects.as_ref().ok_or("the plugin declares no effects")?.perform(request, tell)
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
