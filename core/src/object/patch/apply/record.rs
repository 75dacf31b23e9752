//! `metadata.managedFields`: who owns what, as the object carries it.

use serde_json::{Map, Value, json};

use super::Manager;
use super::field_set::FieldSet;

/// The most managers by update one object remembers, as in Kubernetes; the oldest are gathered under one name.
const MAX_UPDATERS: usize = 10;
/// The name the oldest managers by update are gathered under.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// The fields of one manager.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) operation: Operation,
    pub(super) manager: String,
    pub(super) api_version: String,
    pub(super) subresource: String,
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

impl Entry {
    pub(super) fn new(operation: Operation, manager: &Manager<'_>, name: &str) -> Self {
        Self {
            operation,
            manager: name.to_owned(),
            api_version: manager.api_version.to_owned(),
            subresource: manager.subresource.to_owned(),
            time: None,
            fields: FieldSet::EMPTY,
        }
    }

    /// An applier is the same in every version of the kind, an updater is not.
    pub(super) fn is_of(&self, operation: Operation, manager: &Manager<'_>) -> bool {
        self.operation == operation
            && self.manager == manager.name
            && self.subresource == manager.subresource
            && (operation == Operation::Apply || self.api_version == manager.api_version)
    }

    /// The manager as a conflict names it: `"kubectl-edit" using apps/v1`.
    pub(super) fn shown(&self) -> String {
        let place = match self.subresource.as_str() {
            "" => String::new(),
            subresource => format!(" with subresource {subresource:?}"),
        };
        let version = match self.operation {
            Operation::Apply => String::new(),
            Operation::Update => format!(" using {}", self.api_version),
        };
        format!("{:?}{place}{version}", self.manager)
    }

    fn read(value: Value) -> Option<Self> {
        let Value::Object(mut fields) = value else { return None };
        let operation = match fields.get("operation")?.as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let of_v1 = fields.get("fieldsType").and_then(Value::as_str) == Some("FieldsV1");
        let set = fields.remove("fieldsV1").filter(|set| of_v1 && set.is_object())?;
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Some(Self {
            operation,
            manager: text("manager").unwrap_or_default(),
            api_version: text("apiVersion").unwrap_or_default(),
            subresource: text("subresource").unwrap_or_default(),
            time: text("time"),
            fields: FieldSet::from_json(set),
        })
    }

    fn into_json(self) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
        put("apiVersion", self.api_version.into());
        put("fieldsType", "FieldsV1".into());
        put("fieldsV1", self.fields.into_json());
        put("manager", self.manager.into());
        put("operation", self.operation.name().into());
        if !self.subresource.is_empty() {
            put("subresource", self.subresource.into());
        }
        if let Some(time) = self.time {
            put("time", time.into());
        }
        Value::Object(entry)
    }
}

/// All managers of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Record(pub(super) Vec<Entry>);

impl Record {
    /// The record an object carries. One that cannot be read counts as none.
    pub(super) fn of(object: &Value) -> Self {
        let managed = object.pointer("/metadata/managedFields").cloned();
        managed.and_then(Self::read).unwrap_or_default()
    }

    /// Takes the record out of an object.
    pub(super) fn take(object: &mut Value) -> Option<Value> {
        object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
    }

    /// `None` where any entry is malformed.
    pub(super) fn read(managed: Value) -> Option<Self> {
        let Value::Array(entries) = managed else { return None };
        entries.into_iter().map(Entry::read).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether a request asks to forget all managers: it carries one empty entry.
    pub(super) fn is_reset(managed: &Value) -> bool {
        *managed == json!([{}])
    }

    /// The entry of a manager, new and empty where there is none.
    pub(super) fn entry(&mut self, operation: Operation, manager: &Manager<'_>) -> &mut Entry {
        let place = self.0.iter().position(|entry| entry.is_of(operation, manager)).unwrap_or_else(|| {
            self.0.push(Entry::new(operation, manager, manager.name));
            self.0.len() - 1
        });
        self.0.get_mut(place).expect("the entry was found or just added")
    }

    /// Puts the record into an object, in Kubernetes' order: appliers first, then by time.
    pub(super) fn put(mut self, object: &mut Value) {
        self.0.retain(|entry| !entry.fields.is_empty());
        self.gather_ancient();
        self.0.sort_by(|a, b| a.order().cmp(&b.order()));
        if self.0.is_empty() {
            return;
        }
        let managed: Vec<Value> = self.0.into_iter().map(Entry::into_json).collect();
        let Value::Object(fields) = object else { return };
        let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(metadata) = metadata {
            metadata.insert("managedFields".to_owned(), managed.into());
        }
    }

    fn gather_ancient(&mut self) {
        let updaters = self.0.iter().filter(|entry| entry.operation == Operation::Update).count();
        if updaters <= MAX_UPDATERS {
            return;
        }
        let mut entries = std::mem::take(&mut self.0);
        entries.sort_by(|a, b| (a.operation, &a.time, &a.manager).cmp(&(b.operation, &b.time, &b.manager)));
        let mut surplus = updaters - MAX_UPDATERS + 1;
        for mut entry in entries {
            if entry.operation == Operation::Apply || surplus == 0 {
                self.0.push(entry);
                continue;
            }
            surplus -= 1;
            let version = &entry.api_version;
            if let Some(ancient) = self.0.iter_mut().find(|it| it.manager == ANCIENT && it.api_version == *version) {
                ancient.fields.unite(entry.fields);
                continue;
            }
            ANCIENT.clone_into(&mut entry.manager);
            entry.subresource.clear();
            self.0.push(entry);
        }
    }
}

impl Entry {
    fn order(&self) -> (Operation, Option<&str>, &str, &str, &str) {
        (self.operation, self.time.as_deref(), &self.manager, &self.api_version, &self.subresource)
    }
}
