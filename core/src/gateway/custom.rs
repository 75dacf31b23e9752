//! The custom resource types served, as their definitions come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Gateway;
use crate::object::{Object, ResourceType};
use crate::resource::Registry;
use crate::resource::custom::{CUSTOM_RESOURCE_DEFINITIONS, Digest, learn, resource_of};
use crate::store::{Event, Snapshot, WatchChange};

/// What becomes of a resource type.
type Learning = (ResourceType, Option<Arc<Object>>);

impl Gateway {
    /// Brings the custom resource types served to what is defined in a snapshot: at start, and where changes were missed.
    pub fn learn(&self, snapshot: &Snapshot) {
        let defined = snapshot.list(CUSTOM_RESOURCE_DEFINITIONS, None, None);
        let defined: BTreeMap<ResourceType, &Arc<Object>> = defined.map(|it| (resource_of(it.key()), it)).collect();
        let registry = self.registry();
        let gone = registry.custom().filter(|resource| !defined.contains_key(resource)).map(|gone| (gone, None));
        let there = defined.iter().map(|(resource, definition)| (*resource, Some(Arc::clone(definition))));
        self.follow(gone.chain(there).collect());
    }

    /// Brings the custom resource types served to what definitions say after changes: only what has changed is read.
    pub fn hear(&self, events: &[Arc<Event>]) {
        let of_definitions = events.iter().filter(|event| event.key.resource == CUSTOM_RESOURCE_DEFINITIONS);
        let latest: BTreeMap<ResourceType, Option<Arc<Object>>> = of_definitions
            .map(|event| match &event.change {
                WatchChange::Added(after) | WatchChange::Modified { after, .. } => {
                    (resource_of(&event.key), Some(after.clone()))
                }
                WatchChange::Removed(_) => (resource_of(&event.key), None),
            })
            .collect();
        self.follow(latest.into_iter().collect());
    }

    fn follow(&self, learnings: Vec<Learning>) {
        let registry = self.registry();
        let stale: Vec<&Learning> = learnings.iter().filter(|learning| is_news(&registry, learning)).collect();
        if stale.is_empty() {
            return;
        }
        let mut next = Registry::clone(&registry);
        stale.into_iter().for_each(|learning| apply(&mut next, learning));
        self.replace_registry(next);
    }
}

/// Whether the registry does not say so yet. A built-in resource type stays what it is, whatever is defined.
fn is_news(registry: &Registry, (resource, definition): &Learning) -> bool {
    let is_built_in = registry.definition(*resource).is_some_and(|known| known.defined_by.is_none());
    let learnt_from = registry.learnt_from(*resource);
    !is_built_in && learnt_from != definition.as_deref().map(Digest::of)
}

fn apply(registry: &mut Registry, (resource, definition): &Learning) {
    registry.remove(*resource);
    let Some(definition) = definition else { return };
    match learn(definition) {
        Ok(Some(learnt)) => registry.register_learnt(learnt, Digest::of(definition)),
        Ok(None) => {}
        Err(error) => tracing::error!(definition = %definition.key(), %error, "a custom resource type is not served"),
    }
}
