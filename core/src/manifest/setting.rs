//! What an author sets beside the objects: by an annotation on one of them, or by a comment at the top of a file.
//!
//! ```yaml
//! # sampan.dev/drift: warn
//! apiVersion: v1
//! kind: ConfigMap
//! metadata:
//!   annotations:
//!     sampan.dev/prune: disabled
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

use crate::gateway::Propagation;

/// What the names of settings begin with.
pub const PREFIX: &str = "sampan.dev/";
/// `enforce`, `warn` or `ignore`: what happens when somebody changes a field the file sets.
pub const DRIFT: &str = "sampan.dev/drift";
/// `disabled` keeps the object when its document goes.
pub const PRUNE: &str = "sampan.dev/prune";
/// `Foreground`, `Background` or `Orphan`: how the object is deleted when its document goes.
pub const PROPAGATION: &str = "sampan.dev/propagation";
/// On a `ManifestFile`: `confirmed` lets its held deletions happen.
pub const CONFIRM: &str = "sampan.dev/prune-held";

/// What happens when somebody changes a field the file sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Drift {
    /// The field is set back.
    #[default]
    Enforce,
    /// The file's status says so.
    Warn,
    /// Nothing.
    Ignore,
}

impl Drift {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Ignore => "ignore",
        }
    }
}

/// The settings that hold for one object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// What happens on drift.
    pub drift: Drift,
    /// Whether the object stays when its document goes.
    pub protected: bool,
    /// How it is deleted; `None` takes the resource type's default.
    pub propagation: Option<Propagation>,
}

/// The settings in the comments a file begins with, by name.
pub fn in_comments(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .take_while(|line| line.starts_with('#') || line.trim().is_empty() || *line == "---")
        .filter_map(|line| line.trim_start_matches('#').trim().split_once(':'))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// The settings of an object in a file with these comments; its own annotations count first.
///
/// # Errors
/// The name and value of a setting that is not understood, and what would be.
pub fn of(object: &Value, comments: &BTreeMap<String, String>) -> Result<Settings, String> {
    let annotation = |name: &str| object.pointer("/metadata/annotations")?.get(name)?.as_str();
    let value = |name: &str| annotation(name).or_else(|| comments.get(name).map(String::as_str));
    let unknown = |name: &str, found: &str, expected: &str| Err(format!("{name} is {found:?}: expected {expected}"));
    Ok(Settings {
        drift: match value(DRIFT) {
            None | Some("enforce") => Drift::Enforce,
            Some("warn") => Drift::Warn,
            Some("ignore") => Drift::Ignore,
            Some(other) => return unknown(DRIFT, other, "enforce, warn or ignore"),
        },
        protected: match value(PRUNE) {
            None | Some("enabled") => false,
            Some("disabled") => true,
            Some(other) => return unknown(PRUNE, other, "enabled or disabled"),
        },
        propagation: match value(PROPAGATION) {
            None => None,
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Background") => Some(Propagation::Background),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => return unknown(PROPAGATION, other, "Foreground, Background or Orphan"),
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_objects_annotation_counts_before_the_files_comment() {
        let comments = in_comments(
            "# Ours.\n# sampan.dev/drift: warn\n# sampan.dev/prune: disabled\nkind: Pod\n# sampan.dev/drift: ignore\n",
        );
        let object = json!({ "metadata": { "annotations": { "sampan.dev/prune": "enabled" } } });
        let settings = of(&object, &comments).unwrap();
        assert_eq!((settings.drift, settings.protected), (Drift::Warn, false));
    }

    #[test]
    fn a_setting_that_is_not_understood_is_named() {
        let object = json!({ "metadata": { "annotations": { "sampan.dev/drift": "maybe" } } });
        assert!(of(&object, &BTreeMap::new()).unwrap_err().contains("maybe"));
    }
}
