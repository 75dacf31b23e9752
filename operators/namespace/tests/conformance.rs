//! The namespace operator through every order of what can happen in small worlds.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use jiff::Timestamp;
use sampan_conformance::{Deed, Edit, Report, World, explore};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::store::Snapshot;
use sampan_namespace::{NamespaceMachine, NamespaceOperator};
use serde_json::{Value, json};

const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");
const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");
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

fn settings() -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "team", "settings")
}

fn world(name: &'static str, finalizers: Value) -> World {
    World::new(name, |driver| driver.add(NamespaceOperator::new(CERTIFICATE)))
        .holding(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "finalizers": finalizers},
        }))
        .always("a namespace outlives what is in it", |snapshot, _| {
            let left = snapshot.list(CONFIG_MAPS, Some("team"), None).count();
            if snapshot.get(&team()).is_some() || left == 0 {
                Ok(())
            } else {
                Err(format!("{left} ConfigMaps are left"))
            }
        })
        .at_rest("a namespace in use is furnished", is_furnished)
        .at_rest("a namespace that is deleted is emptied, and says what is left", is_emptied)
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
fn plundered() -> World {
    world("plundered", json!([])).actor_times(2, "user", |snapshot, _| {
        let forged = snapshot.get(&certificate()).map(|map| {
            let mut map = map.value();
            map["data"]["ca.crt"] = json!("forged");
            Deed { what: "the certificate is forged".into(), edit: Edit::Update(map) }
        });
        [delete(account()), delete(certificate())].into_iter().chain(forged).collect()
    })
}

/// A namespace is deleted while something in it is held.
fn emptied() -> World {
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "team", "finalizers": ["example.com/hold"]},
    });
    world("emptied", json!([])).holding(held).actor_times(1, "user", |_, _| vec![delete(team())]).actor_times(
        1,
        "holder",
        |snapshot, _| let_go(snapshot, &settings()).into_iter().collect(),
    )
}

/// A namespace is deleted, and somebody's finalizer holds it.
fn held() -> World {
    world("held", json!(["example.com/hold"])).actor_times(1, "user", |_, _| vec![delete(team())]).actor_times(
        1,
        "holder",
        |snapshot, _| let_go(snapshot, &team()).into_iter().collect(),
    )
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
    let left: Vec<_> = snapshot.list(CONFIG_MAPS, Some("team"), None).collect();
    if let Some(kept) = left.iter().find(|object| !object.metadata().is_terminating()) {
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

#[test]
fn every_law_holds_in_every_world_and_every_declared_edge_is_taken() {
    let reports: Vec<Report> = [plundered(), emptied(), held()]
        .iter()
        .map(|world| explore(world).unwrap_or_else(|failure| panic!("{failure}")))
        .inspect(|report| println!("{report}"))
        .collect();
    assert_eq!(Report::uncrossed(&reports, NamespaceMachine::chart()), Vec::<String>::new());
}
