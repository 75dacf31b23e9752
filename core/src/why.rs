//! Why an object is as it is, and what it waits for: answered from origins, decisions and what objects say of themselves, never from
//! Events.

use std::collections::BTreeMap;

use sampan_machine::{Decision, Unmet};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::{Object, ObjectKey};
use crate::operator::RUNS;
use crate::resource::MANIFEST_FILES;
use crate::store::{IndexKey, Origin, Snapshot};

/// How many steps a chain is followed: no object has so many ancestors.
const CHAIN_MAX: usize = 16;
/// How many levels of dependents are shown, and how many dependents.
const LEVELS_MAX: usize = 4;
const DEPENDENTS_MAX: usize = 200;
/// How many of the latest decisions are shown of each object.
const DECISIONS_SHOWN: usize = 8;

/// Where an object's decisions are read from.
pub type Decisions<'a> = dyn Fn(&ObjectKey) -> Vec<Decision> + 'a;

/// Why an object is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The object as `resource.group/namespace/name`.
    pub object: String,
    /// The revision of its last change.
    pub revision: u64,
    /// Where its last change came from.
    pub changed_by: Option<Origin>,
    /// Which manifest or client changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<Origin>,
    /// From the object back to the manifest line or the user it comes from.
    pub chain: Vec<Link>,
    /// What it waits for, by operator.
    pub waiting_for: Vec<Waiting>,
    /// The latest decisions about it, newest last.
    pub decisions: Vec<Decision>,
    /// What exists because of it.
    pub dependents: Vec<Dependent>,
}

/// One step back: an object, and what created it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The object.
    pub object: String,
    /// What created it.
    pub created_by: Origin,
    /// The decision that created it, where one did and is still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// What an object waits for, as one operator sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The object.
    pub object: String,
    /// The operator.
    pub operator: String,
    /// The state it is in.
    pub state: String,
    /// The guards that do not hold.
    pub unmet: Vec<Unmet>,
}

/// An object that exists because of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependent {
    /// The object.
    pub object: String,
    /// How many owners lie between.
    pub level: usize,
    /// What it waits for.
    pub waiting_for: Vec<Waiting>,
}

/// Why the object of that key is as it is; `None` where there is none and nothing is remembered of it.
pub fn explain(snapshot: &Snapshot, decisions: &Decisions<'_>, key: &ObjectKey) -> Option<Explanation> {
    let own = decisions(key);
    let object = snapshot.get(key);
    let mut waiting_for = waiting(key, &own);
    match object {
        Some(object) => waiting_for.extend(held(object)),
        None => waiting_for.extend(refused(snapshot, key)),
    }
    if object.is_none() && own.is_empty() && waiting_for.is_empty() {
        return None;
    }
    let latest = own.len().saturating_sub(DECISIONS_SHOWN);
    Some(Explanation {
        object: key.to_string(),
        revision: object.map_or(0, |object| object.revision().0),
        changed_by: snapshot.origins(key).map(|origins| (*origins.changed).clone()),
        asked_by: snapshot.origins(key).map(|origins| (*origins.asked).clone()),
        chain: chain(snapshot, decisions, key),
        waiting_for,
        decisions: own.into_iter().skip(latest).collect(),
        dependents: object.map(|object| dependents(snapshot, decisions, object)).unwrap_or_default(),
    })
}

/// Follows the origins of creation back to where no decision stands behind one.
fn chain(snapshot: &Snapshot, decisions: &Decisions<'_>, key: &ObjectKey) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut next = Some(key.clone());
    while let Some(key) = next.take().filter(|_| links.len() < CHAIN_MAX) {
        let Some(origins) = snapshot.origins(&key) else { break };
        let created_by = (*origins.created).clone();
        let mut decision = None;
        if let Origin::Decision { operator, object, snapshot: at } = &created_by {
            next = ObjectKey::parse(object).filter(|parent| *parent != key);
            let of_parent = next.as_ref().map(decisions).unwrap_or_default();
            decision = of_parent.into_iter().find(|it| it.operator == *operator && it.snapshot == *at);
        }
        links.push(Link { object: key.to_string(), created_by, decision });
    }
    links
}

