//! The resource types served.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ResourceDefinition, ServedVersion};
use crate::object::ResourceType;

/// The resource types served: built-in ones registered at start, custom ones as they come and go.
#[derive(Default, Clone)]
pub struct Registry {
    definitions: BTreeMap<ResourceType, Arc<ResourceDefinition>>,
    /// What a resource type is in versions in which it behaves otherwise.
    variants: BTreeMap<ResourceType, Vec<(&'static str, Arc<ResourceDefinition>)>>,
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

    /// Adds or replaces a resource type that may behave otherwise in each version: its validation, columns and subresources
    /// are the version's own. `definition` is what it is in the version stored.
    pub fn register_by_version(
        &mut self,
        definition: ResourceDefinition,
        variants: Vec<(&'static str, ResourceDefinition)>,
    ) {
        let resource = definition.resource;
        let variants = variants.into_iter().map(|(version, variant)| (version, Arc::new(variant)));
        self.variants.insert(resource, variants.collect());
        self.register(definition);
    }

    /// Takes a resource type away.
    pub fn remove(&mut self, resource: ResourceType) {
        self.definitions.remove(&resource);
        self.variants.remove(&resource);
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
            let spoken = |it: &&ServedVersion| it.is_served && it.group == group && it.version == version;
            let served = definition.versions.iter().find(spoken)?;
            Some(Served { definition: self.in_version(definition, served.version).clone(), version: served.clone() })
        })
    }

    /// What a resource type is in one of its versions.
    pub fn in_version<'a>(
        &'a self,
        definition: &'a Arc<ResourceDefinition>,
        version: &str,
    ) -> &'a Arc<ResourceDefinition> {
        let mut variants = self.variants.get(&definition.resource).into_iter().flatten();
        variants.find(|(of, _)| *of == version).map_or(definition, |(_, variant)| variant)
    }
}
