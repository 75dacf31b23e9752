//! What a program answers, and what becomes of it: commands, as its charter allows them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::charter::Charter;
use super::spec::{PluginSpec, VerbSpec};
use crate::gateway::DeleteOptions;
use crate::object::{Object, ObjectKey};
use crate::operator::{Command, Context, EventKind};
use crate::resource::{Scope, Served};

/// The most commands of one answer: what fits into one commit.
const COMMANDS_MAX: usize = 500;
/// The longest wait that is kept: a longer one comes to the same.
const WAKE_AFTER_MAX_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// What a program answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Answer {
    /// The number of what was asked.
    pub id: u64,
    /// The state the object is in.
    pub state: String,
    /// The guard of the transition to it; the one that is declared, where only one is.
    pub because: Option<String>,
    /// The status the primary should have.
    pub status: Option<Value>,
    /// Objects that should be as these fields say.
    pub apply: Vec<Value>,
    /// Objects that should not be.
    pub delete: Vec<Reference>,
    /// What should be done to the world, or have been done.
    pub effects: Vec<Wish>,
    /// Effects whose keys may be asked for anew.
    pub forget: Vec<Wish>,
    /// What users are told.
    pub events: Vec<Happening>,
    /// What the object waits for.
    pub waiting_for: Vec<Waiting>,
    /// When to ask again although nothing changes.
    pub wake_after_seconds: Option<f64>,
    /// Why there is no answer: it is asked again, later and later.
    pub error: Option<String>,
}

/// An effect, by its key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// The effect, as declared.
    pub effect: String,
    /// What makes it the same when it is asked for again.
    pub key: String,
    /// What it is given.
    #[serde(default)]
    pub input: Value,
}

/// Names an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; the primary's, unless given.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// What users are told of the primary.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// Whether somebody may have to look.
    #[serde(rename = "type", default)]
    pub kind: HappeningKind,
    /// Such as `Scaled`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// The two kinds of Event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum HappeningKind {
    /// As it should be.
    #[default]
    Normal,
    /// Somebody may have to look.
    Warning,
}

/// A guard that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// What it waits for.
    pub guard: String,
    /// The values it was decided on.
    #[serde(default)]
    pub detail: String,
}

/// Why an answer cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the plugin answers with {what}, which is no object with apiVersion, kind and metadata.name")]
    NoObject { what: String },
    #[error("the plugin answers with the kind {kind} of {api_version}, which is not served")]
    Unserved { api_version: String, kind: String },
    #[error("the plugin asked to {verb} {object}, which it does not declare")]
    Undeclared { verb: &'static str, object: String },
    #[error("the plugin asked for the effect {name:?}, which it does not declare")]
    UndeclaredEffect { name: String },
    #[error("the plugin would own {object}, which is in another namespace than its owner")]
    Astray { object: String },
    #[error("the plugin puts the finalizer {finalizer} on {object}, which it does not declare: its own is {own}")]
    Finalizer { finalizer: String, object: String, own: String },
    #[error("the plugin answers with {count} commands: one commit holds no more than {COMMANDS_MAX}")]
    TooMany { count: usize },
}

/// The finalizer a plugin may put on objects, and no other: with it gone, nobody would take it off.
pub fn finalizer_of(plugin: &str) -> String {
    format!("plugin.sampan.dev/{plugin}")
}

/// One object an answer is about.
struct Named {
    key: ObjectKey,
    api_version: String,
    kind: String,
    is_owned_kind: bool,
}

/// Carries an answer out.
pub(super) fn carry_out(
    answer: Answer,
    primary: &Object,
    charter: &Charter,
    spec: &PluginSpec,
    cx: &mut Context<'_>,
) -> Result<(), Unusable> {
    let effects = answer.effects.len() + answer.forget.len();
    let count = answer.apply.len() + answer.delete.len() + effects + answer.events.len() + 1;
    if count > COMMANDS_MAX {
        return Err(Unusable::TooMany { count });
    }
    let desk = Desk { primary, charter, spec };
    for object in answer.apply {
        desk.apply(object, cx)?;
    }
    for reference in answer.delete {
        desk.delete(&reference, cx)?;
    }
    for Wish { effect, key, input } in answer.effects {
        cx.effect(desk.declared(&effect)?, &key, input);
    }
    for Wish { effect, key, .. } in answer.forget {
        cx.forget_effect(desk.declared(&effect)?, &key);
    }
    if let Some(status) = answer.status {
        desk.write_status(status, cx);
    }
    for Happening { kind, reason, message } in answer.events {
        let kind = match kind {
            HappeningKind::Normal => EventKind::Normal,
            HappeningKind::Warning => EventKind::Warning,
        };
        cx.event(kind, reason, message);
    }
    let wake_after = answer.wake_after_seconds.filter(|seconds| *seconds >= 0.0);
    let wake_after = wake_after.map(|seconds| Duration::from_secs_f64(seconds.min(WAKE_AFTER_MAX_SECONDS)));
    let until = wake_after.and_then(|delay| cx.now().checked_add(delay).ok());
    for Waiting { guard, detail } in answer.waiting_for {
        cx.trace().waiting_for(guard, detail, until);
    }
    wake_after.into_iter().for_each(|delay| cx.wake_after(delay));
    Ok(())
}

