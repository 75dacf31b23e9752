//! The kind in Rust, as `kind.yaml` defines it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan::core::object::ResourceType;
use sampan::core::operator::Kind;
use serde::{Deserialize, Serialize};

/// An object whose ConfigMap says what it says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShipGreeting {
    /// Its name, its owners, and all that every object has.
    pub metadata: ObjectMeta,
    /// What its author wants.
    #[serde(default)]
    pub spec: Spec,
    /// How it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// What its author wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What its ConfigMap says; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What its ConfigMap says.
    pub message: String,
}

impl Kind for ShipGreeting {
    const RESOURCE: ResourceType = ResourceType::new("operators.example.com", "shipgreetings");
    const API_VERSION: &'static str = "operators.example.com/v1";
    const KIND: &'static str = "ShipGreeting";

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
