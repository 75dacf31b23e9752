//! From changes to the keys they wake.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use super::queue::OperatorId;
use super::{Declaration, Mapping, Watch};
use crate::object::selector::Selector;
use crate::object::{Object, ObjectKey, OwnerReference, Revision};
use crate::resource::{NAMESPACES, Registry, Scope};
use crate::store::{Event, IndexKey, Snapshot, WatchChange};
use crate::vital::panic_text;

/// Where a change is looked at: the cluster after it, and what is served.
pub(super) struct Surroundings<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) registry: &'a Registry,
}

/// A mapping function that panicked.
pub(super) struct MappingPanic(pub(super) String);

/// Maps changes to the primaries they wake, by the operators' declared watches.
#[derive(Clone, Default)]
pub(super) struct Router {
    declarations: Vec<(OperatorId, Arc<Declaration>)>,
    selectors: Selectors,
}

/// The label selectors of primaries, read once per revision.
#[derive(Clone, Default)]
struct Selectors(BTreeMap<ObjectKey, (Revision, Option<Selector>)>);

impl Router {
    /// Adds what an operator watches.
    pub(super) fn add(&mut self, operator: OperatorId, declaration: Arc<Declaration>) {
        self.declarations.push((operator, declaration));
    }

    /// Removes an operator: nothing wakes it any more.
    pub(super) fn remove(&mut self, operator: OperatorId) {
        self.declarations.retain(|(owner, _)| *owner != operator);
    }

    /// The keys a change wakes, each once per operator, and the operators whose mapping panicked.
    pub(super) fn route(
        &mut self,
        event: &Event,
        around: &Surroundings<'_>,
    ) -> Vec<(OperatorId, Result<Vec<ObjectKey>, MappingPanic>)> {
        if let WatchChange::Removed(object) = &event.change {
            self.selectors.0.remove(object.key());
        }
        let mut woken = Vec::new();
        let changed = Changed::new(&event.change);
        for (operator, declaration) in &self.declarations {
            match map(declaration, &changed, around, &mut self.selectors) {
                Ok(keys) if keys.is_empty() => {}
                mapped => woken.push((*operator, mapped)),
            }
        }
        woken
    }

    /// The keys an operator is woken for at start by objects that are there, and whether its mapping panicked.
    pub(super) fn left_for(
        &mut self,
        operator: OperatorId,
        around: &Surroundings<'_>,
    ) -> Vec<(ObjectKey, Result<Vec<ObjectKey>, MappingPanic>)> {
        let Some((_, declaration)) = self.declarations.iter().find(|(id, _)| *id == operator) else {
            return Vec::new();
        };
        let heard = declaration.watches.iter().filter(|watch| watch.from_start);
        let of_start = Declaration { watches: heard.cloned().collect(), ..Declaration::clone(declaration) };
        let resources = of_start.watches.iter().filter_map(|watch| watch.resource);
        let objects: Vec<&Arc<Object>> =
            resources.flat_map(|resource| around.snapshot.list(resource, None, None)).collect();
        let woken = objects.into_iter().map(|object| {
            let change = WatchChange::Added(object.clone());
            (object.key().clone(), map(&of_start, &Changed::new(&change), around, &mut self.selectors))
        });
        woken.collect()
    }
}

/// A change: the old value and the new, as leaving a selector wakes as entering does.
struct Changed<'e> {
    change: &'e WatchChange,
    values: Vec<Value<'e>>,
}

/// An object before or after a change, with what several operators ask of it.
struct Value<'e> {
    object: &'e Arc<Object>,
    owners: OnceCell<Vec<ObjectKey>>,
}

impl<'e> Changed<'e> {
    fn new(change: &'e WatchChange) -> Self {
        let objects = match change {
            WatchChange::Added(object) | WatchChange::Removed(object) => vec![object],
            WatchChange::Modified { before, after } => vec![before, after],
        };
        let values = objects.into_iter().map(|object| Value { object, owners: OnceCell::new() });
        Self { change, values: values.collect() }
    }
}

impl Value<'_> {
    /// Where its owners are found.
    fn owners(&self, registry: &Registry) -> &[ObjectKey] {
        self.owners.get_or_init(|| {
            let references = self.object.metadata().owner_references.iter();
            references.filter_map(|owner| owner_key(owner, self.object, registry)).collect()
        })
    }
}

