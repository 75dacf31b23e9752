//! Leases: signs of life, and locks of leader election.

use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::read::text;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::ResourceType;
use crate::status::StatusCause;

/// The resource type.
pub const LEASES: ResourceType = ResourceType::new("coordination.k8s.io", "leases");

struct LeaseStrategy;

/// What a Lease is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("coordination.k8s.io", "v1", "io.k8s.api.coordination.v1.Lease");
    ResourceDefinition::plain(LEASES, "Lease", "lease", version, LeaseStrategy)
}

impl Strategy for LeaseStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        let (seconds, transitions) = (spec.at("leaseDurationSeconds"), spec.at("leaseTransitions"));
        if seconds.number().is_some_and(|seconds| seconds <= 0) {
            faults.invalid(&seconds, "must be greater than 0");
        }
        faults.nonnegative(&transitions);
        if spec.at("preferredHolder").is_set() && spec.at("strategy").text().is_empty() {
            faults.forbidden(
                &spec.at("preferredHolder"),
                "preferredHolder must not be specified when strategy is not set",
            );
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Holder", "Who holds the lease."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/spec/holderIdentity").into(), table::age(object, now)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_lasts() {
        let fields = |spec: Value| -> Vec<String> {
            LeaseStrategy.validate(&json!({"spec": spec})).into_iter().map(|cause| cause.field).collect()
        };
        assert_eq!(fields(json!({"leaseDurationSeconds": 40, "leaseTransitions": 0})), Vec::<String>::new());
        assert_eq!(fields(json!({"leaseDurationSeconds": 0})), ["spec.leaseDurationSeconds"]);
        assert_eq!(fields(json!({"leaseTransitions": -1})), ["spec.leaseTransitions"]);
    }
}