/// What an answer is held against.
struct Desk<'a> {
    primary: &'a Object,
    charter: &'a Charter,
    spec: &'a PluginSpec,
}

impl Desk<'_> {
    fn apply(&self, mut object: Value, cx: &mut Context<'_>) -> Result<(), Unusable> {
        let named = self.named(&reference(&object)?, cx)?;
        self.check_finalizers(&object, &named.key)?;
        let found = self.look(&named, VerbSpec::Update, cx)?;
        let is_own = found.as_ref().is_some_and(|found| self.owns(found));
        let is_foreign = found.is_some() && !is_own;
        let verb = if found.is_some() { VerbSpec::Update } else { VerbSpec::Create };
        let may_touch = self.may_touch(verb, &named);
        if !named.is_owned_kind || (is_foreign && may_touch) {
            if !may_touch {
                return Err(undeclared(verb, &named.key));
            }
        } else if is_foreign {
            let detail = "it is there and belongs to somebody else";
            cx.trace().waiting_for(format!("{} is free", named.key), detail, None);
            return Ok(());
        } else if found.is_some_and(|found| found.metadata().is_terminating()) {
            cx.trace().waiting_for(format!("{} is gone", named.key), "it is being deleted", None);
            return Ok(());
        } else {
            self.own(&mut object, &named)?;
        }
        set(&mut object, "namespace", named.key.namespace.as_deref().map(Into::into));
        cx.apply(named.key, object);
        Ok(())
    }

    fn check_finalizers(&self, object: &Value, key: &ObjectKey) -> Result<(), Unusable> {
        let own = finalizer_of(self.charter.declaration.name);
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
        match finalizers.filter_map(Value::as_str).find(|finalizer| *finalizer != own) {
            Some(other) => Err(Unusable::Finalizer { finalizer: other.to_owned(), object: key.to_string(), own }),
            None => Ok(()),
        }
    }

    fn delete(&self, reference: &Reference, cx: &mut Context<'_>) -> Result<(), Unusable> {
        let named = self.named(reference, cx)?;
        let Some(found) = self.look(&named, VerbSpec::Delete, cx)? else { return Ok(()) };
        if !(self.owns(&found) && named.is_owned_kind) && !self.may_touch(VerbSpec::Delete, &named) {
            // Somebody else's of a kind it owns is not what it means: an earlier primary of that name may have left it.
            return if named.is_owned_kind { Ok(()) } else { Err(undeclared(VerbSpec::Delete, &named.key)) };
        }
        if !found.metadata().is_terminating() {
            cx.delete_object(&found, DeleteOptions::default());
        }
        Ok(())
    }

    fn write_status(&self, status: Value, cx: &mut Context<'_>) {
        // An empty status is none: whether there was one before is nothing to be told by.
        let wanted = Some(status).filter(|status| status.as_object().is_none_or(|fields| !fields.is_empty()));
        let mut object = self.primary.value();
        if object.get("status") == wanted.as_ref() {
            return;
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
            fields.extend(wanted.map(|status| ("status".to_owned(), status)));
        }
        cx.command(Command::UpdateStatus { key: self.primary.key().clone(), object });
    }

    /// The object that is there, where the plugin may have to do with its kind at all.
    fn look(
        &self,
        named: &Named,
        verb: VerbSpec,
        cx: &mut Context<'_>,
    ) -> Result<Option<std::sync::Arc<Object>>, Unusable> {
        if !self.charter.declaration.reads(named.key.resource) {
            return Err(undeclared(verb, &named.key));
        }
        Ok(cx.object(&named.key))
    }

    fn named(&self, reference: &Reference, cx: &Context<'_>) -> Result<Named, Unusable> {
        let Reference { api_version, kind, name, namespace } = reference;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let served = cx.registry().served_kind(group, version, kind);
        let unserved = || Unusable::Unserved { api_version: api_version.clone(), kind: kind.clone() };
        let Served { definition, .. } = served.ok_or_else(unserved)?;
        let own = || self.primary.key().namespace.as_deref().unwrap_or("default").to_owned();
        let namespace = match definition.scope {
            Scope::Namespaced => Some(namespace.clone().unwrap_or_else(own)),
            Scope::Cluster => None,
        };
        let key = ObjectKey {
            resource: definition.resource,
            namespace: namespace.map(|namespace| namespace.as_str().into()),
            name: name.as_str().into(),
        };
        let is_owned_kind = self.charter.owns.contains(&key.resource);
        Ok(Named { key, api_version: api_version.clone(), kind: kind.clone(), is_owned_kind })
    }

    /// The name of an effect, as the plugin declares it.
    fn declared(&self, name: &str) -> Result<&'static str, Unusable> {
        let effect = self.charter.declaration.effects.iter().find(|effect| effect.name == name);
        effect.map(|effect| effect.name).ok_or_else(|| Unusable::UndeclaredEffect { name: name.to_owned() })
    }

    fn may_touch(&self, verb: VerbSpec, named: &Named) -> bool {
        self.charter.may_touch(self.spec, verb, &named.kind, &named.api_version)
    }

    fn owns(&self, object: &Object) -> bool {
        object.metadata().owner_references.iter().any(|owner| owner.uid == self.primary.metadata().uid)
    }

    /// Has the primary own the object, as its controller.
    fn own(&self, object: &mut Value, named: &Named) -> Result<(), Unusable> {
        let primary = self.primary.key();
        if primary.namespace.is_some() && named.key.namespace != primary.namespace {
            return Err(Unusable::Astray { object: named.key.to_string() });
        }
        let kind = &self.spec.primary;
        let owner = json!({"apiVersion": kind.api_version, "kind": kind.kind, "name": &*primary.name,
            "uid": self.primary.metadata().uid.as_str(), "controller": true, "blockOwnerDeletion": true});
        set(object, "ownerReferences", Some(json!([owner])));
        Ok(())
    }
}

