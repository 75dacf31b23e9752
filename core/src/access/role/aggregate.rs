//! Cluster roles made of other cluster roles.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use super::PolicyRule;
use crate::object::Object;
use crate::object::selector::Selector;

/// A cluster role as far as aggregation needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Aggregated {
    aggregation_rule: Option<AggregationRule>,
    rules: Option<Vec<PolicyRule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregationRule {
    cluster_role_selectors: Option<Vec<LabelSelector>>,
}

/// The rules `role` should have, made of those of the `others` it selects, in their order and each once; `None` where it is
/// not made of others, or has just these.
pub fn aggregated_rules<'o>(role: &Object, others: impl Iterator<Item = &'o Object>) -> Option<Vec<PolicyRule>> {
    let own: Aggregated = serde_json::from_slice(role.bytes()).ok()?;
    let written = own.aggregation_rule?.cluster_role_selectors.unwrap_or_default();
    let selectors: Vec<Selector> = written.iter().filter_map(|it| Selector::try_from(it).ok()).collect();
    let mut wanted: Vec<PolicyRule> = Vec::new();
    for other in others.filter(|other| other.key() != role.key()) {
        if !selectors.iter().any(|selector| selector.matches(&other.metadata().labels)) {
            continue;
        }
        let other: Aggregated = serde_json::from_slice(other.bytes()).ok()?;
        for rule in other.rules.into_iter().flatten() {
            if !wanted.contains(&rule) {
                wanted.push(rule);
            }
        }
    }
    (own.rules.unwrap_or_default() != wanted).then_some(wanted)
}
