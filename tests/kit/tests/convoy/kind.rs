//! The kind the honest operator and the broken ones keep: a convoy of ships that all carry one cargo.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_core::object::{Draft, ObjectKey, ResourceType, Revision};
use sampan_core::operator::Kind;
use sampan_core::resource::ResourceDefinition;
use sampan_core::resource::custom::{CUSTOM_RESOURCE_DEFINITIONS, learn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// So many ships, ConfigMaps named after it and numbered from 0, and an entry in the harbour's book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Convoy {
    pub metadata: ObjectMeta,
    pub spec: Spec,
    #[serde(default)]
    pub status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub ships: usize,
    pub cargo: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// How many of its ships carry its cargo.
    #[serde(default)]
    pub laden: usize,
    /// When a ship was last reloaded, in seconds since 1970: the next waits for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reloaded: Option<i64>,
}

impl Kind for Convoy {
    const RESOURCE: ResourceType = ResourceType::new("example.com", "convoys");
    const API_VERSION: &'static str = "example.com/v1";
    const KIND: &'static str = "Convoy";

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A convoy, to be created.
pub(crate) fn convoy(name: &str, ships: usize, cargo: &str) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Convoy", "metadata": {"name": name, "namespace": "default"},
        "spec": {"ships": ships, "cargo": cargo},
    })
}

/// The kind, as its CustomResourceDefinition would have it.
pub(crate) fn kind() -> ResourceDefinition {
    let names = json!({"plural": "convoys", "singular": "convoy", "kind": "Convoy", "listKind": "ConvoyList"});
    let integer = json!({"type": "integer"});
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"ships": integer, "cargo": {"type": "string"}}},
        "status": {"type": "object", "properties": {"laden": integer, "reloaded": integer}},
    }});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "convoys.example.com", "uid": "convoys", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        "status": {"acceptedNames": names, "conditions": [{"type": "NamesAccepted", "status": "True"}]},
    });
    let key = ObjectKey::cluster(CUSTOM_RESOURCE_DEFINITIONS, "convoys.example.com");
    let definition = Draft::new(key, definition, Vec::new()).expect("the definition is an object").at(Revision(1));
    let learnt = learn(&definition).expect("the definition is right").expect("its names are accepted");
    // There is no such object in the worlds: the kind is there from the start and stays.
    ResourceDefinition { defined_by: None, ..learnt.definition }
}
