//! A twin is what its own way through the gateway would have made of it. No admission acts here: of its rules none looks at a name,
//! and what `ServiceAccountTokenVolume` draws from a uid may be the elder's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use jiff::Timestamp;
use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{
    Action, Body, Gateway, Identity, Mutation, Options, Subresource, SystemAuthorizer, Target, Twins,
};
use sampan_core::object::{Draft, ObjectKey, ResourceType, Revision};
use sampan_core::resource::{PODS, Registry, VALIDATING_WEBHOOK_CONFIGURATIONS, builtin};
use sampan_core::store::{Change, Origin, Put, Snapshot};
use serde_json::{Value, json};

fn gateway() -> Gateway {
    let mut registry = Registry::default();
    builtin().into_iter().for_each(|definition| registry.register(definition));
    Gateway::new(registry, Box::new(SystemAuthorizer), Vec::new())
}

fn pod(name: &str, image: &str) -> Value {
    json!({"metadata": {"name": name, "generateName": "web-", "labels": {"name": "web", "uid": "x"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]},
        "spec": {"containers": [{"name": "web", "image": image, "resources": {"requests": {"cpu": "100m"}}}]}})
}

fn creation(gateway: &Gateway, namespace: &str, body: Value) -> Mutation {
    Mutation {
        identity: Identity::new("admin", &["system:masters"]),
        origin: Origin::System { purpose: "test".into() },
        target: Target {
            served: gateway.registry().served("", "v1", "pods").unwrap(),
            namespace: Some(namespace.into()),
            name: None,
            subresource: Subresource::Whole,
        },
        action: Action::Create(Body::Value(body)),
        options: Options::default(),
    }
}

/// What a mutation comes to by itself.
fn made(gateway: &Gateway, snapshot: &Snapshot, mutation: &Mutation, seed: u64) -> Change {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let prepared = gateway.prepare(snapshot, now, &mut SeededEntropy::new(seed), mutation).unwrap();
    prepared.write.changes.into_iter().next().unwrap()
}

/// All a change says.
fn told(change: Change) -> (String, Value, Vec<(&'static str, String)>) {
    let Put::Object(draft) = change.put else { panic!("nothing is put") };
    let beside = format!("{} {:?} {:?} {:?}", change.key, change.precondition, change.conditions, draft.metadata());
    let fields = draft.fields().to_vec();
    (beside, draft.at(Revision(7)).value(), fields)
}

fn stored(resource: ResourceType, namespace: Option<&str>, name: &str) -> Draft {
    let value = json!({"metadata": {"name": name, "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}});
    Draft::new(ObjectKey { resource, namespace: namespace.map(Into::into), name: name.into() }, value, Vec::new())
        .unwrap()
}

#[test]
fn a_twin_is_what_its_own_way_through_the_gateway_makes_of_it() {
    let (gateway, snapshot, mut twins) = (gateway(), Snapshot::default(), Twins::default());
    let elder = creation(&gateway, "team", pod("web-a", "web:1"));
    twins.keep(&snapshot, &elder, &[made(&gateway, &snapshot, &elder, 1)]);
    let younger = creation(&gateway, "team", pod("web-b", "web:1"));
    let twin = twins.twin(&snapshot, &mut SeededEntropy::new(2), &younger).unwrap();
    assert_eq!(told(twin), told(made(&gateway, &snapshot, &younger, 2)));
}

#[test]
fn what_is_asked_for_in_other_words_or_cannot_be_is_no_twin() {
    let gateway = gateway();
    let elder = creation(&gateway, "team", pod("web-a", "web:1"));
    let taken = Snapshot::of([stored(PODS, Some("team"), "web-b")]);
    let judged = Snapshot::of([stored(VALIDATING_WEBHOOK_CONFIGURATIONS, None, "judge")]);
    let cases = [
        ("another image", Snapshot::default(), "team", pod("web-b", "web:2")),
        ("another namespace", Snapshot::default(), "other", pod("web-b", "web:1")),
        ("no name", Snapshot::default(), "team", pod("Web_b", "web:1")),
        ("a name that is taken", taken, "team", pod("web-b", "web:1")),
        ("one that a webhook may look at", judged, "team", pod("web-b", "web:1")),
    ];
    for (what, snapshot, namespace, body) in cases {
        let mut twins = Twins::default();
        twins.keep(&snapshot, &elder, &[made(&gateway, &Snapshot::default(), &elder, 1)]);
        let younger = creation(&gateway, namespace, body);
        assert!(twins.twin(&snapshot, &mut SeededEntropy::new(2), &younger).is_none(), "{what}");
    }
}
