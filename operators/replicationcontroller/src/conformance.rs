//! ReplicationControllers under proof, in the worlds of whatever keeps so many pods.

use sampan_conformance::Suite;
use sampan_core::operator::Operator;
use sampan_podset::replicas::conformance::{self, Specimen};
use serde_json::Value;

use crate::ReplicationControllerOperator;

impl Specimen for ReplicationControllerOperator {
    fn selecting(labels: Value) -> Value {
        labels
    }
}

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(ReplicationControllerOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    conformance::complete::<ReplicationControllerOperator>(Suite::of(operator))
}
