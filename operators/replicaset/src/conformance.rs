//! ReplicaSets under proof, in the worlds of whatever keeps so many pods.

use sampan_conformance::Suite;
use sampan_core::operator::Operator;
use sampan_podset::replicas::conformance::{self, Specimen};
use serde_json::{Value, json};

use crate::ReplicaSetOperator;
use crate::resource::definition;

impl Specimen for ReplicaSetOperator {
    fn selecting(labels: Value) -> Value {
        json!({ "matchLabels": labels })
    }
}

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(ReplicaSetOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    conformance::complete::<ReplicaSetOperator>(Suite::of(operator).serving(definition()))
}
