//! The aggregation of cluster roles under proof: roles that are parts of others come, change and go.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use sampan_conformance::{Deed, Edit, Suite, World};
use sampan_core::Timestamp;
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::ClusterRoleAggregation;

const CLUSTER_ROLES: ResourceType = ResourceType::new("rbac.authorization.k8s.io", "clusterroles");

fn role(name: &str, part_of: &str, resource: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"part-of": part_of}},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}],
    })
}

/// A role made of those that are part of another, or of it.
fn whole(name: &str, part_of: &str, parts_of: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"part-of": part_of}},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"part-of": parts_of}}]},
    })
}

fn value(snapshot: &Snapshot, name: &str) -> Option<Value> {
    Some(snapshot.get(&ObjectKey::cluster(CLUSTER_ROLES, name))?.value())
}

/// The resources a role allows to get, in order.
fn resources(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let rules = value(snapshot, name).and_then(|role| role.get("rules")?.as_array().cloned()).unwrap_or_default();
    let mut found: Vec<String> =
        rules.iter().filter_map(|rule| Some(rule["resources"][0].as_str()?.to_owned())).collect();
    found.sort();
    found
}

fn changed(snapshot: &Snapshot, name: &str, what: &str, change: impl FnOnce(&mut Value)) -> Vec<Deed> {
    let Some(mut role) = value(snapshot, name) else { return Vec::new() };
    let before = role.clone();
    change(&mut role);
    if role == before {
        return Vec::new();
    }
    vec![Deed { what: format!("{name} {what}"), edit: Edit::Update(role) }]
}

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(ClusterRoleAggregation)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    let of_others = |name: &str| whole("edit", "nothing", name);
    Suite::of(operator)
        .beside(role("writer", "edit", "secrets"))
        .beside(role("reader", "view", "pods"))
        .spec("made of its own parts", of_others("edit"))
        .spec("made of the parts of another", of_others("view"))
        .spec("plain", role("edit", "nothing", "nodes"))
        .world(chain)
        .world(becoming)
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// `view` is part of `edit`; roles come, change and go.
fn chain(world: World) -> World {
    named(world, "chain")
        .holding(whole("edit", "nothing", "edit"))
        .holding(whole("view", "edit", "view"))
        .holding(role("writer", "edit", "secrets"))
        .actor_times(1, "maker", |snapshot, _| {
            let reader = value(snapshot, "reader").is_none().then(|| role("reader", "view", "pods"));
            let made = reader.map(|it| Deed { what: "reader is created".to_owned(), edit: Edit::Create(it) });
            made.into_iter().collect()
        })
        .actor_times(1, "user", |snapshot, _| {
            changed(snapshot, "writer", "allows something else", |role| {
                role["rules"][0]["resources"] = json!(["nodes"])
            })
        })
        .actor_times(1, "another user", |snapshot, _| {
            changed(snapshot, "reader", "is part of edit alone", |role| {
                role["metadata"]["labels"]["part-of"] = "edit".into()
            })
        })
        .at_rest("edit is made of view and its own parts", edit_is_made_of_its_parts)
}

/// A role begins and ceases to be made of others.
fn becoming(world: World) -> World {
    named(world, "becoming")
        .holding(role("view", "nothing", "nodes"))
        .holding(role("reader", "view", "pods"))
        .actor_times(2, "user", |snapshot, _| {
            let is_whole = value(snapshot, "view").is_some_and(|role| role.get("aggregationRule").is_some());
            let what = if is_whole { "is plain" } else { "is made of others" };
            changed(snapshot, "view", what, |role| match is_whole {
                true => drop(role.as_object_mut().and_then(|fields| fields.remove("aggregationRule"))),
                false => role["aggregationRule"] = whole("view", "nothing", "view")["aggregationRule"].clone(),
            })
        })
        .at_rest("a role made of others has their rules", |snapshot, _| {
            let is_whole = value(snapshot, "view").is_some_and(|role| role.get("aggregationRule").is_some());
            if !is_whole || resources(snapshot, "view") == ["pods"] { Ok(()) } else { Err("it has others".into()) }
        })
}

fn edit_is_made_of_its_parts(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let reader = value(snapshot, "reader").map(|role| role["metadata"]["labels"]["part-of"].clone());
    let mut expected = resources(snapshot, "writer");
    let has_view = value(snapshot, "view").is_some();
    let of_view: &[&str] = if reader == Some(json!("view")) && has_view { &["pods"] } else { &[] };
    if reader == Some(json!("edit")) || !of_view.is_empty() {
        expected.push("pods".to_owned());
    }
    expected.sort();
    let is_whole = value(snapshot, "edit").is_none() || resources(snapshot, "edit") == expected;
    match (resources(snapshot, "view") == of_view, is_whole) {
        (true, true) => Ok(()),
        _ => Err(format!("view: {:?}, edit: {:?}", resources(snapshot, "view"), resources(snapshot, "edit"))),
    }
}
