//! Which objects a list, watch or deletion of many is about.

use std::sync::Arc;

use sampan_core::object::selector::Selector;
use sampan_core::object::{Name, Object, ObjectKey, ResourceType};
use sampan_core::resource::{Scope, is_indexed};
use sampan_core::status::Status;
use sampan_core::store::{IndexKey, Snapshot, WatchScope};

use crate::call::Call;
use crate::request::{FieldSelector, ListOptions};

/// Which objects: of a resource type, in a place, with these labels and fields.
pub(super) struct Selection {
    pub(super) resource: ResourceType,
    namespace: Option<Name>,
    name: Option<Name>,
    labels: Selector,
    fields: FieldSelector,
    is_namespaced: bool,
    /// What is selected by when the objects are converted: their fields are then found as they are spoken, not as stored.
    converted_fields: Option<FieldSelector>,
    /// A field that must have one value: the store can be asked for just those.
    indexed: Option<IndexKey>,
}

impl Selection {
    /// What a request selects.
    pub(super) fn new(call: &Call, options: &ListOptions) -> Self {
        let definition = &call.path.served.definition;
        let (fields, converted_fields) = match definition.converter {
            None => (options.fields.clone(), None),
            Some(_) => options.fields.clone().split(),
        };
        let exact = |field: &str| options.fields.exact(field).map(Name::from);
        Self {
            resource: definition.resource,
            namespace: call.path.namespace.clone().or_else(|| exact("metadata.namespace")),
            name: call.path.name.clone().or_else(|| exact("metadata.name")),
            labels: options.labels.clone(),
            indexed: definition.selectable_fields().filter(|field| is_indexed(definition.resource, field)).find_map(
                |field| {
                    let value = fields.exact(field)?.into();
                    Some(IndexKey::Field { resource: definition.resource, field, value })
                },
            ),
            fields,
            converted_fields,
            is_namespaced: definition.scope == Scope::Namespaced,
        }
    }

    /// What the objects are to be selected by once they are converted.
    pub(super) fn converted_fields(&self) -> Option<&FieldSelector> {
        self.converted_fields.as_ref()
    }

    /// Refuses what would have to be converted to be selected.
    ///
    /// # Errors
    /// `BadRequest` where it is selected by such fields.
    pub(super) fn require_stored_fields(&self) -> Result<(), Status> {
        match self.converted_fields {
            None => Ok(()),
            Some(_) => Err(Status::bad_request(
                "objects that a webhook converts are not deleted by their fields: list them, and delete them by name",
            )),
        }
    }

    /// The same of another resource type, whose objects have the same names and labels.
    pub(super) fn of_resource(self, resource: ResourceType) -> Self {
        Self { resource, indexed: None, ..self }
    }

    /// Whether it takes every object of its place.
    pub(super) fn takes_all(&self) -> bool {
        self.converted_fields.is_none()
            && self.name.is_none()
            && self.labels.requirements.is_empty()
            && self.fields.is_empty()
    }

    /// Whether it takes an object of its place.
    pub(super) fn takes(&self, object: &Object) -> bool {
        self.labels.matches(&object.metadata().labels) && self.fields.matches(object)
    }

    /// What a watcher of it is told.
    pub(super) fn scope(&self) -> WatchScope {
        WatchScope { resource: self.resource, namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The objects it takes, in order, those after `after` alone, at most `limit`.
    pub(super) fn of(&self, snapshot: &Snapshot, after: Option<&ObjectKey>, limit: usize) -> Vec<Arc<Object>> {
        if let Some(key) = self.single_key() {
            let found = snapshot.get(&key).filter(|object| self.takes(object));
            return found.filter(|_| after.is_none_or(|after| *after < key)).cloned().into_iter().collect();
        }
        if let Some(index) = &self.indexed {
            let place = snapshot.index(index).filter(|object| after.is_none_or(|after| after < object.key()));
            let scope = self.scope();
            return place.filter(|it| scope.holds(it.key()) && self.takes(it)).take(limit).cloned().collect();
        }
        let place = snapshot.list(self.resource, self.namespace.as_deref(), after);
        let named = place.filter(|object| self.name.as_ref().is_none_or(|name| *name == object.key().name));
        named.filter(|object| self.takes(object)).take(limit).cloned().collect()
    }

    /// The one key it can take, where place and name are given.
    fn single_key(&self) -> Option<ObjectKey> {
        let name = self.name.clone()?;
        let placed = self.namespace.is_some() || !self.is_namespaced;
        placed.then(|| ObjectKey { resource: self.resource, namespace: self.namespace.clone(), name })
    }

    /// How many objects of its place come after a key.
    pub(super) fn remaining(&self, snapshot: &Snapshot, after: &ObjectKey) -> usize {
        snapshot.list(self.resource, self.namespace.as_deref(), Some(after)).count()
    }
}
