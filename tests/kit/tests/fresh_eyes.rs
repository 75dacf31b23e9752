//! An operator broken in five ways by somebody who had read the guide and not the kit, and what the kit says of each.
//!
//! Three were found at first try. That a convoy which is gone stays in the harbour's book, and that a stranger's ConfigMap of a
//! ship's name is taken for a ship, were not: the kit looked at neither.

mod convoy;

use k8s_openapi::api::core::v1::ConfigMap;
use sampan_conformance::{Actor, Deed, Edit, Property, Suite, World, actors};
use sampan_core::operator::Kind as _;
use serde_json::{Value, json};

use convoy::{Bug, Convoys, LAYOVER_SECONDS, convoy, kind};

fn suite(bug: Option<Bug>) -> Suite {
    Suite::of(Convoys(bug))
        .serving(kind())
        .spec("two ships of tea", convoy("fleet", 2, "tea"))
        .spec("two ships of salt", convoy("fleet", 2, "salt"))
        .spec("one ship of tea", convoy("fleet", 1, "tea"))
        .beside(harbour())
        .touching(|touched, _| &*touched.key().name == "harbour")
        .remembering(&["/reloaded"])
        .incidental(without_time_of_reloading)
        .ages_seconds(LAYOVER_SECONDS)
        .neighbour(wrecker())
        .world(|world| {
            let world = World { name: "the harbour opens and closes".to_owned(), ..world };
            world.holding(convoy("fleet", 2, "tea")).with(harbour_master())
        })
}

fn without_time_of_reloading(object: &mut Value) -> bool {
    if let Some(status) = object.pointer_mut("/status").and_then(Value::as_object_mut) {
        status.remove("reloaded");
    }
    true
}

fn harbour() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "harbour", "namespace": "default"}})
}

fn wrecker() -> Actor {
    actors::rare(1, "wrecker", |snapshot, _| {
        let maps = snapshot.list(ConfigMap::RESOURCE, None, None);
        let ships = maps.filter(|map| map.metadata().controller().is_some() && !map.metadata().is_terminating());
        ships.map(|ship| actors::deed(ship, "is wrecked", Edit::Delete(ship.key().clone()))).collect()
    })
}

/// Opens a harbour with an empty book, and closes it.
fn harbour_master() -> Actor {
    actors::rare(2, "harbour master", |snapshot, _| {
        let mut maps = snapshot.list(ConfigMap::RESOURCE, None, None);
        match maps.find(|map| &*map.key().name == "harbour") {
            Some(harbour) => vec![actors::deed(harbour, "is closed", Edit::Delete(harbour.key().clone()))],
            None => vec![Deed { what: "the harbour opens".to_owned(), edit: Edit::Create(harbour()) }],
        }
    })
}

#[test]
fn the_honest_one_holds() {
    suite(None).test();
}

#[track_caller]
fn is_found(bug: Bug, world: &str, property: Property, problem: &str) {
    let failure = suite(Some(bug)).failure_in(world);
    assert!(failure.property == property && failure.problem.contains(problem), "{failure}");
}

#[test]
fn who_is_held_late_stays_in_the_harbours_book() {
    let problem = "it is gone, and configmaps/default/harbour still tells of it";
    is_found(Bug::FinalizerLast, "spec two ships of tea", Property::Deletion, problem);
}

#[test]
fn who_arms_its_timer_once_never_wakes() {
    is_found(Bug::TimerOnEntry, "spec two ships of tea", Property::NewSpec, r#""laden":1"#);
}

#[test]
fn who_counts_its_ships_keeps_the_wrong_one() {
    is_found(Bug::CountsShips, "spec one ship of tea", Property::NewSpec, r#""name":"fleet-1""#);
}

#[test]
fn who_goes_by_names_writes_a_strangers_object() {
    let problem = "configmaps/default/fleet-0, which it does not own";
    is_found(Bug::TakesByName, "spec two ships of tea", Property::Ownership, problem);
}

#[test]
fn who_heeds_those_in_the_book_alone_waits_for_a_harbour_that_is_there() {
    is_found(Bug::DeafToTheHarbour, "the harbour opens and closes", Property::Conflicts, "found instead");
}
