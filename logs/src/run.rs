//! Whose lines they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One run of a container, as its log tells of it also when pod and container are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The container's id in Docker.
    pub id: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// The container's name in the pod.
    pub container: String,
    /// Counts the runs of the container, from 0.
    pub attempt: u32,
    /// The node it ran on.
    pub node: String,
    /// The labels the pod had when the container started.
    pub labels: BTreeMap<String, String>,
}
