//! Namespaces under proof: their laws, and the worlds where they are plundered, emptied and held.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use sampan_conformance::{Deed, Edit, Suite, World, actors};
use sampan_core::Timestamp;
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::NamespaceOperator;

const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");
const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");
const PODS: ResourceType = ResourceType::new("", "pods");
const SERVICE_ACCOUNTS: ResourceType = ResourceType::new("", "serviceaccounts");
const CERTIFICATE: &str = "the certificate";

fn team() -> ObjectKey {
    ObjectKey::cluster(NAMESPACES, "team")
}

fn account() -> ObjectKey {
    ObjectKey::namespaced(SERVICE_ACCOUNTS, "team", "default")
}

fn certificate() -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "team", "kube-root-ca.crt")
}

fn web() -> ObjectKey {
    ObjectKey::namespaced(PODS, "team", "web")
}

fn settings() -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "team", "settings")
}

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(shipping())
}

/// The shipping operator, with a certificate to hand out.
pub fn shipping() -> NamespaceOperator {
    NamespaceOperator::new(CERTIFICATE)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    Suite::of(operator)
        .spec("plain", namespace(&json!([])))
        .always("a namespace outlives what is in it", outlives_its_contents)
        .at_rest("a namespace in use is furnished", is_furnished)
        .at_rest("a namespace that is deleted is emptied, and says what is left", is_emptied)
        // The phase is the gateway's, which sets it at creation and deletion.
        .remembering(&["/phase"])
        .touching(|object, primary| object.key().namespace.as_ref() == Some(&primary.name))
        .world(plundered)
        .world(emptied)
        .world(held)
}

fn namespace(finalizers: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "finalizers": finalizers}})
}

fn named(mut world: World, name: &str, finalizers: &Value) -> World {
    name.clone_into(&mut world.name);
    world.holding(namespace(finalizers))
}

fn outlives_its_contents(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let left = snapshot.list(CONFIG_MAPS, Some("team"), None).count();
    match snapshot.get(&team()).is_some() || left == 0 {
        true => Ok(()),
        false => Err(format!("{left} ConfigMaps are left")),
    }
}

fn delete(key: ObjectKey) -> Deed {
    Deed { what: format!("{key} is deleted"), edit: Edit::Delete(key) }
}

fn let_go(snapshot: &Snapshot, key: &ObjectKey) -> Option<Deed> {
    let mut object = snapshot.get(key).filter(|object| object.metadata().is_terminating())?.value();
    object["metadata"]["finalizers"] = json!([]);
    Some(Deed { what: format!("{key} is let go"), edit: Edit::Update(object) })
}

/// What every namespace has is deleted and changed.
fn plundered(world: World) -> World {
    named(world, "plundered", &json!([])).with(actors::rare(2, "user", |snapshot, _| {
        let forged = snapshot.get(&certificate()).map(|map| {
            let mut map = map.value();
            map["data"]["ca.crt"] = json!("forged");
            Deed { what: "the certificate is forged".into(), edit: Edit::Update(map) }
        });
        [delete(account()), delete(certificate())].into_iter().chain(forged).collect()
    }))
}

/// A namespace is deleted while something in it is held, a pod among it.
fn emptied(world: World) -> World {
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "team", "finalizers": ["example.com/hold"]},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "team", "finalizers": ["example.com/hold"]},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    });
    named(world, "emptied", &json!([]))
        .holding(held)
        .holding(pod)
        .with(actors::rare(1, "user", |_, _| vec![delete(team())]))
        .with(actors::helper("holder", |snapshot, _| {
            [web(), settings()].iter().filter_map(|key| let_go(snapshot, key)).collect()
        }))
        .always("what a pod uses outlives it", outlives_its_pod)
}

/// A namespace is deleted, and somebody's finalizer holds it.
fn held(world: World) -> World {
    named(world, "held", &json!(["example.com/hold"]))
        .with(actors::rare(1, "user", |_, _| vec![delete(team())]))
        .with(actors::helper("holder", |snapshot, _| let_go(snapshot, &team()).into_iter().collect()))
}

fn outlives_its_pod(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let goes = snapshot.get(&settings()).is_none_or(|settings| settings.metadata().is_terminating());
    match goes && snapshot.get(&web()).is_some() {
        true => Err("the settings go before the pod".into()),
        false => Ok(()),
    }
}

fn is_furnished(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    if snapshot.get(&team()).is_none_or(|team| team.metadata().is_terminating()) {
        return Ok(());
    }
    let told = snapshot.get(&certificate()).map(|map| map.value()["data"]["ca.crt"].clone());
    match snapshot.get(&account()).is_some() && told == Some(json!(CERTIFICATE)) {
        true => Ok(()),
        false => Err(format!("the certificate is {told:?}")),
    }
}

fn is_emptied(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(team) = snapshot.get(&team()).filter(|team| team.metadata().is_terminating()) else { return Ok(()) };
    let left: Vec<_> =
        [PODS, CONFIG_MAPS].into_iter().flat_map(|kind| snapshot.list(kind, Some("team"), None)).collect();
    let has_pods = snapshot.list(PODS, Some("team"), None).next().is_some();
    let mut next = left.iter().filter(|object| !has_pods || object.key().resource == PODS);
    if let Some(kept) = next.find(|object| !object.metadata().is_terminating()) {
        return Err(format!("{} is kept", kept.key()));
    }
    if left.is_empty() && team.metadata().finalizers.is_empty() {
        return Err("the empty namespace stays".into());
    }
    let value = team.value();
    let conditions = value["status"]["conditions"].as_array();
    let told = conditions.into_iter().flatten().find(|it| it["type"] == "NamespaceContentRemaining");
    let expect = if left.is_empty() { "False" } else { "True" };
    match told.is_some_and(|told| told["status"] == expect) {
        true => Ok(()),
        false => Err(format!("content remaining should be {expect}: {told:?}")),
    }
}
