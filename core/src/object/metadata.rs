//! What the framework reads of every object, parsed once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Name, Uid};

/// A reference to an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// The owner's group and version.
    pub api_version: Name,
    /// The owner's kind.
    pub kind: Name,
    /// The owner's name.
    pub name: Name,
    /// The owner's uid.
    pub uid: Uid,
    /// Whether the owner manages the object.
    #[serde(default)]
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for the object.
    #[serde(default)]
    pub block_owner_deletion: bool,
}

/// The metadata the framework itself works with. Annotations and managed fields stay in the encoded object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The identity, given at creation.
    pub uid: Uid,
    /// Rises with each change of the spec.
    #[serde(default)]
    pub generation: i64,
    /// When the object was created.
    pub creation_timestamp: Timestamp,
    /// When deletion was asked for, plus the grace period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// The labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Name, Name>,
    /// The owners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// Who still has work to do before the object may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<Name>,
}

impl Metadata {
    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether deletion was asked for.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}
