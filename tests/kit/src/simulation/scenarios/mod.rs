//! Scenarios: what users do one after the other, so that what chance alone rarely leads to is met in every few runs.
//!
//! Each is a file of acts, each with the second it is due at. They are played among all that users and faults do
//! beside them, in a namespace of the scenario's name. When nobody disturbs the cluster any more, their objects are deleted.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use sampan_core::gateway::{Action, DeleteOptions, PatchKind, Propagation, Subresource};
use sampan_core::manifest;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::Scope;
use sampan_core::store::Event;
use serde_json::{Value, json};

use super::clients::{Desk, Wish};
use super::laws::is_of;
use super::node::Mishap;

/// A run plays every so manieth of them: as many seeds in a row play each once.
pub(super) const APART: u64 = 4;
/// What finalizers begin with that no operator knows.
const OTHERS_FINALIZER: &str = "example.com/";

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        /// Each scenario's name and acts.
        const SCENARIOS: &[(&str, &str)] = &[$(($name, include_str!(concat!($name, ".yaml")))),*];
        /// The names of all, for reports.
        pub(in super::super) const NAMES: &[&str] = &[$($name),*];
    };
}

scenarios![
    "budgets",
    "claims",
    "crons",
    "definitions",
    "deployments",
    "jobs",
    "namespaces",
    "nodes",
    "placements",
    "pods",
    "preemptions",
    "quotas",
    "replicas",
    "roles",
    "services",
    "sets",
    "volumes",
];

/// Something a scenario has somebody do.
#[derive(Debug, Clone)]
pub(super) struct Act {
    /// When, after the beginning.
    pub(super) at: SignedDuration,
    /// The scenario.
    pub(super) scenario: &'static str,
    deed: Value,
}

/// What is done in the run of a seed.
pub(super) fn acts(seed: u64) -> Vec<Act> {
    let played =
        SCENARIOS.iter().enumerate().filter(|(index, _)| (*index as u64).wrapping_add(seed).is_multiple_of(APART));
    played.flat_map(|(_, (name, text))| read(name, text)).collect()
}

fn read(scenario: &'static str, text: &str) -> Vec<Act> {
    let found = manifest::value(text).unwrap_or_else(|problem| panic!("{scenario}: {problem:?}"));
    let act = |deed: &Value| {
        let seconds = deed["at"].as_f64().unwrap_or_else(|| panic!("{scenario}: an act has no time: {deed}"));
        Act { at: SignedDuration::from_secs_f64(seconds), scenario, deed: deed.clone() }
    };
    found.as_array().into_iter().flatten().map(act).collect()
}

/// After an operator's next commit in a scenario's namespace, or about something of the cluster, operators get no time for a while:
/// whatever happens meanwhile, its machine sees it all at once.
#[derive(Debug)]
pub(super) struct Stall {
    operator: String,
    scenario: &'static str,
    /// For how long.
    pub(super) lasting: SignedDuration,
}

impl Stall {
    /// Whether the change is what it waits for.
    pub(super) fn follows(&self, event: &Event) -> bool {
        let is_here = event.key.namespace.as_deref().is_none_or(|namespace| namespace == self.scenario);
        is_here && is_of(event, &self.operator)
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, lasting, .. } = self;
        write!(formatter, "after the next commit of {operator}, operators get no time for {lasting}")
    }
}

/// What an act comes to.
pub(super) enum Move {
    /// Somebody writes.
    Wish(Box<Wish>),
    /// Operators are to get no time for a while.
    Stall(Stall),
    /// Something befalls a node.
    Mishap(String, Mishap),
}

