//! The resource types served.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ResourceDefinition, ServedVersion};
use crate::object::ResourceType;

/// The resource types served: built-in ones registered at start, custom ones as they come and go.
#[derive(Default, Clone)]
pub struct Registry {
    definitions: BTreeMap<ResourceType, Arc<ResourceDefinition>>,
}

/// A resource type in one of the versions it is served in.
#[derive(Clone)]
pub struct Served {
    /// The resource type.
    pub definition: Arc<ResourceDefinition>,
    /// Which of its versions.
    pub version: ServedVersion,
}

impl Registry {
    /// Adds or replaces a resource type.
    pub fn register(&mut self, definition: ResourceDefinition) {
        self.definitions.insert(definition.resource, Arc::new(definition));
    }

    /// The definition of a stored resource type.
    pub fn definition(&self, resource: ResourceType) -> Option<&Arc<ResourceDefinition>> {
        self.definitions.get(&resource)
    }

    /// All definitions, by group and plural name.
    pub fn definitions(&self) -> impl Iterator<Item = &Arc<ResourceDefinition>> {
        self.definitions.values()
    }

    /// What is served at `/apis/{group}/{version}/…/{plural}`.
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        self.find(group, version, |definition| definition.resource.plural == plural)
    }

    /// What serves objects of that `apiVersion` and `kind`.
    pub fn served_kind(&self, group: &str, version: &str, kind: &str) -> Option<Served> {
        self.find(group, version, |definition| definition.kind == kind)
    }

    fn find(&self, group: &str, version: &str, fits: impl Fn(&ResourceDefinition) -> bool) -> Option<Served> {
        self.definitions.values().filter(|definition| fits(definition)).find_map(|definition| {
            let served = definition.versions.iter().find(|it| it.group == group && it.version == version)?;
            Some(Served { definition: definition.clone(), version: served.clone() })
        })
    }
}
