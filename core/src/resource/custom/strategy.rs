//! The behaviour of custom objects.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::path::JsonPath;
use super::schema::Structural;
use super::{shape, validate};
use crate::object::FieldPath;
use crate::resource::fill::clear;
use crate::resource::{Cell, Column, Strategy, WriteContext, table};
use crate::status::StatusCause;

/// A column and where its cells come from.
pub(super) struct CustomColumn {
    pub(super) column: Column,
    pub(super) path: JsonPath,
}

/// A custom resource type in one of its versions.
pub(super) struct CustomStrategy {
    pub(super) schema: Arc<Structural>,
    /// None: there is the age alone.
    pub(super) columns: Vec<CustomColumn>,
    pub(super) has_status: bool,
    pub(super) has_defaults: bool,
    /// What users of this version are told.
    pub(super) deprecation: Option<String>,
}

impl Strategy for CustomStrategy {
    fn prune(&self, object: &mut Value) -> Vec<FieldPath> {
        shape::prune(&self.schema, object)
    }

    fn default(&self, object: &mut Value) {
        shape::fill_defaults(&self.schema, object);
    }

    fn completes(&self) -> bool {
        self.has_defaults
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        if self.has_status {
            clear(object, "status");
        }
    }

    fn validate_create(&self, object: &Value, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        validate::validate(&self.schema, object, None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        validate::validate(&self.schema, object, Some(old))
    }

    fn validate_status(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        validate::validate(&self.schema, object, Some(old))
    }

    fn warnings(&self, _object: &Value) -> Vec<String> {
        self.deprecation.clone().into_iter().collect()
    }

    fn columns(&self) -> Vec<Column> {
        match self.columns.is_empty() {
            true => vec![Column::age()],
            false => self.columns.iter().map(|column| column.column.clone()).collect(),
        }
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        if self.columns.is_empty() {
            return vec![table::age(object, now)];
        }
        let cell = |column: &CustomColumn| cell(&column.column.kind, column.path.first(object), now);
        self.columns.iter().map(cell).collect()
    }
}

/// A value as a column of that type shows it; nothing where it is of another type.
fn cell(kind: &str, value: Option<&Value>, now: Timestamp) -> Cell {
    match (kind, value) {
        (_, None | Some(Value::Null)) => Value::Null,
        ("string", Some(Value::String(text))) => text.clone().into(),
        ("string", Some(other)) => other.to_string().into(),
        ("date", Some(Value::String(text))) => match text.parse::<Timestamp>() {
            Ok(_) => table::since(text, now).into(),
            Err(_) => "<invalid>".into(),
        },
        ("integer", Some(Value::Number(number))) => {
            number.as_i64().or(number.as_f64().map(|number| number as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Some(number @ Value::Number(_))) => number.clone(),
        ("boolean", Some(flag @ Value::Bool(_))) => flag.clone(),
        _ => Value::Null,
    }
}
