//! Whether a request may be committed: decided against head and the group being built, before anything of it is done.

use std::collections::BTreeMap;

use super::snapshot::Head;
use super::write::CHANGES_MAX;
use super::{Change, CommitCondition, Precondition, Put, Refusal, Write};
use crate::object::{Name, ObjectKey, ResourceType, Revision, Uid};

const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");

/// Refuses a request whose conditions or preconditions do not hold. All of them hold, or none of it happens.
pub(super) fn check(write: &Write, head: &Head) -> Result<(), Refusal> {
    if write.changes.len() > CHANGES_MAX {
        return Err(Refusal::TooManyChanges { found: write.changes.len() });
    }
    for condition in &write.conditions {
        match condition {
            CommitCondition::NamespaceActive(namespace) => check_namespace(namespace, head)?,
            CommitCondition::Lasting(key) => check_lasting(key, head)?,
        }
    }
    let mut world = Foreseen { head, changed: BTreeMap::new() };
    for change in &write.changes {
        world.check(change)?;
    }
    Ok(())
}

fn check_namespace(namespace: &Name, head: &Head) -> Result<(), Refusal> {
    let key = ObjectKey { resource: NAMESPACES, namespace: None, name: namespace.clone() };
    match head.get(&key) {
        None => Err(Refusal::NamespaceMissing(namespace.clone())),
        Some(object) if object.metadata().is_terminating() => Err(Refusal::NamespaceTerminating(namespace.clone())),
        Some(_) => Ok(()),
    }
}

fn check_lasting(key: &ObjectKey, head: &Head) -> Result<(), Refusal> {
    match head.get(key) {
        Some(object) if !object.metadata().is_terminating() => Ok(()),
        _ => Err(Refusal::NotLasting(key.clone())),
    }
}

/// The world as the changes before would leave it.
struct Foreseen<'w> {
    head: &'w Head,
    changed: BTreeMap<&'w ObjectKey, Option<&'w Uid>>,
}

impl<'w> Foreseen<'w> {
    fn check(&mut self, change: &'w Change) -> Result<(), Refusal> {
        let key = &change.key;
        // A revision given by this very request is known to nobody yet.
        let (uid, revision) = match self.changed.get(key) {
            Some(uid) => (*uid, Revision(u64::MAX)),
            None => match self.head.get(key) {
                Some(object) => (Some(&object.metadata().uid), object.revision()),
                None => (None, self.head.revision),
            },
        };
        match (&change.precondition, uid) {
            (Precondition::Absent, None) if matches!(change.put, Put::Object(_)) => {}
            (Precondition::Absent, Some(_)) => return Err(Refusal::Exists(key.clone())),
            (_, None) => return Err(Refusal::Missing(key.clone())),
            (Precondition::Unchanged(expected), Some(_)) if *expected == revision => {}
            (Precondition::Identity(expected), Some(uid)) if expected == uid => {}
            _ => return Err(Refusal::Changed { key: key.clone(), found: revision }),
        }
        let after = match &change.put {
            Put::Object(draft) => Some(&draft.metadata().uid),
            Put::Nothing => None,
        };
        self.changed.insert(key, after);
        Ok(())
    }
}
