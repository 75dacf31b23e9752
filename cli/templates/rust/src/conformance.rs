//! What is proved of the operator, in worlds where its message and its ConfigMap change in every order.

use k8s_openapi::api::core::v1::ConfigMap;
use sampan::conformance::{Actor, Edit, Suite, World, actors};
use sampan::core::Timestamp;
use sampan::core::object::ObjectKey;
use sampan::core::operator::Kind as _;
use sampan::core::store::Snapshot;
use serde_json::{Value, json};

use crate::ShipGreetingOperator;
use crate::resource::ShipGreeting;

/// The suite of the operator: `conformance ship-greeting` runs it, and so does its test.
pub fn suite() -> Suite {
    let suite = crate::kinds().into_iter().fold(sampan::suite_of(ShipGreetingOperator), Suite::serving);
    suite
        .spec("ahoy", greeting(&json!({"message": "Ahoy"})))
        .spec("farewell", greeting(&json!({"message": "Fare well"})))
        .spec("silent", greeting(&json!({})))
        .neighbour(meddler(1))
        .world(|world| meddled(world, "deleted twice", 2))
        .world(|world| meddled(world, "deleted three times", 3))
        .world(|world| meddled(world, "deleted again and again", 6))
        .at_rest("a ConfigMap says what its object says", maps_say_it)
}

fn greeting(spec: &Value) -> Value {
    json!({"apiVersion": ShipGreeting::API_VERSION, "kind": ShipGreeting::KIND,
        "metadata": {"name": "sample", "namespace": "default"}, "spec": spec})
}

/// A world in which the ConfigMap is deleted so many times.
fn meddled(mut world: World, name: &str, times: usize) -> World {
    name.clone_into(&mut world.name);
    world.holding(greeting(&json!({"message": "Ahoy"}))).with(meddler(times))
}

/// Deletes a ConfigMap, so many times.
fn meddler(times: usize) -> Actor {
    actors::rare(times, "meddler", |snapshot, _| {
        let maps = snapshot.list(ConfigMap::RESOURCE, None, None);
        maps.map(|map| actors::deed(map, "is deleted by somebody", Edit::Delete(map.key().clone()))).collect()
    })
}

/// Where nothing is left to do, the ConfigMap of each object says its message, and there is none where it has none.
fn maps_say_it(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let text = |value: &Value, at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
    for greeting in snapshot.list(ShipGreeting::RESOURCE, None, None) {
        let map = ObjectKey { resource: ConfigMap::RESOURCE, ..greeting.key().clone() };
        let said = snapshot.get(&map).and_then(|map| text(&map.value(), "/data/message"));
        let wanted = text(&greeting.value(), "/spec/message");
        if said != wanted {
            return Err(format!("{said:?} is said, should be {wanted:?}"));
        }
    }
    Ok(())
}
