//! Custom resource types in several versions that a webhook converts between: what is stored, what is shown, who is asked.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod answers;
mod world;

use sampan_core::gateway::{Action, Body, DeleteOptions, PatchKind, Subresource};
use sampan_core::object::ObjectKey;
use serde_json::{Value, json};

use crate::world::{DOORS, World, unreachable};

fn merge(patch: Value) -> Action {
    Action::Patch(PatchKind::Merge, Body::Value(patch))
}

#[test]
fn what_is_written_in_one_version_is_stored_in_the_one_that_is_stored_and_shown_in_each() {
    let world = World::new();
    world.create_in_v2();
    assert_eq!(world.asked(), ["1x v1"]);
    let stored = world.stored();
    assert_eq!((&stored["apiVersion"], &stored["spec"]), (&json!("example.com/v1"), &json!({"address": "a:80"})));
    assert_eq!(world.spoken("v1"), stored);
    assert_eq!(world.asked(), Vec::<String>::new(), "who speaks what is stored asks nobody");
    let shown = world.spoken("v2");
    assert_eq!((&shown["apiVersion"], &shown["spec"]), (&json!("example.com/v2"), &json!({"host": "a", "port": "80"})));
    assert_eq!(shown["metadata"], stored["metadata"]);
    assert_eq!(world.asked(), ["1x v2"]);
}

