//! What a plugin may read and write, and its states: its spec, as the resource types that are served make sense of it.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sampan_machine::{ANY, Chart, Edge, State, lasting};
use serde::Deserialize as _;
use serde_json::Value;

use super::spec::{KindName, PluginSpec, VerbSpec, WatchSpec, Way};
use crate::object::selector::Selector;
use crate::object::{Object, ObjectKey, ResourceType};
use crate::operator::{Declaration, Mapping, Watch, WriteVerb, Writes};
use crate::resource::{EFFECTS, MANIFEST_FILES, Registry, Scope, Served};
use crate::store::Snapshot;

/// What tells of what Sampan has done: whoever could write it could have anything done.
const BOOKS: [ResourceType; 2] = [EFFECTS, MANIFEST_FILES];

/// The guard of every transition, where a plugin declares none.
pub(super) const OBSERVED: &str = "observed";

/// What a plugin may read and write, and its states.
#[derive(Clone)]
pub struct Charter {
    /// As operators declare it.
    pub declaration: Declaration,
    /// Its states and edges.
    pub chart: &'static Chart,
    /// The kind it is the operator of.
    pub primary: ResourceType,
    /// The kinds whose objects it owns.
    pub owns: Vec<ResourceType>,
    pub(super) looks: Vec<Look>,
}

/// Objects that are read beside the primary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) resource: ResourceType,
    pub(super) is_namespaced: bool,
    pub(super) way: Way,
    /// Where in the primary what they are found by stands.
    pub(super) field: &'static str,
}

/// Why a plugin cannot run yet, or at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// A kind is not served.
    #[error("the kind {kind} of {api_version} is not served yet")]
    Unserved {
        /// Its `apiVersion`.
        api_version: String,
        /// Its kind.
        kind: String,
    },
    /// Its objects are in whichever version they were stored in: what a plugin reads is not converted.
    #[error("{kind} of {api_version} is converted by a webhook: a plugin reads it in the version that is stored alone")]
    Converted {
        /// Its `apiVersion`.
        api_version: String,
        /// Its kind.
        kind: String,
    },
    /// What is watched cannot be found this way.
    #[error("{kind} cannot be watched by {way}: that takes a primary and a kind that live in namespaces")]
    NoNamespace {
        /// The kind.
        kind: String,
        /// The way.
        way: &'static str,
    },
    /// What is to be written is told by Sampan alone.
    #[error("{kind} is told of by Sampan alone: a plugin does not write it")]
    Bookkeeping {
        /// The kind.
        kind: String,
    },
    /// Its states and edges do not fit together.
    #[error("its states and edges do not fit: {0}")]
    Chart(String),
}

impl Charter {
    /// The charter of the plugin of that name.
    ///
    /// # Errors
    /// Where a kind is not served, or the spec does not fit it.
    pub fn new(name: &str, spec: &PluginSpec, registry: &Registry) -> Result<Self, CharterError> {
        let name = lasting(name);
        let (primary, scope) = served(&spec.primary, registry)?;
        let owns = spec.owns.iter().map(|kind| written(kind, registry)).collect::<Result<Vec<_>, _>>()?;
        let looks = spec.watches.iter().map(|watch| look(watch, scope, registry)).collect::<Result<Vec<_>, _>>()?;
        let mut declaration = Declaration { primary: Some(primary), ..Declaration::of_everything(name) };
        declaration.watches = watches(primary, &owns, &looks);
        declaration.writes = writes(primary, &owns);
        for permission in &spec.writes {
            let resource = written(&permission.kind, registry)?;
            declaration.writes.extend(permission.verbs.iter().map(|verb| write(resource, *verb)));
            // What it may change it may read: an apply looks first whether the object is there.
            let because = "it is read to be written, on behalf of what else is watched";
            declaration.watches.push(Watch::of(Some(resource), Mapping::Nobody { because }));
        }
        Ok(Self { declaration, chart: chart(name, spec)?, primary, owns, looks })
    }

    /// Whether the plugin may do this to objects of the resource type that it does not own.
    pub(super) fn may_touch(&self, spec: &PluginSpec, verb: VerbSpec, kind: &str, api_version: &str) -> bool {
        let fits = |name: &KindName| name.kind == kind && name.api_version == api_version;
        spec.writes.iter().any(|writes| fits(&writes.kind) && writes.verbs.contains(&verb))
    }
}

fn served(name: &KindName, registry: &Registry) -> Result<(ResourceType, Scope), CharterError> {
    let (api_version, kind) = (name.api_version.clone(), name.kind.clone());
    let Some(Served { definition, version }) = name.served(registry) else {
        return Err(CharterError::Unserved { api_version, kind });
    };
    let is_stored = definition.stored_version().is_some_and(|stored| stored.version == version.version);
    match definition.converter.is_some() && !is_stored {
        true => Err(CharterError::Converted { api_version, kind }),
        false => Ok((definition.resource, definition.scope)),
    }
}