fn map(
    declaration: &Declaration,
    changed: &Changed<'_>,
    around: &Surroundings<'_>,
    selectors: &mut Selectors,
) -> Result<Vec<ObjectKey>, MappingPanic> {
    let mut keys = Vec::new();
    let resource = changed.change.object().key().resource;
    for watch in declaration.watches.iter().filter(|watch| watch.resource.is_none_or(|it| it == resource)) {
        if !is_heeded(watch, changed.change)? {
            continue;
        }
        for value in &changed.values {
            let object = value.object;
            match &watch.wakes {
                Mapping::Owner => {
                    let owners = value.owners(around.registry).iter();
                    keys.extend(owners.filter(|owner| declaration.is_primary(owner.resource)).cloned());
                }
                Mapping::Itself => keys.extend(itself(declaration, object)?),
                Mapping::SelectedBy(pointer) => {
                    keys.extend(selected_by(declaration, object, pointer, around, selectors));
                }
                Mapping::Dependents => keys.extend(dependents(declaration, object, around)),
                Mapping::ItsNamespace => keys.extend(its_namespace(object)),
                Mapping::Function(function) => keys.extend(guarded(|| function(object, around.snapshot))?),
                Mapping::Nobody { .. } => {}
            }
        }
    }
    // In the order their mappings gave them: who is first may matter to the operator.
    let mut woken = BTreeSet::new();
    keys.retain(|key| woken.insert(key.clone()));
    Ok(keys)
}

fn is_heeded(watch: &Watch, change: &WatchChange) -> Result<bool, MappingPanic> {
    match (watch.heeds, change) {
        (Some(heeds), WatchChange::Modified { before, after }) => guarded(|| heeds(before, after)),
        _ => Ok(true),
    }
}

fn guarded<T>(function: impl FnOnce() -> T) -> Result<T, MappingPanic> {
    catch_unwind(AssertUnwindSafe(function)).map_err(|payload| MappingPanic(panic_text(&*payload)))
}

/// Whether an operator has work with an object, by what is known of it without decoding it.
pub(super) fn concerns(declaration: &Declaration, object: &Object) -> Result<bool, MappingPanic> {
    declaration.concerns.as_ref().map_or(Ok(true), |concerns| guarded(|| concerns(object)))
}

fn itself(declaration: &Declaration, object: &Object) -> Result<Option<ObjectKey>, MappingPanic> {
    let is_primary = declaration.is_primary(object.key().resource);
    Ok((is_primary && concerns(declaration, object)?).then(|| object.key().clone()))
}

/// Where the owner a reference names is found, if its kind is served.
pub(super) fn owner_key(owner: &OwnerReference, object: &Object, registry: &Registry) -> Option<ObjectKey> {
    let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
    let definition = registry.served_kind(group, version, &owner.kind)?.definition;
    let namespace = match definition.scope {
        Scope::Namespaced => object.key().namespace.clone(),
        Scope::Cluster => None,
    };
    Some(ObjectKey { resource: definition.resource, namespace, name: owner.name.clone() })
}

fn selected_by(
    declaration: &Declaration,
    object: &Object,
    pointer: &str,
    around: &Surroundings<'_>,
    selectors: &mut Selectors,
) -> Vec<ObjectKey> {
    let (Some(primary), None) = (declaration.primary, object.metadata().controller()) else {
        return Vec::new();
    };
    let candidates = around.snapshot.list(primary, object.key().namespace.as_deref(), None);
    let selecting = candidates.filter(|candidate| selectors.matches(candidate, pointer, object));
    selecting.map(|candidate| candidate.key().clone()).collect()
}

impl Selectors {
    fn matches(&mut self, primary: &Object, pointer: &str, object: &Object) -> bool {
        let known = self.0.get(primary.key()).is_some_and(|(revision, _)| *revision == primary.revision());
        if !known {
            let selector = read_selector(primary, pointer);
            self.0.insert(primary.key().clone(), (primary.revision(), selector));
        }
        let selector = self.0.get(primary.key()).and_then(|(_, selector)| selector.as_ref());
        selector.is_some_and(|selector| selector.matches(&object.metadata().labels))
    }
}

fn read_selector(primary: &Object, pointer: &str) -> Option<Selector> {
    let value = primary.value();
    let written = LabelSelector::deserialize(value.pointer(pointer)?).ok()?;
    Selector::try_from(&written).ok()
}

fn dependents(declaration: &Declaration, object: &Object, around: &Surroundings<'_>) -> Vec<ObjectKey> {
    let index = IndexKey::Owner(object.metadata().uid.clone());
    let dependents = around.snapshot.index(&index).map(|dependent| dependent.key().clone());
    dependents.filter(|key| declaration.is_primary(key.resource)).collect()
}

fn its_namespace(object: &Object) -> Option<ObjectKey> {
    let name = object.key().namespace.clone()?;
    Some(ObjectKey { resource: NAMESPACES, namespace: None, name })
}
