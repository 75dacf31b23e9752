//! Effects: what operators want done to the world beyond the store, and what came of it. Sampan writes them; people read
//! them.

use jiff::Timestamp;
use serde_json::Value;

use super::read::text;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::ResourceType;

/// The resource type.
pub const EFFECTS: ResourceType = ResourceType::new("sampan.dev", "effects");

struct EffectStrategy;

/// What an Effect is. It has no status subresource: what came of it and the finalizer that kept it are one write.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("sampan.dev", "v1", "dev.sampan.v1.Effect");
    ResourceDefinition::plain(EFFECTS, "Effect", "effect", version, EffectStrategy)
}

impl Strategy for EffectStrategy {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Operator", "The operator that wants it."),
            Column::text("Effect", "What is to be done."),
            Column::text("Status", "Pending until it is done."),
            Column::text("Problem", "What the last try failed with."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![
            text(object, "/spec/operator").into(),
            text(object, "/spec/effect").into(),
            table::or_none(text(object, "/status/phase")),
            table::or_none(text(object, "/status/error")),
            table::age(object, now),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_tells_what_is_to_be_done_and_what_keeps_it() {
        let effect = json!({"spec": {"operator": "buckets", "effect": "create-bucket", "key": "a"},
            "status": {"phase": "Pending", "error": "no route"}});
        let cells = EffectStrategy.cells(&effect, Timestamp::UNIX_EPOCH);
        assert_eq!(cells.len(), EffectStrategy.columns().len());
        assert_eq!(cells[..4], [json!("buckets"), json!("create-bucket"), json!("Pending"), json!("no route")]);
    }
}
