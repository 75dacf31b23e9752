//! The operator of definitions through every order of what can happen in small worlds.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use jiff::Timestamp;
use sampan_conformance::{Deed, Edit, Report, World, explore};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;
use sampan_core::store::Snapshot;
use sampan_customresourcedefinition::{
    CustomResourceDefinitionMachine, CustomResourceDefinitionOperator, definition as definitions,
};
use serde_json::{Value, json};

const WIDGETS: ResourceType = ResourceType::new("example.com", "widgets");

fn crd(plural: &str, kind: &str, finalizers: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com"), "finalizers": finalizers},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    })
}

fn key(plural: &str) -> ObjectKey {
    ObjectKey::cluster(CUSTOM_RESOURCE_DEFINITIONS, &format!("{plural}.example.com"))
}

fn widget() -> ObjectKey {
    ObjectKey::namespaced(WIDGETS, "default", "first")
}

fn condition(snapshot: &Snapshot, plural: &str, name: &str) -> Value {
    let value = snapshot.get(&key(plural)).map(|definition| definition.value()).unwrap_or_default();
    let conditions = value["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|it| it["type"] == name).map(|it| it["status"].clone()).unwrap_or_default()
}

fn world(name: &'static str) -> World {
    World::new(name, |driver| driver.add(CustomResourceDefinitionOperator))
        .serving(definitions())
        .always("a definition outlives its objects", |snapshot, _| {
            match snapshot.get(&widget()).is_none() || snapshot.get(&key("widgets")).is_some() {
                true => Ok(()),
                false => Err("a widget is left".into()),
            }
        })
        .at_rest("a definition that is not deleted says whether it is established", says_what_it_is)
        .at_rest("nothing of a deleted definition stays but what is held", is_emptied)
}

fn says_what_it_is(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    for plural in ["widgets", "gadgets"] {
        let Some(_) = snapshot.get(&key(plural)).filter(|it| !it.metadata().is_terminating()) else { continue };
        let (accepted, established) =
            (condition(snapshot, plural, "NamesAccepted"), condition(snapshot, plural, "Established"));
        if accepted.is_null() || (accepted == "True" && established != "True") {
            return Err(format!("{plural}: names accepted {accepted}, established {established}"));
        }
    }
    let both_accepted =
        ["widgets", "gadgets"].iter().all(|plural| condition(snapshot, plural, "NamesAccepted") == "True");
    let value =
        |plural: &str| snapshot.get(&key(plural)).map(|it| it.value()["status"]["acceptedNames"]["kind"].clone());
    match both_accepted && value("widgets") == value("gadgets") {
        true => Err("two definitions have one kind".into()),
        false => Ok(()),
    }
}

fn is_emptied(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(definition) = snapshot.get(&key("widgets")).filter(|it| it.metadata().is_terminating()) else {
        return Ok(());
    };
    match snapshot.get(&widget()) {
        Some(widget) if !widget.metadata().is_terminating() => Err("a widget is kept".into()),
        Some(_) => Ok(()),
        None if definition.metadata().finalizers.iter().any(|it| it.starts_with("customresourcecleanup")) => {
            Err("the empty definition is held".into())
        }
        None => Ok(()),
    }
}

fn delete(key: ObjectKey) -> Deed {
    Deed { what: format!("{key} is deleted"), edit: Edit::Delete(key) }
}

fn let_go(snapshot: &Snapshot, key: &ObjectKey) -> Option<Deed> {
    let mut object = snapshot.get(key).filter(|object| object.metadata().is_terminating())?.value();
    let finalizers = object["metadata"]["finalizers"].as_array_mut()?;
    finalizers.retain(|finalizer| finalizer != "example.com/hold");
    Some(Deed { what: format!("{key} is let go"), edit: Edit::Update(object) })
}

fn asks_for(snapshot: &Snapshot, plural: &str, short_name: &str) -> Option<Deed> {
    let mut value = snapshot.get(&key(plural))?.value();
    value["spec"]["names"]["shortNames"] = json!([short_name]);
    Some(Deed { what: format!("{plural} asks for {short_name}"), edit: Edit::Update(value) })
}

/// Two definitions ask for one kind; one asks for a free name beside it, one of them goes.
fn rivals() -> World {
    world("rivals")
        .holding(crd("widgets", "Widget", &json!([])))
        .holding(crd("gadgets", "Widget", &json!([])))
        .actor_times(1, "author", |snapshot, _| {
            ["widgets", "gadgets"].into_iter().filter_map(|plural| asks_for(snapshot, plural, "toy")).collect()
        })
        .actor_times(1, "user", |_, _| vec![delete(key("widgets")), delete(key("gadgets"))])
}

/// A definition asks for other names while it is in use.
fn renamed() -> World {
    world("renamed")
        .holding(crd("widgets", "Widget", &json!([])))
        .holding(crd("gadgets", "Gadget", &json!([])))
        .actor_times(2, "user", |snapshot, _| {
            ["w", "gadget"].into_iter().filter_map(|name| asks_for(snapshot, "widgets", name)).collect()
        })
}

/// Somebody writes that a deletion is done, and it is not.
fn belie(snapshot: &Snapshot) -> Option<Deed> {
    let mut value = snapshot.get(&key("widgets")).filter(|it| it.metadata().is_terminating())?.value();
    let mut conditions = value["status"]["conditions"].as_array_mut()?.iter_mut();
    conditions.find(|it| it["type"] == "Terminating")?["status"] = json!("False");
    Some(Deed { what: "widgets is said to be gone".into(), edit: Edit::UpdateStatus(value) })
}

/// A definition is deleted while an object of it is held, and somebody says it is done.
fn emptied() -> World {
    world("emptied")
        .holding(crd("widgets", "Widget", &json!([])))
        .actor_times(1, "maker", |snapshot, _| {
            let is_served = condition(snapshot, "widgets", "Established") == "True";
            let goes = snapshot.get(&key("widgets")).is_none_or(|it| it.metadata().is_terminating());
            let object = json!({
                "apiVersion": "example.com/v1", "kind": "Widget",
                "metadata": {"name": "first", "namespace": "default", "finalizers": ["example.com/hold"]},
            });
            let deed = Deed { what: "a widget is created".into(), edit: Edit::Create(object) };
            if is_served && !goes { vec![deed] } else { Vec::new() }
        })
        .actor_times(1, "user", |_, _| vec![delete(key("widgets"))])
        .actor_times(1, "liar", |snapshot, _| belie(snapshot).into_iter().collect())
        .actor_times(1, "holder", |snapshot, _| let_go(snapshot, &widget()).into_iter().collect())
}

/// A definition is deleted, and somebody's finalizer holds it.
fn held() -> World {
    world("held")
        .holding(crd("widgets", "Widget", &json!(["example.com/hold"])))
        .actor_times(1, "user", |_, _| vec![delete(key("widgets"))])
        .actor_times(1, "holder", |snapshot, _| let_go(snapshot, &key("widgets")).into_iter().collect())
}

#[test]
fn every_law_holds_in_every_world_and_every_declared_edge_is_taken() {
    let reports: Vec<Report> = [rivals(), renamed(), emptied(), held()]
        .iter()
        .map(|world| explore(world).unwrap_or_else(|failure| panic!("{failure}")))
        .inspect(|report| println!("{report}"))
        .collect();
    assert_eq!(Report::uncrossed(&reports, CustomResourceDefinitionMachine::chart()), Vec::<String>::new());
}
