//! What an object's owners and dependents ask for.

use std::sync::Arc;

use sampan_core::object::{Object, OwnerReference, Uid};
use sampan_core::resource::EFFECTS;
use sampan_core::store::Snapshot;
use serde_json::Value;

use crate::owners;

/// Holds an owner until the dependents that block it are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents no longer name it.
pub(crate) const ORPHAN: &str = "orphan";

/// The most dependents one step lets go, below what one commit may hold.
const DEPENDENTS_MAX: usize = 400;

/// One look at an object, its owners and its dependents.
pub struct View {
    /// The finalizer of ours that holds the object, if it is being deleted.
    pub(crate) held_by: Option<&'static str>,
    /// Whether the object is being deleted.
    pub(crate) is_deleted: bool,
    /// Owners that are gone.
    pub(crate) gone: Vec<Uid>,
    /// Kinds of owners of which nobody can tell whether they exist, because they are not served. They keep the object.
    pub(crate) unheard_of: Vec<String>,
    /// Owners that wait for the object to go.
    pub(crate) waiting: Vec<Uid>,
    /// Whether an owner waits for the object, and it is an owner itself.
    pub(crate) is_awaited_owner: bool,
    /// Whether it blocks an owner that waits for it, and one of its own dependents waits as well: it may be for itself.
    pub(crate) is_in_circle: bool,
    /// How many owners it names.
    pub(crate) named: usize,
    /// The object's own dependents, where it is held for them.
    pub(crate) dependents: Vec<Arc<Object>>,
    /// Those among them that hold it.
    pub(crate) blocking: usize,
}

impl View {
    pub(crate) fn of(object: &Object, snapshot: &Snapshot, can_tell: impl Fn(&OwnerReference) -> bool) -> Self {
        let held_by = holding_finalizer(object);
        let dependents: Vec<Arc<Object>> = match held_by {
            Some(_) => owners::dependents(object, snapshot).cloned().collect(),
            None => Vec::new(),
        };
        let uid = &object.metadata().uid;
        let blocks = |dependent: &&Arc<Object>| {
            let mut references = dependent.metadata().owner_references.iter();
            references.any(|reference| reference.uid == *uid && reference.block_owner_deletion)
        };
        let blocking = dependents.iter().filter(blocks).count();
        let references = &object.metadata().owner_references;
        let mut view = Self {
            held_by,
            is_deleted: object.metadata().is_terminating(),
            gone: Vec::new(),
            unheard_of: Vec::new(),
            waiting: Vec::new(),
            is_awaited_owner: false,
            is_in_circle: false,
            named: references.len(),
            dependents,
            blocking,
        };
        for reference in references {
            match owners::find(reference, object, snapshot) {
                None if can_tell(reference) => view.gone.push(reference.uid.clone()),
                None => view.unheard_of.push(reference.kind.to_string()),
                // The record of an effect goes after its owner, who may still wait for what comes of it.
                Some(_) if object.key().resource == EFFECTS => {}
                Some(owner) if holding_finalizer(owner) == Some(FOREGROUND) => view.waiting.push(reference.uid.clone()),
                Some(_) => {}
            }
        }
        if !view.waiting.is_empty() {
            let waits = |dependent: &Arc<Object>| holding_finalizer(dependent) == Some(FOREGROUND);
            view.is_awaited_owner = owners::dependents(object, snapshot).next().is_some();
            view.is_in_circle = references.iter().any(|reference| reference.block_owner_deletion)
                && owners::dependents(object, snapshot).any(waits);
        }
        view
    }

    /// Whether no owner is left that would keep the object.
    pub(crate) fn is_unowned(&self) -> bool {
        self.named > 0 && self.gone.len() + self.waiting.len() == self.named
    }

    /// Whether there is anything to do.
    pub(crate) fn has_work(&self) -> bool {
        self.held_by.is_some() || (!self.is_deleted && !(self.gone.is_empty() && self.waiting.is_empty()))
    }

    /// The dependents to let go next.
    pub(crate) fn to_disown(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.dependents.iter().take(DEPENDENTS_MAX)
    }
}

/// The finalizer of ours that holds an object which is being deleted.
pub(crate) fn holding_finalizer(object: &Object) -> Option<&'static str> {
    let metadata = object.metadata();
    let ours = [ORPHAN, FOREGROUND];
    let held = ours.into_iter().find(|ours| metadata.finalizers.iter().any(|finalizer| **finalizer == **ours));
    held.filter(|_| metadata.is_terminating())
}

/// The object without references to these owners.
pub(crate) fn without_owners(mut object: Value, owners: &[Uid]) -> Value {
    retain(&mut object, "/metadata/ownerReferences", |reference| {
        let uid = reference.get("uid").and_then(Value::as_str);
        !owners.iter().any(|owner| Some(owner.as_str()) == uid)
    });
    object
}

/// The object that holds none of its owners.
pub(crate) fn without_blocking(mut object: Value) -> Value {
    let references = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
    for reference in references.into_iter().flatten().filter_map(Value::as_object_mut) {
        if reference.contains_key("blockOwnerDeletion") {
            reference.insert("blockOwnerDeletion".to_owned(), Value::Bool(false));
        }
    }
    object
}

/// The object without a finalizer.
pub(crate) fn without_finalizer(mut object: Value, finalizer: &str) -> Value {
    retain(&mut object, "/metadata/finalizers", |found| found != finalizer);
    object
}

fn retain(object: &mut Value, pointer: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(list) = object.pointer_mut(pointer).and_then(Value::as_array_mut) {
        list.retain(keep);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_references_meant_are_removed() {
        let object =
            json!({"metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b"}], "finalizers": ["x", ORPHAN]}});
        let disowned = without_owners(object.clone(), &[Uid("a".into())]);
        assert_eq!(disowned["metadata"]["ownerReferences"], json!([{"uid": "b"}]));
        let released = without_finalizer(object, ORPHAN);
        assert_eq!(released["metadata"]["finalizers"], json!(["x"]));
    }
}
