//! What a program is asked to do to the world, and what it tells of that.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::question::PROTOCOL;
use crate::object::Object;
use crate::operator::effect::{asked, state};
use crate::operator::{EffectRequest, EffectState};

/// The line that asks for an effect to be run, under a number that its reports repeat.
pub fn effect_line(request: &EffectRequest, id: u64) -> String {
    let EffectRequest { name, record, primary, primary_uid, key, input, tries, .. } = request;
    let line = json!({
        "id": id, "protocol": PROTOCOL, "effect": name, "key": key, "input": input, "tries": tries,
        "token": record.to_string(), "primary": {"object": primary, "uid": primary_uid},
    });
    format!("{line}\n")
}

/// What a program tells of an effect it runs: how far it has come, any number of times, and in the end what came of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EffectReport {
    /// The number of what was asked.
    pub id: u64,
    /// What it gave: it is done.
    #[serde(deserialize_with = "present")]
    pub result: Option<Value>,
    /// Why it is not done: it is tried again, later and later.
    pub error: Option<String>,
    /// How far it has come.
    pub progress: Option<String>,
}

/// Tells a result that is null from none.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// How an effect stands, as its program is shown it.
pub(super) fn shown(record: &Object) -> Value {
    let asked = asked(record);
    let mut shown = json!({"effect": asked.effect, "key": asked.key, "input": asked.input});
    let told = match state(record) {
        EffectState::Done(result) => vec![("done", true.into()), ("result", result)],
        EffectState::Asked => vec![("done", false.into())],
        EffectState::Pending { tries, error, progress } => {
            let words = [("error", error), ("progress", progress)];
            let words = words.into_iter().filter_map(|(field, word)| Some((field, Value::from(word?))));
            [("done", false.into()), ("tries", tries.into())].into_iter().chain(words).collect()
        }
    };
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(told.into_iter().map(|(field, value)| (field.to_owned(), value)));
    }
    shown
}