impl Desk<'_> {
    /// What an act comes to; `None` where there is nothing it could be about.
    pub(super) fn play(&self, act: &Act) -> Option<Move> {
        let deed = &act.deed;
        let lasting = SignedDuration::from_secs(deed["for"].as_i64().unwrap_or_default());
        if let Some(operator) = deed["stall"].as_str() {
            return Some(Move::Stall(Stall { operator: operator.to_owned(), scenario: act.scenario, lasting }));
        }
        if let Some(fault) = deed["fault"].as_str() {
            return Some(Move::Mishap(deed["on"].as_str()?.to_owned(), Mishap::lasting(fault, lasting)?));
        }
        self.write(act.scenario, deed).map(|wish| Move::Wish(Box::new(wish)))
    }

    fn write(&self, scenario: &'static str, deed: &Value) -> Option<Wish> {
        if let Some(object) = deed.get("apply") {
            let key = self.key_of_manifest(scenario, object)?;
            let what = format!("{key} is applied");
            let mut object = object.clone();
            self.fill_in_uids(scenario, &mut object);
            if let Some(namespace) = &key.namespace {
                object["metadata"]["namespace"] = json!(&**namespace);
            }
            return self.patch(scenario, key, Subresource::Whole, PatchKind::Apply, object, what);
        }
        if let Some(of) = deed.get("merge") {
            let key = self.key_named(scenario, of)?;
            let subresource = if deed["status"] == json!(true) { Subresource::Status } else { Subresource::Whole };
            let mut change = deed["with"].clone();
            self.fill_in_uids(scenario, &mut change);
            let what = format!("{key} is changed: {change}");
            return self.patch(scenario, key, subresource, PatchKind::Merge, change, what);
        }
        if let Some(of) = deed.get("evict") {
            let key = self.key_named(scenario, of)?;
            let what = format!("{key} is to be evicted");
            let action = Action::Evict(DeleteOptions::default());
            return Some(self.wish_of(scenario, &key, Subresource::Named("eviction"), action, what));
        }
        let key = self.key_named(scenario, deed.get("delete")?)?;
        let propagation = match deed["propagation"].as_str() {
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Foreground") => Some(Propagation::Foreground),
            _ => None,
        };
        let options = DeleteOptions { propagation, grace_seconds: deed["grace"].as_i64(), ..DeleteOptions::default() };
        let what = format!("{key} is deleted, {propagation:?}");
        Some(self.wish_of(scenario, &key, Subresource::Whole, Action::Delete(options), what))
    }

    /// `uid of claim/data` stands for that object's uid.
    fn fill_in_uids(&self, scenario: &str, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill_in_uids(scenario, item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill_in_uids(scenario, field)),
            Value::String(text) => {
                let named = text.strip_prefix("uid of ").map(|named| json!(named));
                let found = named.and_then(|named| self.snapshot.get(&self.key_named(scenario, &named)?));
                if let Some(object) = found {
                    object.metadata().uid.as_str().clone_into(text);
                }
            }
            _ => {}
        }
    }

    fn key_of_manifest(&self, scenario: &str, object: &Value) -> Option<ObjectKey> {
        let (group, version) = match object["apiVersion"].as_str()?.split_once('/') {
            Some((group, version)) => (group, version),
            None => ("", object["apiVersion"].as_str()?),
        };
        let served = self.gateway.registry().served_kind(group, version, object["kind"].as_str()?)?;
        let (definition, name) = (&served.definition, object["metadata"]["name"].as_str()?);
        Some(match definition.scope {
            Scope::Cluster => ObjectKey::cluster(definition.resource, name),
            Scope::Namespaced => {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or(scenario);
                ObjectKey::namespaced(definition.resource, namespace, name)
            }
        })
    }

    /// Such as `deployment/web`, or `pods app=web` for the first of these in the scenario's namespace.
    fn key_named(&self, scenario: &str, of: &Value) -> Option<ObjectKey> {
        let of = of.as_str()?;
        if let Some((word, name)) = of.split_once('/') {
            let key = self.gateway.registry().key_of(word, scenario, name)?;
            return self.snapshot.get(&key).map(|object| object.key().clone());
        }
        let (word, (label, value)) = of.split_once(' ').and_then(|(word, rest)| Some((word, rest.split_once('=')?)))?;
        let resource = self.gateway.registry().key_of(word, scenario, "any")?.resource;
        let is_it = |object: &&Arc<Object>| {
            let labels = &object.metadata().labels;
            labels.get(label).is_some_and(|found| **found == *value) && !object.metadata().is_terminating()
        };
        self.snapshot.list(resource, Some(scenario), None).find(is_it).map(|object| object.key().clone())
    }

    /// Everything the scenarios of a run made goes.
    pub(super) fn clearing(&self, acts: &[Act]) -> Vec<Wish> {
        let held =
            |object: &&Arc<Object>| object.value()["metadata"]["finalizers"].to_string().contains(OTHERS_FINALIZER);
        let resources: Vec<_> = self.snapshot.resources().collect();
        let all = || resources.iter().flat_map(|resource| self.snapshot.list(*resource, None, None));
        let mut wishes: Vec<Wish> = all().filter(held).filter_map(|object| self.freeing(object)).collect();
        let applied = acts.iter().filter_map(|act| Some((act.scenario, act.deed.get("apply")?)));
        let keys = applied.filter_map(|(scenario, object)| self.key_of_manifest(scenario, object));
        let of_cluster = keys.filter(|key| key.namespace.is_none()).collect::<std::collections::BTreeSet<_>>();
        for key in of_cluster.into_iter().filter(|key| self.snapshot.get(key).is_some()) {
            let (action, what) = (Action::Delete(DeleteOptions::default()), format!("{key} is deleted"));
            wishes.push(self.wish_of("repair", &key, Subresource::Whole, action, what));
        }
        wishes
    }

    /// Whoever held an object lets go of it.
    fn freeing(&self, object: &Arc<Object>) -> Option<Wish> {
        let value = object.value();
        let kept = value["metadata"]["finalizers"].as_array()?.iter();
        let kept: Vec<&Value> =
            kept.filter(|it| !it.as_str().unwrap_or_default().starts_with(OTHERS_FINALIZER)).collect();
        let what = format!("{} is held no longer", object.key());
        let body = json!({"metadata": {"finalizers": kept}});
        self.patch("repair", object.key().clone(), Subresource::Whole, PatchKind::Merge, body, what)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_is_played_once_in_so_many_seeds() {
        let played: Vec<&str> = (0..APART).flat_map(|seed| acts(seed).into_iter().map(|act| act.scenario)).collect();
        assert_eq!(played.iter().copied().collect::<BTreeSet<_>>(), NAMES.iter().copied().collect());
        let all: usize = SCENARIOS.iter().map(|(name, text)| read(name, text).len()).sum();
        assert_eq!(played.len(), all);
    }
}
