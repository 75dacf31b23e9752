//! What is proved of the operator: every crash, conflict and late wake-up in worlds where maps come, change and go.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use sampan::conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan::core::Timestamp;
use sampan::core::object::ObjectKey;
use sampan::core::operator::{Kind as _, Operator};
use sampan::core::store::Snapshot;
use serde_json::{Value, json};

use crate::ConfigRollout;
use crate::plan::{CHECKSUM, CONFIG_MAP};

/// The checksums of the maps in these worlds, told apart from the code that makes them.
const CHECKSUMS: [(&str, &str); 3] =
    [("blue", "00dfe7ef2a78498e"), ("green", "c214764b3d8b574f"), ("red", "9481d30266625abf")];

/// The suite of the operator: `configrollout conformance configrollout` runs it, and so does its test.
pub fn suite() -> Suite {
    suite_of(ConfigRollout)
}

/// The same of another operator in its place: one that is broken must not get through.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    sampan::suite_of(operator)
        .spec("one replica", deployment(1))
        .spec("three replicas", deployment(3))
        .beside(map("blue"))
        .incidental(|object| {
            // A Deployment's status is another operator's.
            object.as_object_mut().and_then(|fields| fields.remove("status"));
            true
        })
        .at_rest("pods are made with what the map holds", pods_follow_their_map)
        .world(|world| of(world, "edited").holding(map("blue")).with(editor()))
        .world(|world| of(world, "missing").with(editor()))
        .world(|world| of(world, "renamed").holding(map("blue")).with(renamer()))
}

fn of(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world.holding(deployment(1))
}

fn deployment(replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "annotations": {CONFIG_MAP: "settings"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]}}},
    })
}

fn map(colour: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"},
        "data": {"colour": colour}})
}

/// Changes the map, deletes it, and brings it back: twice in all.
fn editor() -> Actor {
    actors::rare(2, "editor", |snapshot, _| {
        let key = ObjectKey::namespaced(ConfigMap::RESOURCE, "default", "settings");
        let Some(found) = snapshot.get(&key) else {
            return vec![Deed { what: "the map comes back".to_owned(), edit: Edit::Create(map("green")) }];
        };
        let mut changed = found.value();
        changed["data"]["colour"] = json!("red");
        vec![
            actors::deed(found, "is changed", Edit::Update(changed)),
            actors::deed(found, "is deleted", Edit::Delete(key)),
        ]
    })
}

/// Names another map in the Deployment, or none.
fn renamer() -> Actor {
    actors::rare(2, "user", |snapshot, _| {
        let Some(web) = snapshot.get(&ObjectKey::namespaced(Deployment::RESOURCE, "default", "web")) else {
            return Vec::new();
        };
        let named = |name: Value| {
            let mut named = web.value();
            named["metadata"]["annotations"][CONFIG_MAP] = name;
            named
        };
        let mut freed = web.value();
        freed["metadata"]["annotations"] = json!({});
        vec![
            actors::deed(web, "names another map", Edit::Update(named(json!("other")))),
            actors::deed(web, "names no map", Edit::Update(freed)),
        ]
    })
}

/// The template carries the checksum of what is in the map, where there is one.
fn pods_follow_their_map(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(web) = snapshot.get(&ObjectKey::namespaced(Deployment::RESOURCE, "default", "web")) else { return Ok(()) };
    let web = web.value();
    let name = web["metadata"]["annotations"][CONFIG_MAP].as_str().unwrap_or_default();
    let Some(map) = snapshot.get(&ObjectKey::namespaced(ConfigMap::RESOURCE, "default", name)) else { return Ok(()) };
    let told = &web["spec"]["template"]["metadata"]["annotations"][CHECKSUM];
    let (_, expected) =
        CHECKSUMS.into_iter().find(|(colour, _)| map.value()["data"]["colour"] == *colour).unwrap_or_default();
    if told == expected { Ok(()) } else { Err(format!("the checksum is {told}, should be {expected}")) }
}
