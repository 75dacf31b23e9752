//! New objects that are alike but for their names, such as the pods of one template: what was found out of the first of them holds
//! of all.

use serde_json::{Map, Value};

use super::{Action, Body, Mutation};
use crate::entropy::Entropy;
use crate::object::{Draft, ResourceType};
use crate::resource::{
    MUTATING_ADMISSION_POLICIES, MUTATING_WEBHOOK_CONFIGURATIONS, ResourceDefinition, VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS, read,
};
use crate::store::{Change, CommitCondition, Precondition, Put, Snapshot};

/// Who looks at objects by rules a user wrote, which may speak of names.
const JUDGES: [ResourceType; 4] = [
    MUTATING_ADMISSION_POLICIES,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
];

/// The last new object that one caller made on one snapshot, at one instant: the next may be its twin.
#[derive(Debug, Default)]
pub struct Twins(Option<Elder>);

#[derive(Debug)]
struct Elder {
    /// As it was asked for.
    body: Value,
    draft: Draft,
    conditions: Vec<CommitCondition>,
}

impl Twins {
    /// The creation of an object that differs from the last one in its name alone.
    pub fn twin(&self, snapshot: &Snapshot, entropy: &mut dyn Entropy, mutation: &Mutation) -> Option<Change> {
        let (elder, body) = (self.0.as_ref()?, new_object(mutation)?);
        let name = read::text(body, "/metadata/name");
        let key = mutation.target.key(name);
        let of_elder = elder.draft.key();
        let is_twin =
            (key.resource, &key.namespace) == (of_elder.resource, &of_elder.namespace) && is_alike(body, &elder.body);
        let is_well_named = || mutation.target.served.definition.strategy.name_faults(name).is_empty();
        if name.is_empty() || !is_twin || !is_well_named() || snapshot.get(&key).is_some() {
            return None;
        }
        let draft = elder.draft.twin(key, &entropy.uuid())?;
        Some(creation(draft, elder.conditions.clone()))
    }

    /// Keeps what came of a mutation, where others may be made like it.
    pub fn keep(&mut self, snapshot: &Snapshot, mutation: &Mutation, changes: &[Change]) {
        let definition = &mutation.target.served.definition;
        self.0 = None;
        if let (Some(body), [Change { put: Put::Object(draft), conditions, .. }]) = (new_object(mutation), changes)
            && is_judged_without_name(definition, snapshot)
        {
            self.0 = Some(Elder { body: body.clone(), draft: (**draft).clone(), conditions: conditions.clone() });
        }
    }
}

fn creation(draft: Draft, conditions: Vec<CommitCondition>) -> Change {
    let key = draft.key().clone();
    Change { key, precondition: Precondition::Absent, put: Put::Object(Box::new(draft)), conditions }
}

/// The object a mutation is to make, where our own code built it.
fn new_object(mutation: &Mutation) -> Option<&Value> {
    match &mutation.action {
        Action::Create(Body::Value(body)) if mutation.target.name.is_none() && !mutation.options.dry_run => Some(body),
        _ => None,
    }
}

fn is_judged_without_name(definition: &ResourceDefinition, snapshot: &Snapshot) -> bool {
    definition.strategy.is_blind_to_names() && JUDGES.iter().all(|judges| snapshot.count(*judges) == 0)
}

/// Whether two objects say the same but for their names.
fn is_alike(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return false };
    is_alike_but(one, other, "metadata")
        && match (one.get("metadata"), other.get("metadata")) {
            (Some(Value::Object(one)), Some(Value::Object(other))) => is_alike_but(one, other, "name"),
            _ => false,
        }
}

fn is_alike_but(one: &Map<String, Value>, other: &Map<String, Value>, but: &str) -> bool {
    let others = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(but));
    others(one) == others(other)
        && one.iter().all(|(field, value)| field == but || other.get(field).is_some_and(|its| its == value))
}
