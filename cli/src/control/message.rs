//! What is asked, and what is answered.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A question to a running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "ask")]
pub(crate) enum Question {
    /// How is it?
    Status,
    /// What would this directory change?
    Plan {
        /// An absolute path.
        directory: PathBuf,
    },
    /// What would be decided about this object again?
    Replay {
        /// Its kind, or another word for its resource type.
        kind: String,
        /// Its namespace, where it lives in one.
        namespace: String,
        /// Its name.
        name: String,
        /// Up to which revision.
        to: Option<u64>,
    },
    /// Which removals are held?
    Held,
    /// Let held removals happen; of files that are named, also of what is kept for others.
    Prune {
        /// Below the watched folder; none means all that waits for a confirmation.
        files: Vec<String>,
    },
    /// End, and leave the pods as they are.
    Stop,
}

/// The answer: what was asked for, or why not.
pub(crate) type Answer = Result<Value, String>;
