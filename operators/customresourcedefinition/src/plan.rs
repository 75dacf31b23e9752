//! A definition, the names that are taken, and what that asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames,
};
use sampan_core::object::Object;
use serde_json::Value;

use crate::resource::CLEANUP;

/// The most deletions one step asks for, below what one commit may hold.
const DELETIONS_MAX: usize = 400;

/// Names in a group. Plural, singular and short names are of one space, kinds of another.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) resources: BTreeSet<String>,
    pub(crate) kinds: BTreeSet<String>,
}

impl Names {
    /// Adds the names a definition has been given.
    pub(crate) fn take(&mut self, definition: &CustomResourceDefinition) {
        let Some(names) = definition.status.as_ref().and_then(|status| status.accepted_names.as_ref()) else { return };
        let resources = [Some(&names.plural), names.singular.as_ref()].into_iter().flatten();
        self.resources.extend(resources.chain(names.short_names.iter().flatten()).filter(|it| !it.is_empty()).cloned());
        let kinds = [Some(&names.kind), names.list_kind.as_ref()].into_iter().flatten();
        self.kinds.extend(kinds.filter(|it| !it.is_empty()).cloned());
    }
}

/// A name another has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// Why, for machines.
    pub(crate) reason: &'static str,
    /// Why, for people.
    pub(crate) message: String,
}

/// One look at a definition.
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) definition: Arc<CustomResourceDefinition>,
    /// The names others have in its group, where it does not have its own yet.
    pub(crate) taken: Names,
    /// Its objects, where it is being deleted.
    pub(crate) instances: Vec<Arc<Object>>,
}

impl View {
    pub(crate) fn is_deleted(&self) -> bool {
        self.definition.metadata.deletion_timestamp.is_some()
    }

    /// Whether this operator still holds the definition.
    pub(crate) fn is_held(&self) -> bool {
        self.definition.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == CLEANUP)
    }

    pub(crate) fn is(&self, condition: &str) -> bool {
        let conditions = self.definition.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|it| it.type_ == condition && it.status == "True")
    }

    /// Whether it was given the very names it asks for.
    pub(crate) fn has_its_names(&self) -> bool {
        let accepted = self.definition.status.as_ref().and_then(|status| status.accepted_names.as_ref());
        self.is("NamesAccepted") && accepted == Some(&self.definition.spec.names)
    }

    /// Whether its type is served, as far as its status says.
    pub(crate) fn is_served(&self) -> bool {
        self.is("NamesAccepted") || self.is("Established")
    }

    /// Whether names are to be found for it: those it asks for, or any while objects are left that nobody can delete, because
    /// somebody took away what says that their type is served.
    pub(crate) fn seeks_names(&self) -> bool {
        match self.is_deleted() {
            true => !self.is_served() && !self.instances.is_empty(),
            false => !self.has_its_names(),
        }
    }

    /// The names it may have: those it asks for, and where another has one, that which it had.
    pub(crate) fn settle_names(&self) -> (CustomResourceDefinitionNames, Option<Conflict>) {
        let wanted = &self.definition.spec.names;
        let accepted = self.definition.status.as_ref().and_then(|status| status.accepted_names.clone());
        let mut given = accepted.unwrap_or_default();
        let mut conflict = None;
        let mut free = |name: &str, taken: &BTreeSet<String>, reason: &'static str| {
            let is_free = !taken.contains(name);
            if !is_free && conflict.is_none() {
                conflict = Some(Conflict { reason, message: format!("{name:?} is already in use") });
            }
            is_free
        };
        let (resources, kinds) = (&self.taken.resources, &self.taken.kinds);
        if free(&wanted.plural, resources, "PluralConflict") {
            given.plural.clone_from(&wanted.plural);
        }
        let singular = wanted.singular.as_deref().unwrap_or_default();
        if free(singular, resources, "SingularConflict") {
            given.singular.clone_from(&wanted.singular);
        }
        if wanted.short_names.iter().flatten().all(|name| free(name, resources, "ShortNamesConflict")) {
            given.short_names.clone_from(&wanted.short_names);
        }
        if free(&wanted.kind, kinds, "KindConflict") {
            given.kind.clone_from(&wanted.kind);
        }
        if free(wanted.list_kind.as_deref().unwrap_or_default(), kinds, "ListKindConflict") {
            given.list_kind.clone_from(&wanted.list_kind);
        }
        given.categories.clone_from(&wanted.categories);
        (given, conflict)
    }

    /// What is to be deleted next: whatever is not yet on its way out, while the type is served.
    pub(crate) fn deletable(&self) -> Vec<Arc<Object>> {
        let served = self.instances.iter().filter(|_| self.is_served());
        let staying = served.filter(|object| !object.metadata().is_terminating());
        staying.take(DELETIONS_MAX).cloned().collect()
    }
}

/// The definition without the finalizer of this operator.
pub(crate) fn without_finalizer(mut object: Value) -> Value {
    if let Some(finalizers) = object.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(|finalizer| finalizer != CLEANUP);
    }
    object
}
