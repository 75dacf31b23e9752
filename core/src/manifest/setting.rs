//! What an author sets beside the objects: by an annotation on one of them; drift also by a comment at the top of a file.
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

/// What an object's annotations say of its removal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removal {
    /// Whether the object stays when its document goes.
    pub protected: bool,
    /// How it is deleted; `None` takes the resource type's default.
    pub propagation: Option<Propagation>,
}

/// The settings in the comments a file begins with, by name.
pub(super) fn in_comments(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .take_while(|line| line.starts_with('#') || line.trim().is_empty() || *line == "---")
        .filter_map(|line| line.trim_start_matches('#').trim().split_once(':'))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// What happens on drift of an object in a file with these comments; the object's own annotation counts first.
///
/// # Errors
/// The value that is not understood, and what would be.
pub(super) fn drift(object: &Value, comments: &BTreeMap<String, String>) -> Result<Drift, String> {
    match annotation(object, DRIFT).or_else(|| comments.get(DRIFT).map(String::as_str)) {
        None | Some("enforce") => Ok(Drift::Enforce),
        Some("warn") => Ok(Drift::Warn),
        Some("ignore") => Ok(Drift::Ignore),
        Some(other) => Err(not_understood(DRIFT, other, "enforce, warn or ignore")),
    }
}

/// What an object's annotations say of its removal.
///
/// # Errors
/// The value that is not understood, and what would be.
pub fn removal(object: &Value) -> Result<Removal, String> {
    let protected = match annotation(object, PRUNE) {
        None | Some("enabled") => false,
        Some("disabled") => true,
        Some(other) => return Err(not_understood(PRUNE, other, "enabled or disabled")),
    };
    let propagation = match annotation(object, PROPAGATION) {
        None => None,
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Background") => Some(Propagation::Background),
        Some("Orphan") => Some(Propagation::Orphan),
        Some(other) => return Err(not_understood(PROPAGATION, other, "Foreground, Background or Orphan")),
    };
    Ok(Removal { protected, propagation })
}

fn annotation<'object>(object: &'object Value, name: &str) -> Option<&'object str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

fn not_understood(name: &str, found: &str, expected: &str) -> String {
    format!("{name} is {found:?}: expected {expected}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_objects_annotation_counts_before_the_files_comment() {
        let comments = in_comments("# Ours.\n# sampan.dev/drift: warn\nkind: Pod\n# sampan.dev/drift: ignore\n");
        assert_eq!(drift(&json!({}), &comments), Ok(Drift::Warn));
        let object = json!({ "metadata": { "annotations": { "sampan.dev/drift": "enforce" } } });
        assert_eq!(drift(&object, &comments), Ok(Drift::Enforce));
    }

    #[test]
    fn a_setting_that_is_not_understood_is_named() {
        let object =
            json!({ "metadata": { "annotations": { "sampan.dev/drift": "maybe", "sampan.dev/prune": "no" } } });
        assert!(drift(&object, &BTreeMap::new()).unwrap_err().contains("maybe"));
        assert!(removal(&object).unwrap_err().contains("\"no\""));
    }

    #[test]
    fn an_object_says_how_it_goes() {
        let object = json!({ "metadata": { "annotations": { "sampan.dev/prune": "disabled", "sampan.dev/propagation": "Foreground" } } });
        let expected = Removal { protected: true, propagation: Some(Propagation::Foreground) };
        assert_eq!(removal(&object), Ok(expected));
        assert_eq!(removal(&json!({})), Ok(Removal::default()));
    }
}