fn undeclared(verb: VerbSpec, key: &ObjectKey) -> Unusable {
    let verb = match verb {
        VerbSpec::Create => "create",
        VerbSpec::Update => "update",
        VerbSpec::Delete => "delete",
    };
    Unusable::Undeclared { verb, object: key.to_string() }
}

fn reference(object: &Value) -> Result<Reference, Unusable> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("/apiVersion"), text("/kind"), text("/metadata/name")) {
        (Some(api_version), Some(kind), Some(name)) => Ok(Reference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: text("/metadata/namespace").map(str::to_owned),
        }),
        _ => Err(Unusable::NoObject { what: brief(&object.to_string()) }),
    }
}

/// The beginning of a text, short enough for a message.
fn brief(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
        None => format!("`{text}`"),
    }
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    if let (Some(metadata), Some(value)) = (object.get_mut("metadata").and_then(Value::as_object_mut), value) {
        metadata.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::operator::EffectRequest;
    use crate::plugin::{EffectReport, effect_line};
    use crate::resource::EFFECTS;

    const GUIDE: &str = include_str!("../../../docs/plugin-protocol.md");
    const SCHEMA: &str = include_str!("../../../docs/plugin-protocol.schema.json");

    fn told_in_the_guide() -> impl Iterator<Item = Value> {
        let blocks = GUIDE.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        blocks.map(|block| serde_json::from_str(block).unwrap())
    }

    #[test]
    fn the_answers_of_the_guide_are_answers() {
        let said: Vec<Value> = told_in_the_guide().filter(|told| told.get("protocol").is_none()).collect();
        let is_report = |told: &Value| ["result", "progress"].iter().any(|field| told.get(field).is_some());
        let (reports, answers): (Vec<Value>, Vec<Value>) = said.into_iter().partition(is_report);
        assert_eq!((answers.len(), reports.len()), (3, 2));
        for told in answers {
            let answer = Answer::deserialize(&told).unwrap_or_else(|error| panic!("{told}: {error}"));
            assert_ne!(answer, Answer::default());
        }
        for told in reports {
            let report = EffectReport::deserialize(&told).unwrap_or_else(|error| panic!("{told}: {error}"));
            assert_ne!(report, EffectReport::default());
        }
    }

    #[test]
    fn the_effect_of_the_guide_is_asked_for_as_it_says() {
        let told = told_in_the_guide().find(|told| told["key"] == "5f0c").unwrap();
        let request = EffectRequest {
            operator: "postgresdatabase",
            name: "create",
            record: ObjectKey::namespaced(EFFECTS, "default", "shop.9c1185a5c5e9fc54"),
            primary: "postgresdatabases.examples.sampan.dev/default/shop".into(),
            primary_uid: "6e1f".into(),
            key: "5f0c".into(),
            input: json!({"database": "shop"}),
            tries: 0,
        };
        assert_eq!(serde_json::from_str::<Value>(&effect_line(&request, 1)).unwrap(), told);
    }

    #[test]
    fn the_schema_knows_the_fields_that_are_read() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let check = |definition: &str, unknown: String| {
            let fields = schema["$defs"][definition]["properties"].as_object().unwrap();
            let read: BTreeSet<&str> = unknown.split('`').skip(3).step_by(2).collect();
            assert_eq!(fields.keys().map(String::as_str).collect::<BTreeSet<_>>(), read);
        };
        let nothing = json!({"nothing": 1});
        check("answer", Answer::deserialize(&nothing).unwrap_err().to_string());
        check("effectReport", EffectReport::deserialize(&nothing).unwrap_err().to_string());
        check("wish", Wish::deserialize(&nothing).unwrap_err().to_string());
    }
}
