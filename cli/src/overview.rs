//! How a cluster is, as `sampan status` tells it.

use serde::{Deserialize, Serialize};

/// How a cluster is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overview {
    /// Where the API is served.
    pub(crate) server: String,
    /// The revision of the last change.
    pub(crate) revision: u64,
    /// The nodes, by name.
    pub(crate) nodes: Vec<NodeState>,
    /// Why the store takes no writes.
    #[serde(default)]
    pub(crate) store_problem: Option<String>,
    /// Why the directory of manifests cannot be read.
    pub(crate) directory_problem: Option<String>,
    /// The manifest files, by path.
    pub(crate) files: Vec<FileState>,
    /// What keeps a number of pods.
    pub(crate) workloads: Vec<WorkloadState>,
    /// Operators that panicked and run no more.
    pub(crate) disabled_operators: Vec<String>,
    /// The wake-up nobody has handled for longest, where it is old.
    pub(crate) oldest_unhandled: Option<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeState {
    /// Its name.
    pub(crate) name: String,
    /// Whether it takes pods.
    pub(crate) ready: bool,
}

/// A manifest file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    /// Below the directory.
    pub(crate) path: String,
    /// What became of it.
    pub(crate) phase: String,
    /// How many objects came from it.
    pub(crate) objects: usize,
    /// What is wrong with it.
    pub(crate) problems: Vec<ProblemState>,
}

/// Something wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProblemState {
    /// Counted from 1.
    pub(crate) line: u64,
    /// Counted from 1.
    pub(crate) column: u64,
    /// What is wrong.
    pub(crate) message: String,
    /// The lines around it.
    #[serde(default)]
    pub(crate) snippet: String,
}

/// Something that keeps a number of pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkloadState {
    /// The object.
    pub(crate) object: String,
    /// How many are wanted.
    pub(crate) desired: u64,
    /// How many are ready.
    pub(crate) ready: u64,
}
