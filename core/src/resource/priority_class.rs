//! PriorityClasses: how important pods are.

use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::fill::fill;
use super::read::{integer, is_true, text};
use super::table::age;
use super::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::object::{Object, ObjectKey, ResourceType};
use crate::status::StatusCause;
use crate::store::Snapshot;

/// The resource type.
pub const PRIORITY_CLASSES: ResourceType = ResourceType::new("scheduling.k8s.io", "priorityclasses");

/// The most important that users may make their pods.
const USER_PRIORITY_MAX: i64 = 1_000_000_000;
/// The start of names that are not for users.
const SYSTEM_PREFIX: &str = "system-";

/// The classes every cluster has: name, priority and what they are for.
pub const SYSTEM_PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

struct PriorityClassStrategy;

/// What a PriorityClass is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("scheduling.k8s.io", "v1", "io.k8s.api.scheduling.v1.PriorityClass");
    ResourceDefinition {
        short_names: &["pc"],
        scope: Scope::Cluster,
        has_generation: true,
        ..ResourceDefinition::plain(PRIORITY_CLASSES, "PriorityClass", "priorityclass", version, PriorityClassStrategy)
    }
}

impl Strategy for PriorityClassStrategy {
    fn default(&self, object: &mut Value) {
        fill(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let class = Field::root(object);
        let (name, value) = (class.at("metadata").at("name"), class.at("value"));
        if name.text().starts_with(SYSTEM_PREFIX) {
            if let Some(why) = system_fault(object) {
                let reserved = "priority class names with 'system-' prefix are reserved for system use only. error: ";
                faults.forbidden(&name, format!("{reserved}{why}"));
            }
        } else if integer(object, "/value") > USER_PRIORITY_MAX {
            let why = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
            faults.forbidden(&value, why);
        }
        faults.one_of_if_set(&class.at("preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (class, before) = (Field::root(object), Field::root(old));
        faults.frozen(&class.at("value"), &before.at("value"), "may not be changed in an update.");
        faults.immutable(&class.at("preemptionPolicy"), &before.at("preemptionPolicy"));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::integer("Value", "How important its pods are."),
            Column::boolean("Global-Default", "Whether pods that name no class have this one."),
            Column::age(),
            Column::text("PreemptionPolicy", "Whether its pods push others off a node.").wide(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![
            integer(object, "/value").into(),
            is_true(object, "/globalDefault").into(),
            age(object, now),
            text(object, "/preemptionPolicy").into(),
        ]
    }
}

/// What makes a class with a reserved name none of the system's.
fn system_fault(object: &Value) -> Option<String> {
    let name = text(object, "/metadata/name");
    let Some((_, value, _)) = SYSTEM_PRIORITY_CLASSES.iter().find(|(known, ..)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if integer(object, "/value") != *value {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    is_true(object, "/globalDefault").then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

/// What a pod is given by its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassPriority {
    /// The class; empty where there is none.
    pub(crate) class: String,
    pub(crate) value: i64,
    pub(crate) preemption: String,
}

/// The priority of a class, or of the default one where the name is empty. `None` where there is no such class.
pub(crate) fn priority_of(class: &str, snapshot: &Snapshot) -> Option<ClassPriority> {
    let of = |object: &Object| {
        let value = object.value();
        ClassPriority {
            class: text(&value, "/metadata/name").to_owned(),
            value: integer(&value, "/value"),
            preemption: text(&value, "/preemptionPolicy").to_owned(),
        }
    };
    if class.is_empty() {
        let defaults =
            snapshot.list(PRIORITY_CLASSES, None, None).filter(|object| is_true(&object.value(), "/globalDefault"));
        let least = defaults.map(|object| of(object)).min_by_key(|priority| priority.value);
        let none = ClassPriority { class: String::new(), value: 0, preemption: "PreemptLowerPriority".to_owned() };
        return Some(least.unwrap_or(none));
    }
    if let Some(object) = snapshot.get(&ObjectKey::cluster(PRIORITY_CLASSES, class)) {
        return Some(of(object));
    }
    let (name, value, _) = SYSTEM_PRIORITY_CLASSES.into_iter().find(|(name, ..)| *name == class)?;
    Some(ClassPriority { class: name.to_owned(), value, preemption: "PreemptLowerPriority".to_owned() })
}
