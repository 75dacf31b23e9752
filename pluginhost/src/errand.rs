//! What a program is sent to do: to answer a question, or to do something to the world.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use sampan_core::operator::{EffectRequest, Telling};
use sampan_core::plugin::{Answer, EffectReport, Failure, Question, effect_line};
use serde_json::Value;

/// How long words of an effect gather before the last of them is told.
const WORDS_GATHER: Duration = Duration::from_millis(200);

/// Hears what is answered.
pub(crate) type Reply = Box<dyn FnOnce(Result<Answer, Failure>) + Send>;

/// What is heard of an effect.
pub(crate) enum Told {
    /// How far it has come.
    Word(String),
    /// What came of it.
    Outcome(Result<Value, String>),
}

/// What a program is sent to do, and who hears of it.
pub(crate) enum Errand {
    Question(Question, Reply),
    Effect(Box<EffectRequest>, Sender<Told>),
}

/// What a line of a program comes to.
pub(crate) enum Heard {
    Answer(Box<Answer>),
    Word(String),
    Outcome(Result<Value, String>),
}

impl Errand {
    /// The line that asks for it.
    pub(crate) fn line(&self, id: u64) -> String {
        match self {
            Self::Question(question, _) => question.line(id),
            Self::Effect(request, _) => effect_line(request, id),
        }
    }

    /// Reads a line that says something of it.
    pub(crate) fn read(&self, line: &[u8]) -> Result<Heard, String> {
        match self {
            Self::Question(..) => serde_json::from_slice(line).map(Heard::Answer).map_err(|error| error.to_string()),
            Self::Effect(..) => {
                let EffectReport { result, error, progress, .. } =
                    serde_json::from_slice(line).map_err(|error| error.to_string())?;
                match (result, error, progress) {
                    (Some(result), None, None) => Ok(Heard::Outcome(Ok(result))),
                    (None, Some(error), None) => Ok(Heard::Outcome(Err(error))),
                    (None, None, Some(word)) => Ok(Heard::Word(word)),
                    _ => Err("it tells none or several of result, error and progress".to_owned()),
                }
            }
        }
    }

    /// It has come to nothing.
    pub(crate) fn fail(self, failure: Failure) {
        match self {
            Self::Question(_, reply) => reply(Err(failure)),
            Self::Effect(_, teller) => drop(teller.send(Told::Outcome(Err(failure.what)))),
        }
    }
}

/// Waits for what comes of an effect, and passes on how far it has come: of many words in a short time the last.
pub(crate) fn listen(told: &Receiver<Told>, tell: Telling<'_>) -> Result<Value, String> {
    let gone = || Err("the plugin is being replaced".to_owned());
    loop {
        let mut word = match told.recv() {
            Ok(Told::Word(word)) => word,
            Ok(Told::Outcome(outcome)) => return outcome,
            Err(_) => return gone(),
        };
        let until = Instant::now() + WORDS_GATHER;
        loop {
            match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Told::Word(next)) => word = next,
                Ok(Told::Outcome(outcome)) => return outcome,
                Err(RecvTimeoutError::Disconnected) => return gone(),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        tell(word);
    }
}
