//! The resource types served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::custom::{Digest, Learnt};
use super::{ResourceDefinition, Scope, ServedVersion};
use crate::object::{ObjectKey, ResourceType};
use crate::store::Indexing;

/// The resource types served: built-in ones registered at start, custom ones as they come and go.
#[derive(Default, Clone)]
pub struct Registry {
    definitions: BTreeMap<ResourceType, Arc<ResourceDefinition>>,
    custom: BTreeMap<ResourceType, Custom>,
    /// Kinds that were served and are not any more, by group.
    retired: BTreeSet<(&'static str, &'static str)>,
}

/// What is known of a custom resource type beside its definition.
#[derive(Clone)]
struct Custom {
    /// What it was learnt from.
    from: Digest,
    /// What it is in each version: validation, columns and subresources are the version's own.
    variants: Vec<(&'static str, Arc<ResourceDefinition>)>,
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

    /// Adds or replaces a resource type learnt from its definition.
    pub fn register_learnt(&mut self, learnt: Learnt, from: Digest) {
        let resource = learnt.definition.resource;
        let variants = learnt.variants.into_iter().map(|(version, variant)| (version, Arc::new(variant))).collect();
        self.custom.insert(resource, Custom { from, variants });
        self.register(learnt.definition);
    }

    /// What a custom resource type was learnt from.
    pub fn learnt_from(&self, resource: ResourceType) -> Option<Digest> {
        self.custom.get(&resource).map(|custom| custom.from)
    }

    /// The custom resource types.
    pub fn custom(&self) -> impl Iterator<Item = ResourceType> {
        self.custom.keys().copied()
    }

    /// Takes a resource type away.
    pub fn remove(&mut self, resource: ResourceType) {
        if let Some(definition) = self.definitions.remove(&resource) {
            self.retired.insert((resource.group, definition.kind));
        }
        self.custom.remove(&resource);
    }

    /// The definition of a stored resource type.
    pub fn definition(&self, resource: ResourceType) -> Option<&Arc<ResourceDefinition>> {
        self.definitions.get(&resource)
    }

    /// How what objects are found by is read by the built-in resource types of this binary. Those of custom ones are where their
    /// paths say, whoever reads them.
    pub fn indexing(&self) -> Indexing {
        let registry = self.clone();
        let read = move |resource, object: &Value| Some(registry.definition(resource)?.index_values(object));
        Indexing::new(env!("SAMPAN_INDEXING"), Arc::new(read))
    }

    /// All definitions, by group and plural name.
    pub fn definitions(&self) -> impl Iterator<Item = &Arc<ResourceDefinition>> {
        self.definitions.values()
    }

    /// The object somebody names: its resource type by plural, singular, short name or kind, with or without its group. Of objects
    /// of the cluster the namespace is not looked at.
    pub fn key_of(&self, word: &str, namespace: &str, name: &str) -> Option<ObjectKey> {
        let word = word.to_ascii_lowercase();
        let (word, group) = word.split_once('.').map_or((word.as_str(), None), |(word, group)| (word, Some(group)));
        let named = self.definitions().find(|definition| {
            let is_called = word == definition.resource.plural
                || word == definition.singular
                || definition.short_names.contains(&word)
                || definition.kind.eq_ignore_ascii_case(word);
            is_called && group.is_none_or(|group| group == definition.resource.group)
        })?;
        Some(match named.scope {
            Scope::Namespaced => ObjectKey::namespaced(named.resource, namespace, name),
            Scope::Cluster => ObjectKey::cluster(named.resource, name),
        })
    }

    /// Whether a kind of a group is served, or was: then an object of it that is not in the store does not exist. Of any other
    /// kind nobody here can tell.
    pub fn knows_kind(&self, group: &str, kind: &str) -> bool {
        let is_it = |definition: &Arc<ResourceDefinition>| {
            definition.kind == kind && definition.versions.iter().any(|version| version.group == group)
        };
        self.definitions.values().any(is_it) || self.retired.iter().any(|retired| *retired == (group, kind))
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
        let custom = self.custom.get(&definition.resource);
        let mut variants = custom.iter().flat_map(|custom| &custom.variants);
        variants.find(|(of, _)| *of == version).map_or(definition, |(_, variant)| variant)
    }
}