#[test]
fn a_change_is_made_in_the_version_that_is_spoken() {
    let world = World::new();
    world.create_in_v2();
    world.asked();
    world.write("v2", merge(json!({"spec": {"port": "81"}}))).unwrap();
    assert_eq!(world.stored()["spec"], json!({"address": "a:81"}));
    assert_eq!(world.asked(), ["1x v2", "1x v1"]);
    world.write("v1", merge(json!({"spec": {"address": "b:81"}}))).unwrap();
    assert_eq!(world.asked(), Vec::<String>::new(), "who speaks what is stored asks nobody");
    let refused = world.write("v2", merge(json!({"spec": {"port": 7}}))).unwrap_err();
    assert!(refused.message.contains("spec.port"), "{refused}: it is checked by the schema that is spoken");

    let applied =
        json!({"apiVersion": "example.com/v2", "kind": "Door", "metadata": {"name": "front"}, "spec": {"host": "c"}});
    world.write("v2", Action::Patch(PatchKind::Apply, Body::Value(applied))).unwrap_err();
    let mut whole = world.spoken("v2");
    whole["spec"]["host"] = json!("d");
    world.write("v2", Action::Update(Body::Value(whole))).unwrap();
    assert_eq!(world.stored()["spec"], json!({"address": "d:81"}));
    let generation = world.stored()["metadata"]["generation"].clone();
    world.write_at("v2", Subresource::Status, merge(json!({"status": {"open": true}}))).unwrap();
    let stored = world.stored();
    assert_eq!((&stored["status"], &stored["spec"]), (&json!({"open": true}), &json!({"address": "d:81"})));
    assert_eq!(stored["metadata"]["generation"], generation, "the status is no wish");
    world.asked();
    world.write("v2", merge(json!({"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}}))).unwrap();
    assert_eq!(world.asked(), ["1x v2"], "what changes nothing is not converted back");
}

#[test]
fn an_apply_sets_fields_of_the_version_it_speaks() {
    let world = World::new();
    let applied = |spec: Value| {
        let object =
            json!({"apiVersion": "example.com/v2", "kind": "Door", "metadata": {"name": "front"}, "spec": spec});
        world.write("v2", Action::Patch(PatchKind::Apply, Body::Value(object)))
    };
    applied(json!({"host": "a", "port": "80"})).unwrap();
    assert_eq!(world.stored()["spec"], json!({"address": "a:80"}));
    let managed = &world.stored()["metadata"]["managedFields"][0];
    assert_eq!(managed["apiVersion"], "example.com/v2");
    assert_eq!(managed["fieldsV1"]["f:spec"], json!({"f:host": {}, "f:port": {}}));
    applied(json!({"host": "b", "port": "80"})).unwrap();
    assert_eq!(world.stored()["spec"], json!({"address": "b:80"}));
}

#[test]
fn a_deletion_asks_nobody() {
    let world = World::new();
    world.create_in_v2();
    world.write("v1", merge(json!({"metadata": {"finalizers": ["example.com/hold"]}}))).unwrap();
    world.answer_by(unreachable);
    world.asked();
    world.write("v2", Action::Delete(DeleteOptions::default())).unwrap();
    assert!(world.stored()["metadata"]["deletionTimestamp"].is_string());
    world.write("v1", merge(json!({"metadata": {"finalizers": null}}))).unwrap();
    assert!(world.cluster.snapshot().get(&ObjectKey::namespaced(DOORS, "default", "front")).is_none());
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[test]
fn an_object_stays_in_the_version_it_was_stored_in_until_it_is_written() {
    let world = World::new();
    world.create_in_v2();
    world.define(Action::Update, "v2");
    world.asked();
    assert_eq!(world.stored()["apiVersion"], "example.com/v1");
    assert_eq!(world.spoken("v2")["spec"]["host"], "a");
    assert_eq!(world.asked(), ["1x v2"]);
    world.write("v2", merge(json!({"spec": {"port": "81"}}))).unwrap();
    assert_eq!(
        world.stored()["spec"],
        json!({"host": "a", "port": "81", "lock": "none"}),
        "what is stored has defaults"
    );
    assert_eq!(world.asked(), ["1x v2"], "it is stored as it is spoken");
    assert_eq!(world.spoken("v1")["spec"], json!({"address": "a:81"}));
}

#[test]
fn a_write_that_changes_nothing_brings_an_object_to_the_version_that_is_stored() {
    let world = World::new();
    world.create_in_v2();
    world.define(Action::Update, "v2");
    assert_eq!(world.stored()["apiVersion"], "example.com/v1");
    let shown = world.spoken("v2");
    world.write("v2", Action::Update(Body::Value(shown))).unwrap();
    assert_eq!(world.stored()["apiVersion"], "example.com/v2", "as those who migrate storage rely on");
}

#[test]
fn a_list_is_one_question_about_what_is_in_another_version() {
    let world = World::new();
    world.create_in_v2();
    world.asked();
    let (stored, spoken) = (world.stored(), world.spoken("v2"));
    world.asked();
    let mut other = stored.clone();
    other["metadata"]["name"] = json!("back");
    other["spec"]["address"] = json!("b:443");
    let converted = world.spoken_all("v2", vec![stored, spoken.clone(), other]).unwrap();
    assert_eq!(world.asked(), ["2x v2"]);
    let names: Vec<&Value> = converted.iter().map(|door| &door["metadata"]["name"]).collect();
    assert_eq!(names, ["front", "front", "back"]);
    assert_eq!(converted[1], spoken);
    assert_eq!(converted[2]["spec"], json!({"host": "b", "port": "443"}));
}

#[test]
fn a_webhook_of_admission_sees_the_version_it_is_about() {
    let world = World::new();
    let rule =
        json!({"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["doors"]});
    let webhook = json!({"name": "guard.example.com", "rules": [rule], "sideEffects": "None",
        "clientConfig": {"url": "https://guard.example.com"}, "admissionReviewVersions": ["v1"]});
    let configuration = json!({"metadata": {"name": "guard"}, "webhooks": [webhook]});
    let kind = ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations");
    world.mutate(kind, None, None, Subresource::Whole, Action::Create(Body::Value(configuration))).unwrap();
    world.create_in_v2();
    assert_eq!(world.asked(), ["1x v1", "guard.example.com sees v1", "1x v1"], "first for it, then for the store");
}

#[test]
fn a_policy_judges_the_version_it_is_about() {
    let world = World::new();
    let kind = |plural| ("admissionregistration.k8s.io", "v1", plural);
    let rule =
        json!({"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["doors"]});
    let policy = json!({"metadata": {"name": "local"}, "spec": {"matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.spec.address.startsWith('b')", "message": "doors lead to b"}]}});
    let binding =
        json!({"metadata": {"name": "local"}, "spec": {"policyName": "local", "validationActions": ["Deny"]}});
    for (plural, object) in [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)] {
        world.mutate(kind(plural), None, None, Subresource::Whole, Action::Create(Body::Value(object))).unwrap();
    }
    let door = |host: &str| {
        let object = json!({"metadata": {"name": "front"}, "spec": {"host": host, "port": "80"}});
        world.write("v2", Action::Create(Body::Value(object)))
    };
    assert!(door("a").unwrap_err().message.ends_with("denied request: doors lead to b"));
    door("b").unwrap();
}

#[test]
fn a_write_that_cannot_be_converted_is_refused() {
    let world = World::new();
    world.create_in_v2();
    let before = world.stored();
    world.answer_by(unreachable);
    let refused = world.write("v2", merge(json!({"spec": {"port": "81"}}))).unwrap_err();
    assert_eq!(refused.message, "conversion webhook for example.com/v1, Kind=Door failed: nobody is there");
    assert_eq!(world.stored(), before);
}
