//! What a program says beside its answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A line a plugin's program wrote on its standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The plugin.
    pub plugin: Arc<str>,
    /// The objects it was asked about just then.
    pub objects: String,
    /// The line.
    pub text: String,
}
