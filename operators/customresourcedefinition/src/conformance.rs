//! CustomResourceDefinitions under proof: they ask for each other's names, and go while what they define is held.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use jiff::Timestamp;
use sampan_conformance::{Deed, Edit, Suite, World, actors};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::{CustomResourceDefinitionOperator, definition as definitions};

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

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(CustomResourceDefinitionOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    let short = || {
        let mut short = crd("widgets", "Widget", &json!([]));
        short["spec"]["names"]["shortNames"] = json!(["w"]);
        short
    };
    Suite::of(operator)
        .serving(definitions())
        .spec("plain", crd("widgets", "Widget", &json!([])))
        .spec("with a short name", short())
        .always("a definition outlives its objects", outlives_its_objects)
        .at_rest("a definition that is not deleted says whether it is established", says_what_it_is)
        .at_rest("nothing of a deleted definition stays but what is held", is_emptied)
        .touching(|object, primary| *primary == key("widgets") && object.key().resource == WIDGETS)
        .remembering(&["/acceptedNames", "/conditions", "/storedVersions"])
        .world(rivals)
        .world(renamed)
        .world(emptied)
        .world(wiped)
        .world(held)
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

fn outlives_its_objects(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    match snapshot.get(&widget()).is_none() || snapshot.get(&key("widgets")).is_some() {
        true => Ok(()),
        false => Err("a widget is left".into()),
    }
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

/// Somebody writes that a deletion is done, and it is not.
fn belie(snapshot: &Snapshot) -> Option<Deed> {
    let mut value = snapshot.get(&key("widgets")).filter(|it| it.metadata().is_terminating())?.value();
    let mut conditions = value["status"]["conditions"].as_array_mut()?.iter_mut();
    conditions.find(|it| it["type"] == "Terminating")?["status"] = json!("False");
    Some(Deed { what: "widgets is said to be gone".into(), edit: Edit::UpdateStatus(value) })
}

/// A world where two definitions may ask for one name: who gets it is who was first, and that is decided by lot.
fn contested(world: World, name: &str) -> World {
    let mut world = named(world, name);
    world.incidental = |object| {
        object.as_object_mut().map(|fields| fields.remove("status"));
        true
    };
    world
}

/// Two definitions ask for one kind; one asks for a free name beside it, one of them goes.
fn rivals(world: World) -> World {
    contested(world, "rivals")
        .holding(crd("widgets", "Widget", &json!([])))
        .holding(crd("gadgets", "Widget", &json!([])))
        .actor_times(1, "author", |snapshot, _| {
            ["widgets", "gadgets"].into_iter().filter_map(|plural| asks_for(snapshot, plural, "toy")).collect()
        })
        .actor_times(1, "user", |_, _| vec![delete(key("widgets")), delete(key("gadgets"))])
}

/// A definition asks for other names while it is in use.
fn renamed(world: World) -> World {
    contested(world, "renamed")
        .holding(crd("widgets", "Widget", &json!([])))
        .holding(crd("gadgets", "Gadget", &json!([])))
        .actor_times(2, "user", |snapshot, _| {
            ["w", "gadget"].into_iter().filter_map(|name| asks_for(snapshot, "widgets", name)).collect()
        })
}

/// Somebody wipes what says that the type is served, while it is being emptied.
fn wipe(snapshot: &Snapshot) -> Option<Deed> {
    let mut value = snapshot.get(&key("widgets")).filter(|it| it.metadata().is_terminating())?.value();
    value["status"].as_object_mut()?.remove("conditions")?;
    Some(Deed { what: "the conditions of widgets are wiped".into(), edit: Edit::UpdateStatus(value) })
}

/// A definition is deleted while an object of it is held, and somebody says it is done.
fn emptied(world: World) -> World {
    emptying(named(world, "emptied")).actor_times(1, "liar", |snapshot, _| belie(snapshot).into_iter().collect())
}

/// A definition is deleted while an object of it is held, and its conditions are wiped.
fn wiped(world: World) -> World {
    emptying(named(world, "wiped")).actor_times(1, "wiper", |snapshot, _| wipe(snapshot).into_iter().collect())
}

/// A definition is deleted while an object of it is held.
fn emptying(world: World) -> World {
    world
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
        .with(actors::helper("holder", |snapshot, _| let_go(snapshot, &widget()).into_iter().collect()))
}

/// A definition is deleted, and somebody's finalizer holds it.
fn held(world: World) -> World {
    named(world, "held")
        .holding(crd("widgets", "Widget", &json!(["example.com/hold"])))
        .actor_times(1, "user", |_, _| vec![delete(key("widgets"))])
        .with(actors::helper("holder", |snapshot, _| let_go(snapshot, &key("widgets")).into_iter().collect()))
}
