//! What Sampan itself writes, on a whole cluster in memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::sync::Arc;

use futures::executor::block_on;
use jiff::Timestamp;
use sampan_core::gateway::{
    API_SERVER, Action, Body, Cluster, Gateway, PatchKind, Subresource, SystemAuthorizer, SystemWriter,
};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::{CONFIG_MAPS, Registry, builtin};
use sampan_core::store::{MemoryBackend, Origin, Settings, Store};
use serde_json::{Value, json};

struct World(Cluster);

impl World {
    fn new() -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), Vec::new());
        let store = Store::open(MemoryBackend::default(), Settings::default(), Arc::new(Timestamp::now)).unwrap();
        Self(Cluster::new(Arc::new(gateway), store, Timestamp::now, 7))
    }

    fn object(&self) -> Value {
        self.0.snapshot().get(&key()).unwrap().value()
    }

    /// Who holds each field manager's fields, in order.
    fn managers(&self) -> Vec<String> {
        let object = self.object();
        let managed = object["metadata"]["managedFields"].as_array().unwrap();
        managed.iter().map(|entry| entry["manager"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.0.store().close();
    }
}

fn key() -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", "settings")
}

fn config_map(colour: &str) -> Value {
    let metadata = json!({"name": "settings", "namespace": "default"});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"colour": colour}})
}

#[test]
fn what_sampan_writes_says_what_for_and_is_managed_by_who_wrote_it() {
    let world = World::new();
    let writer = SystemWriter::new(&world.0, "a test has it");
    let create = Action::Create(Body::Value(config_map("red")));
    block_on(writer.write(&key(), Subresource::Whole, create)).unwrap();
    let origins = world.0.snapshot().origins(&key()).unwrap().clone();
    assert_eq!(*origins.created, Origin::System { purpose: "a test has it".to_owned() });
    assert_eq!(world.managers(), ["sampan"]);
    let plugins = writer.acting_as("system:plugins", "sampan-plugins");
    let patch = Action::Patch(PatchKind::Merge, Body::Value(json!({"data": {"size": "big"}})));
    block_on(plugins.write(&key(), Subresource::Whole, patch)).unwrap();
    assert_eq!(world.managers(), ["sampan", "sampan-plugins"]);
}

#[test]
fn what_sampan_applies_is_made_and_taken_back_from_others() {
    let world = World::new();
    let writer = SystemWriter::new(&world.0, "a test has it");
    block_on(writer.apply(&key(), config_map("red"))).unwrap();
    let other = writer.clone().acting_as(API_SERVER, "somebody");
    let patch = Action::Patch(PatchKind::Merge, Body::Value(json!({"data": {"colour": "blue"}})));
    block_on(other.write(&key(), Subresource::Whole, patch)).unwrap();
    assert_eq!(world.object()["data"]["colour"], "blue");
    block_on(writer.apply(&key(), config_map("red"))).unwrap();
    assert_eq!(world.object()["data"]["colour"], "red");
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let world = World::new();
    let writer = SystemWriter::new(&world.0, "a test has it");
    let strange = ObjectKey::cluster(ResourceType::new("example.com", "widgets"), "one");
    let refused = block_on(writer.apply(&strange, json!({}))).map(drop).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (503, "widgets.example.com are not served"));
}
