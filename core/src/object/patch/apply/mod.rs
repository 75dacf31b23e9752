//! Server-side apply, and the record of who owns which field.
//!
//! An applied configuration holds the fields its manager cares for, all of them. They are merged into the live object;
//! what the manager applied last time, left out now, and nobody else owns, is taken out. A field that would change and is
//! owned by another is a conflict, unless forced. Other writes own what they change.
//!
//! As in Kubernetes' "Server-Side Apply" and `structured-merge-diff`.

mod combine;
mod conflict;
mod field_set;
mod record;
mod unowned;
mod walk;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::conflict::{Conflict, Conflicts};
use self::field_set::FieldSet;
use self::record::{Entry, Operation, Record};
pub use self::unowned::{MergeError, merge_configuration};
use self::walk::{Difference, Ownership, compare, fields_of};
use crate::object::FieldPath;
use crate::schema::Schema;

/// Owns what an object had before it was first applied to, if nobody is known to.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Metadata the server keeps: nobody owns it.
const SERVERS_METADATA: [&str; 8] =
    ["creationTimestamp", "generation", "managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid"];

/// Who writes, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a> {
    /// The field manager's name.
    pub name: &'a str,
    /// The group and version written in, as `apps/v1`.
    pub api_version: &'a str,
    /// The subresource written to; empty for the object.
    pub subresource: &'a str,
    /// Fields this endpoint does not write, as `["status"]`: nobody comes to own them by it.
    pub reset_fields: &'a [&'a [&'a str]],
    /// Now.
    pub now: Timestamp,
}

impl Manager<'_> {
    fn time(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Takes out what nobody can come to own by this write.
    fn strip(&self, set: &mut FieldSet) {
        set.retain_fields(|name| !matches!(name, "apiVersion" | "kind"));
        set.change_field("metadata", |metadata| {
            metadata.disown();
            metadata.retain_fields(|name| !SERVERS_METADATA.contains(&name));
        });
        for path in self.reset_fields {
            set.remove_field(path);
        }
    }
}

/// Why a configuration cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that would change (409).
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
    /// The configuration says who manages it, which is not for it to say (400).
    #[error("metadata.managedFields must be nil")]
    ManagedFields,
    /// Two items of a list cannot be told apart (422).
    #[error("{path}: duplicate entries for key {key}")]
    DuplicateItem {
        /// The second of them.
        path: FieldPath,
        /// What they have in common.
        key: String,
    },
    /// An item of a list cannot be told from others (422).
    #[error("{path}: an item of a list with keys omits the key {key:?}, which has no default")]
    MissingKey {
        /// The item.
        path: FieldPath,
        /// The missing field.
        key: String,
    },
}

/// The object after `manager` applies a configuration to the live one, with its managers' record.
///
/// `applied` has passed the schema but has no defaults filled in: a field that is filled in would be owned.
///
/// # Guarantees
/// Applying what is already there and owned yields the live object, unchanged to the time stamps.
///
/// # Errors
/// When others own what would change and `force` is not set, or the configuration is malformed.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    mut applied: Value,
    manager: &Manager<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    if Record::take(&mut applied).is_some_and(|managed| managed.as_array().is_none_or(|entries| !entries.is_empty())) {
        return Err(ApplyError::ManagedFields);
    }
    for path in manager.reset_fields {
        remove_path(&mut applied, path);
    }
    combine::check_items(schema, &applied, &FieldPath::root())?;
    let before = live.map(Record::of).unwrap_or_default();
    let mut record = before.clone();
    let mut base = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    Record::take(&mut base);
    if live.is_some() && record.0.is_empty() {
        record.0.push(before_first_apply(schema, &base, manager));
    }

    let set = fields_of(schema, &applied, Ownership::Applied);
    let last = std::mem::replace(&mut record.entry(Operation::Apply, manager).fields, set.clone());
    let mut merged = base.clone();
    combine::merge(schema, &mut merged, &applied);
    combine::prune(schema, &mut merged, &last, &all_owned(&record));

    let mut difference = compare(schema, &base, &merged);
    manager.strip(&mut difference.changed);
    let is_other = |entry: &Entry| !entry.is_of(Operation::Apply, manager);
    if !force {
        Conflicts::of(record.0.iter().filter(|entry| is_other(entry)), &difference.changed)?;
    }
    record.0.iter_mut().filter(|entry| is_other(entry)).for_each(|entry| release(entry, &difference));
    let own = record.entry(Operation::Apply, manager);
    manager.strip(&mut own.fields);
    manager.api_version.clone_into(&mut own.api_version);
    if own.fields != last || merged != base {
        own.time = Some(manager.time());
    }
    if let Some(live) = live.filter(|_| record == before && merged == base) {
        return Ok(live.clone());
    }
    record.put(&mut merged);
    Ok(merged)
}

/// Everything some manager owns. Metadata as such is never given up, whatever a configuration leaves out.
fn all_owned(record: &Record) -> FieldSet {
    let mut owned = FieldSet::EMPTY;
    for entry in &record.0 {
        owned.unite(entry.fields.clone());
    }
    for name in ["apiVersion", "kind", "metadata"] {
        owned.own_field(name);
    }
    owned
}

fn before_first_apply(schema: &Schema, live: &Value, manager: &Manager<'_>) -> Entry {
    let mut entry = Entry::new(Operation::Update, &Manager { subresource: "", ..*manager }, BEFORE_FIRST_APPLY);
    entry.fields = fields_of(schema, live, Ownership::Added);
    Manager { reset_fields: &[], ..*manager }.strip(&mut entry.fields);
    entry.time = Some(manager.time());
    entry
}

fn release(entry: &mut Entry, difference: &Difference) {
    entry.fields.subtract(&difference.changed);
    entry.fields.subtract_trees(&difference.removed);
}

fn remove_path(value: &mut Value, path: &[&str]) {
    match path {
        [] => {}
        [last] => {
            if let Value::Object(fields) = value {
                fields.remove(*last);
            }
        }
        [first, below @ ..] => {
            if let Some(value) = value.get_mut(*first) {
                remove_path(value, below);
            }
        }
    }
}

/// Records in `new` that `manager` changed what differs from `live`: it owns what it added or changed, and nobody owns what
/// is gone. For every write that is no apply; `live` is `None` for a create.
///
/// A client that sends `managedFields: [{}]` clears the record; one that sends none keeps it.
///
/// # Caveats
/// An object without a record stays without until it is applied to, as in Kubernetes.
pub fn track_update(schema: &Schema, live: Option<&Value>, new: &mut Value, manager: &Manager<'_>) {
    let given = Record::take(new);
    if given.as_ref().is_some_and(Record::is_reset) {
        return;
    }
    let given = given.and_then(Record::read).filter(|record| !record.0.is_empty());
    let mut record = given.or_else(|| live.map(Record::of)).unwrap_or_default();
    let mut difference = match live {
        Some(_) if record.0.is_empty() => return,
        Some(live) => compare(schema, live, new),
        None => Difference { changed: fields_of(schema, new, Ownership::Added), removed: FieldSet::EMPTY },
    };
    manager.strip(&mut difference.changed);
    if !(difference.changed.is_empty() && difference.removed.is_empty()) {
        record.0.iter_mut().for_each(|entry| release(entry, &difference));
    }
    if !difference.changed.is_empty() {
        let own = record.entry(Operation::Update, manager);
        own.fields.unite(difference.changed);
        own.time = Some(manager.time());
    }
    record.put(new);
}

#[cfg(test)]
mod tests;
