//! How a program is, and how its OperatorPlugin says so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sampan_core::object::ObjectKey;
use serde_json::{Value, json};

/// The most objects whose trouble is kept: one is shown.
const TROUBLES_MAX: usize = 1000;

/// How a program is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) phase: Phase,
    pub(crate) restarts: u32,
    /// What is wrong with the answers about some objects.
    troubles: BTreeMap<ObjectKey, Trouble>,
    has_answered: bool,
}

/// Whether a program runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Running {
        pid: Option<u32>,
    },
    BackingOff {
        reason: &'static str,
        what: String,
    },
    /// It cannot run as things are.
    Waiting {
        reason: &'static str,
        what: String,
    },
}

/// What is wrong with the answers about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: &'static str,
    pub(crate) what: String,
}

impl Health {
    /// A program that was asked nothing.
    pub(crate) fn in_phase(phase: Phase) -> Self {
        Self { phase, ..Self::default() }
    }

    /// Notes how the last answer about an object was. Whether that changes what is shown.
    pub(crate) fn note(&mut self, key: &ObjectKey, trouble: Option<Trouble>) -> bool {
        let before = (self.has_answered, self.troubles.len(), self.troubles.get(key).cloned());
        match trouble {
            Some(trouble) if self.troubles.len() < TROUBLES_MAX || self.troubles.contains_key(key) => {
                self.troubles.insert(key.clone(), trouble);
            }
            Some(_) => {}
            None => {
                self.has_answered = true;
                self.troubles.remove(key);
            }
        }
        before != (self.has_answered, self.troubles.len(), self.troubles.get(key).cloned())
    }

    /// What its OperatorPlugin's status says, after it said `before`.
    pub(crate) fn status(&self, before: &Value, generation: i64, user: Option<u32>, now: Timestamp) -> Value {
        let (phase, ready, reason, message) = match &self.phase {
            Phase::Starting => ("Starting", "False", "Starting", "it is being started".to_owned()),
            Phase::Running { .. } => ("Running", "True", "Running", "it runs".to_owned()),
            Phase::BackingOff { reason, what } => {
                ("BackingOff", "False", *reason, format!("{what}; it is started again"))
            }
            Phase::Waiting { reason, what } => ("Waiting", "False", *reason, what.clone()),
        };
        let mut conditions = vec![condition(before, "Ready", ready, reason, &message, generation, now)];
        let (answering, reason, message) = self.answering();
        conditions.push(condition(before, "Answering", answering, reason, &message, generation, now));
        let mut status = json!({"observedGeneration": generation, "phase": phase, "restarts": self.restarts,
            "conditions": conditions});
        let pid = match self.phase {
            Phase::Running { pid } => pid,
            _ => None,
        };
        for (field, number) in [("pid", pid), ("user", user)] {
            if let (Some(number), Some(fields)) = (number, status.as_object_mut()) {
                fields.insert(field.to_owned(), number.into());
            }
        }
        status
    }

    /// What its OperatorPlugin's condition says of the effects it runs.
    pub(crate) fn performing(&self, before: &Value, generation: i64, now: Timestamp) -> Value {
        let (status, reason, message) = match self.answering() {
            ("True", ..) => ("True", "Performs", "what it was asked to do is done".to_owned()),
            ("Unknown", ..) => ("Unknown", "NotAsked", "there was nothing to do yet".to_owned()),
            trouble => trouble,
        };
        condition(before, "Performing", status, reason, &message, generation, now)
    }

    fn answering(&self) -> (&'static str, &'static str, String) {
        match self.troubles.iter().next() {
            Some((key, trouble)) => {
                let others = match self.troubles.len() {
                    1 => String::new(),
                    more => format!(" (and {} more)", more - 1),
                };
                ("False", trouble.reason, format!("{key}: {}{others}", trouble.what))
            }
            None if self.has_answered => ("True", "Answers", "it answers".to_owned()),
            None => ("Unknown", "NotAsked", "it has not answered yet".to_owned()),
        }
    }
}

fn condition(
    before: &Value,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> Value {
    let known = before.pointer("/conditions").and_then(Value::as_array).into_iter().flatten();
    let text = |condition: &Value, field: &str| condition.get(field).and_then(Value::as_str).map(str::to_owned);
    let mut same = known.filter(|it| text(it, "type").is_some_and(|it| it == kind));
    let since = same.find(|it| text(it, "status").is_some_and(|it| it == status));
    let since = since.and_then(|it| text(it, "lastTransitionTime"));
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or_else(|| seconds.to_string())})
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]
mod tests {
    use sampan_core::resource::CONFIG_MAPS;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::namespaced(CONFIG_MAPS, "default", name)
    }

    fn garbage() -> Option<Trouble> {
        Some(Trouble { reason: "Garbage", what: "it babbles".to_owned() })
    }

    #[test]
    fn trouble_with_one_object_shows_until_it_is_answered_for() {
        let mut health = Health { phase: Phase::Running { pid: Some(7) }, ..Health::default() };
        assert!(health.note(&key("b"), None));
        assert!(health.note(&key("a"), garbage()) && !health.note(&key("a"), garbage()));
        let early = Timestamp::from_second(100).unwrap();
        let status = health.status(&Value::Null, 1, None, early);
        assert_eq!((&status["phase"], &status["pid"]), (&json!("Running"), &json!(7)));
        let answering = &status["conditions"][1];
        assert_eq!(answering["message"], "configmaps/default/a: it babbles");
        assert_eq!((&answering["status"], &answering["reason"]), (&json!("False"), &json!("Garbage")));
        assert!(health.note(&key("a"), None));
        let later = health.status(&status, 1, None, Timestamp::from_second(200).unwrap());
        assert_eq!(later["conditions"][1]["status"], "True");
        assert_eq!(later["conditions"][1]["lastTransitionTime"], "1970-01-01T00:03:20Z");
        assert_eq!(later["conditions"][0]["lastTransitionTime"], "1970-01-01T00:01:40Z");
    }
}
