//! Tables: what `kubectl get` prints.

use sampan_core::Timestamp;
use sampan_core::resource::{Column, ResourceDefinition};
use sampan_core::status::Status;
use serde_json::{Value, json};

/// What accompanies a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowObject {
    /// Nothing.
    None,
    /// The object's metadata.
    Metadata,
    /// The object.
    Whole,
}

impl RowObject {
    /// Reads `includeObject`.
    pub(super) fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Whole),
            other => Err(Status::bad_request(format!(
                "Invalid value: {other:?}: includeObject must be one of \"\", \"None\", \"Metadata\", \"Object\""
            ))),
        }
    }
}

/// Whether a table describes its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// It does.
    Shown,
    /// An earlier event of the watch did.
    Known,
}

/// Writes a table up to its first row.
pub(super) fn open(out: &mut Vec<u8>, definition: &ResourceDefinition, version: &str, metadata: &str, header: Header) {
    let columns = match header {
        Header::Shown => columns(definition).to_string(),
        Header::Known => "null".to_owned(),
    };
    let text = format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{metadata},\"columnDefinitions\":{columns},\"rows\":["
    );
    out.extend_from_slice(text.as_bytes());
}

fn columns(definition: &ResourceDefinition) -> Value {
    let name = json!({
        "name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "Name must be unique within a namespace.",
    });
    let own = definition.strategy.columns();
    let name = (!is_named_by(&own)).then_some(name);
    let others = own.into_iter().map(|column| {
        json!({
            "name": column.name, "type": column.kind, "format": column.format,
            "description": column.description, "priority": column.priority,
        })
    });
    name.into_iter().chain(others).collect()
}

/// Whether a resource type has a column of its own for names: then it begins with no other.
fn is_named_by(columns: &[Column]) -> bool {
    columns.iter().any(|column| column.format == "name")
}

/// Writes a row up to its object.
pub(super) fn write_cells(out: &mut Vec<u8>, definition: &ResourceDefinition, object: &Value, now: Timestamp) {
    let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
    let mut cells = if is_named_by(&definition.strategy.columns()) { Vec::new() } else { vec![name] };
    cells.extend(definition.strategy.cells(object, now));
    out.extend_from_slice(b"{\"cells\":");
    out.extend_from_slice(Value::Array(cells).to_string().as_bytes());
    out.extend_from_slice(b",\"object\":");
}

/// A bookmark as a table: one row without cells whose object carries the revision.
pub(super) fn bookmark(definition: &ResourceDefinition, version: &str, metadata: Value, rows: RowObject) -> Value {
    let api_version = format!("meta.k8s.io/{version}");
    let own = definition.strategy.columns();
    let cells = vec![Value::String(String::new()); own.len() + usize::from(!is_named_by(&own))];
    let revision = metadata.get("resourceVersion").cloned();
    let object = match rows {
        RowObject::None => Value::Null,
        _ => json!({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": metadata}),
    };
    json!({
        "kind": "Table", "apiVersion": api_version, "metadata": {"resourceVersion": revision},
        "columnDefinitions": null, "rows": [{"cells": cells, "object": object}],
    })
}