/// A kind that is to be written.
fn written(name: &KindName, registry: &Registry) -> Result<ResourceType, CharterError> {
    let (resource, _) = served(name, registry)?;
    match BOOKS.contains(&resource) {
        true => Err(CharterError::Bookkeeping { kind: name.kind.clone() }),
        false => Ok(resource),
    }
}

fn look(watch: &WatchSpec, primary: Scope, registry: &Registry) -> Result<Look, CharterError> {
    let (resource, scope) = served(&watch.kind, registry)?;
    let is_namespaced = scope == Scope::Namespaced;
    let both = primary == Scope::Namespaced && is_namespaced;
    let way = match watch.by {
        Way::Name if both || !is_namespaced => Ok(Way::Name),
        Way::Name => Err("Name"),
        Way::Selector if both => Ok(Way::Selector),
        Way::Selector => Err("Selector"),
        Way::Namespace if both => Ok(Way::Namespace),
        Way::Namespace => Err("Namespace"),
        Way::Everywhere => Ok(Way::Everywhere),
    };
    let way = way.map_err(|way| CharterError::NoNamespace { kind: watch.kind.kind.clone(), way })?;
    Ok(Look { resource, is_namespaced, way, field: lasting(&watch.field) })
}

fn watches(primary: ResourceType, owns: &[ResourceType], looks: &[Look]) -> Vec<Watch> {
    let mut watches = vec![Watch::of(Some(primary), Mapping::Itself)];
    watches.extend(owns.iter().map(|owned| Watch::of(Some(*owned), Mapping::Owner)));
    for look in looks.iter().copied() {
        let wakes = Mapping::function(move |object, snapshot| concerned(primary, look, object, snapshot));
        watches.push(Watch::of(Some(look.resource), wakes));
    }
    watches
}

/// The primaries that look at the object.
fn concerned(primary: ResourceType, look: Look, object: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let namespace = object.key().namespace.as_deref().filter(|_| look.way != Way::Everywhere);
    let primaries = snapshot.list(primary, namespace, None);
    let looks = primaries.filter(|primary| match look.way {
        Way::Name => named_at(&primary.value(), look.field) == Some(&object.key().name),
        Way::Selector => {
            selector_at(&primary.value(), look.field).is_some_and(|it| it.matches(&object.metadata().labels))
        }
        Way::Namespace | Way::Everywhere => true,
    });
    looks.map(|primary| primary.key().clone()).collect()
}

/// The name at a field of the primary.
pub(super) fn named_at<'v>(primary: &'v Value, field: &str) -> Option<&'v str> {
    primary.pointer(field)?.as_str().filter(|name| !name.is_empty())
}

/// The label selector at a field of the primary.
pub(super) fn selector_at(primary: &Value, field: &str) -> Option<Selector> {
    let written = LabelSelector::deserialize(primary.pointer(field)?).ok()?;
    Selector::try_from(&written).ok()
}

fn writes(primary: ResourceType, owns: &[ResourceType]) -> Vec<Writes> {
    let mut writes = vec![Writes { resource: Some(primary), verb: WriteVerb::UpdateStatus }];
    for owned in owns {
        let verbs = [WriteVerb::Create, WriteVerb::Update, WriteVerb::Delete];
        writes.extend(verbs.map(|verb| Writes { resource: Some(*owned), verb }));
    }
    writes
}

fn write(resource: ResourceType, verb: VerbSpec) -> Writes {
    let verb = match verb {
        VerbSpec::Create => WriteVerb::Create,
        VerbSpec::Update => WriteVerb::Update,
        VerbSpec::Delete => WriteVerb::Delete,
    };
    Writes { resource: Some(resource), verb }
}

fn chart(name: &'static str, spec: &PluginSpec) -> Result<&'static Chart, CharterError> {
    let states = spec.states.iter().map(|state| State { name: lasting(&state.name), meaning: lasting(&state.meaning) });
    let mut edges: Vec<Edge> = spec
        .edges
        .iter()
        .map(|edge| Edge { from: lasting(&edge.from), to: lasting(&edge.to), guard: lasting(&edge.guard) })
        .collect();
    if edges.is_empty() {
        edges.push(Edge { from: ANY, to: ANY, guard: OBSERVED });
    }
    let chart = Chart::learnt(name, states.collect(), edges);
    chart.check().map_err(|error| CharterError::Chart(error.0))?;
    Ok(chart)
}

/// Shared by the steps of one plugin.
pub(super) type SharedCharter = Arc<Charter>;