/// What the latest decision of each operator waits for. Whether operators run is not for decisions to tell: a restart decides
/// nothing where there is nothing to do.
fn waiting(key: &ObjectKey, decisions: &[Decision]) -> Vec<Waiting> {
    let latest: BTreeMap<&str, &Decision> =
        decisions.iter().map(|decision| (decision.operator.as_str(), decision)).collect();
    let is_ours = |decision: &&Decision| decision.unmet.iter().any(|unmet| unmet.guard != RUNS);
    let waits = latest.into_values().filter(is_ours);
    waits
        .map(|decision| Waiting {
            object: key.to_string(),
            operator: decision.operator.clone(),
            state: decision.to.clone(),
            unmet: decision.unmet.clone(),
        })
        .collect()
}

/// What an object waits for by what it says itself: one that is deleted for its finalizers, a file for what is wrong with it.
fn held(object: &Object) -> Option<Waiting> {
    let metadata = object.metadata();
    let (operator, state, unmet) = match object.key().resource {
        MANIFEST_FILES => ("manifests", "Refused", problems(object).collect()),
        _ if metadata.is_terminating() && !metadata.finalizers.is_empty() => {
            let names: Vec<&str> = metadata.finalizers.iter().map(|name| &**name).collect();
            let detail = format!("whoever put {} there has not removed it", names.join(", "));
            ("deletion", "Terminating", vec![unmet("no finalizer is left", detail)])
        }
        _ => return None,
    };
    let (object, operator, state) = (object.key().to_string(), operator.to_owned(), state.to_owned());
    (!unmet.is_empty()).then_some(Waiting { object, operator, state, unmet })
}

/// What keeps an object from being there: files that name it and are refused.
fn refused(snapshot: &Snapshot, key: &ObjectKey) -> Vec<Waiting> {
    let names_it = |unmet: &Unmet| unmet.detail.split(['/', ' ', ':', '"']).any(|word| word == &*key.name);
    let files = snapshot.list(MANIFEST_FILES, None, None).filter_map(|file| {
        let unmet: Vec<Unmet> = problems(file).filter(names_it).collect();
        let (object, operator, state) = (file.key().to_string(), "manifests".to_owned(), "Refused".to_owned());
        (!unmet.is_empty()).then_some(Waiting { object, operator, state, unmet })
    });
    files.collect()
}

fn problems(file: &Object) -> impl Iterator<Item = Unmet> {
    let value = file.value();
    let problems = value.pointer("/status/problems").and_then(Value::as_array).cloned().unwrap_or_default();
    let name = file.key().name.clone();
    problems.into_iter().map(move |problem| {
        let number = |field: &str| problem.get(field).and_then(Value::as_u64).unwrap_or_default();
        let message = problem.get("message").and_then(Value::as_str).unwrap_or_default();
        unmet("its manifest is accepted", format!("{name}:{}:{}: {message}", number("line"), number("column")))
    })
}

fn unmet(guard: &str, detail: String) -> Unmet {
    Unmet { guard: guard.to_owned(), detail, until: None }
}

/// What names the object as its owner, and what names that, level by level.
fn dependents(snapshot: &Snapshot, decisions: &Decisions<'_>, object: &Object) -> Vec<Dependent> {
    let mut found = Vec::new();
    let mut owners = vec![object.metadata().uid.clone()];
    for level in 1..=LEVELS_MAX {
        let mut below = Vec::new();
        for owner in owners {
            for object in snapshot.index(&IndexKey::Owner(owner)) {
                if found.len() == DEPENDENTS_MAX {
                    return found;
                }
                let key = object.key();
                let waiting_for = waiting(key, &decisions(key)).into_iter().chain(held(object)).collect();
                found.push(Dependent { object: key.to_string(), level, waiting_for });
                below.push(object.metadata().uid.clone());
            }
        }
        owners = below;
    }
    found
}
