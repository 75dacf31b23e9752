//! Fields that would change and belong to others.

use std::collections::BTreeMap;
use std::fmt;

use super::field_set::FieldSet;
use super::record::Entry;
use crate::status::StatusCause;

/// A field that would change and belongs to another manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The manager, as `"kubectl-edit" using apps/v1`.
    pub manager: String,
    /// The field, as `.spec.replicas`.
    pub field: String,
}

/// All conflicts of one apply; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(Vec<Conflict>);

impl Conflicts {
    /// Checks that none of `others` owns what is `changed`.
    pub(super) fn of<'a>(others: impl Iterator<Item = &'a Entry>, changed: &FieldSet) -> Result<(), Self> {
        let mut found = Vec::new();
        for entry in others {
            let paths = entry.fields.common_paths(changed);
            found.extend(paths.into_iter().map(|field| Conflict { manager: entry.shown(), field }));
        }
        if found.is_empty() { Ok(()) } else { Err(Self(found)) }
    }

    /// The conflicts, by manager and field.
    pub fn iter(&self) -> std::slice::Iter<'_, Conflict> {
        self.0.iter()
    }

    /// The entries of `details.causes`.
    pub fn causes(&self) -> Vec<StatusCause> {
        let cause = |conflict: &Conflict| StatusCause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {}", conflict.manager),
            field: conflict.field.clone(),
        };
        self.0.iter().map(cause).collect()
    }
}

impl<'a> IntoIterator for &'a Conflicts {
    type Item = &'a Conflict;
    type IntoIter = std::slice::Iter<'a, Conflict>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {}", only.manager, only.field);
        }
        let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for conflict in &self.0 {
            by_manager.entry(&conflict.manager).or_default().push(&conflict.field);
        }
        let lines = by_manager.into_iter().flat_map(|(manager, fields)| {
            let fields = fields.into_iter().map(|field| format!("- {field}"));
            std::iter::once(format!("conflicts with {manager}:")).chain(fields)
        });
        let lines: Vec<String> = lines.collect();
        write!(f, "Apply failed with {} conflicts: {}", self.0.len(), lines.join("\n"))
    }
}

impl std::error::Error for Conflicts {}
