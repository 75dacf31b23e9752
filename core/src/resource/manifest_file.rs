//! ManifestFiles: what became of each file of the manifests directory. Sampan writes them; people read them.

use jiff::Timestamp;
use serde_json::Value;

use super::read::{items, size, text};
use super::{Cell, Column, FieldGetter, ResourceDefinition, Scope, ServedVersion, Strategy, table};
use crate::object::ResourceType;

/// The resource type.
pub const MANIFEST_FILES: ResourceType = ResourceType::new("sampan.dev", "manifestfiles");

const SELECTABLE: &[(&str, FieldGetter)] = &[
    ("spec.path", |file| text(file, "/spec/path").to_owned()),
    ("status.phase", |file| text(file, "/status/phase").to_owned()),
];

struct ManifestFileStrategy;

/// What a ManifestFile is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("sampan.dev", "v1", "dev.sampan.v1.ManifestFile");
    ResourceDefinition {
        short_names: &["mf"],
        scope: Scope::Cluster,
        has_status: true,
        selectable: SELECTABLE,
        has_generation: true,
        ..ResourceDefinition::plain(MANIFEST_FILES, "ManifestFile", "manifestfile", version, ManifestFileStrategy)
    }
}

impl Strategy for ManifestFileStrategy {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("File", "The file below the manifests directory."),
            Column::integer("Objects", "How many objects the file holds."),
            Column::text("Revision", "The store's revision after the file was last applied."),
            Column::text("Status", "What became of the file."),
            Column::text("Problem", "The first thing wrong with the file, and where."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![
            text(object, "/spec/path").into(),
            size(object, "/status/objects").into(),
            table::or_none(text(object, "/status/revision")),
            table::or_none(text(object, "/status/phase")),
            table::or_none(&problem(object)),
            table::age(object, now),
        ]
    }
}

/// The first problem in one line, as `line 3, column 5: unknown field (and 2 more)`.
fn problem(object: &Value) -> String {
    let mut problems = items(object, "/status/problems");
    let Some(first) = problems.next() else { return String::new() };
    let place = |field: &str| first.get(field).and_then(Value::as_i64).filter(|number| *number > 0);
    let message = text(first, "/message").lines().next().unwrap_or_default();
    let place = match (place("line"), place("column")) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        (Some(line), None) => format!("line {line}: "),
        _ => String::new(),
    };
    match problems.len() {
        0 => format!("{place}{message}"),
        more => format!("{place}{message} (and {more} more)"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_problem_is_shown_with_its_place() {
        let file = json!({"status": {"problems": [
            {"message": "unknown field\nsee the docs", "line": 3, "column": 5}, {"message": "more"}]}});
        assert_eq!(problem(&file), "line 3, column 5: unknown field (and 1 more)");
        assert_eq!(problem(&json!({})), "");
    }
}
