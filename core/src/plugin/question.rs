//! What a program is asked: the primary and all it looks at, as one snapshot shows them.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::charter::{Charter, Look, named_at, selector_at};
use super::effect;
use super::spec::Way;
use crate::object::{Object, ObjectKey};
use crate::operator::Context;
use crate::operator::effect::asked;
use crate::resource::EFFECTS;

/// The protocol spoken.
pub const PROTOCOL: &str = "v1";

/// What a program is asked about one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What was read, without the time and a number: two that are equal here ask the same.
    pub body: Value,
    /// When it was asked.
    pub now: Timestamp,
}

impl Question {
    /// Asks about the primary of a step.
    pub(super) fn of(charter: &Charter, primary: &Object, state: &str, cx: &mut Context<'_>) -> Self {
        let value = primary.value();
        let mut owned = Vec::new();
        for resource in &charter.owns {
            owned.extend(cx.owned_objects(*resource));
        }
        let mut watched = Vec::new();
        for look in &charter.looks {
            watched.extend(looked_at(*look, primary.key(), &value, cx));
        }
        let mut body = json!({
            "protocol": PROTOCOL, "state": state, "primary": shown(primary), "owned": all(&owned),
            "watched": all(&watched),
        });
        if let (Some(refused), Some(fields)) = (cx.refusal(), body.as_object_mut()) {
            let told = json!({"verb": refused.verb.name(), "resource": refused.resource.to_string(),
                "reason": refused.status.reason, "message": refused.status.message});
            fields.insert("refused".to_owned(), told);
        }
        if !charter.declaration.effects.is_empty()
            && let Some(fields) = body.as_object_mut()
        {
            fields.insert("effects".to_owned(), effects(charter.declaration.name, cx));
        }
        Self { body, now: cx.now() }
    }

    /// The line that asks it, under a number that its answer repeats.
    pub fn line(&self, id: u64) -> String {
        let mut whole = self.body.clone();
        if let Some(fields) = whole.as_object_mut() {
            fields.insert("id".to_owned(), id.into());
            fields.insert("now".to_owned(), self.now.to_string().into());
        }
        format!("{whole}\n")
    }
}

/// What has been asked for to be done to the world, and how it stands.
fn effects(operator: &str, cx: &mut Context<'_>) -> Value {
    let mut records = cx.owned_objects(EFFECTS);
    records.retain(|record| asked(record).operator == operator);
    records.iter().map(|record| effect::shown(record)).collect()
}

fn looked_at(look: Look, primary: &ObjectKey, value: &Value, cx: &mut Context<'_>) -> Vec<Arc<Object>> {
    let namespace = primary.namespace.as_deref().filter(|_| look.is_namespaced);
    match look.way {
        Way::Name => {
            let key = named_at(value, look.field).map(|name| ObjectKey {
                resource: look.resource,
                namespace: namespace.map(Into::into),
                name: name.into(),
            });
            key.and_then(|key| cx.object(&key)).into_iter().collect()
        }
        Way::Selector => match (selector_at(value, look.field), namespace) {
            (Some(selector), Some(namespace)) => cx.matching_objects(look.resource, namespace, &selector),
            _ => Vec::new(),
        },
        Way::Namespace => cx.objects(look.resource, namespace),
        Way::Everywhere => cx.objects(look.resource, None),
    }
}

fn all(objects: &[Arc<Object>]) -> Vec<Value> {
    objects.iter().map(|object| shown(object)).collect()
}

/// An object without what only the API server needs of it.
fn shown(object: &Object) -> Value {
    let mut value = object.value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}
