//! Which rules a role is made of.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sampan_core::access::{PolicyRule, aggregated_rules};
use sampan_core::object::Object;
use sampan_core::object::selector::Selector;
use serde_json::{Value, json};

/// A role, as its aggregation sees it.
pub struct View {
    pub(crate) is_aggregated: bool,
    /// The rules it should have, where it has others.
    pub(crate) missing: Option<Vec<PolicyRule>>,
}

impl View {
    pub(crate) fn of(role: &Object, others: &[Arc<Object>]) -> Self {
        let missing = aggregated_rules(role, others.iter().map(|other| &**other));
        Self { is_aggregated: is_aggregated(role), missing }
    }
}

/// Whether a role is made of others.
pub(crate) fn is_aggregated(role: &Object) -> bool {
    !selectors(role).is_empty()
}

/// Whether a role is made of another one, among others.
pub(crate) fn selects(role: &Object, other: &Object) -> bool {
    let selects = |written: &LabelSelector| {
        Selector::try_from(written).is_ok_and(|selector| selector.matches(&other.metadata().labels))
    };
    role.key() != other.key() && selectors(role).iter().any(selects)
}

fn selectors(role: &Object) -> Vec<LabelSelector> {
    let role = role.decode::<ClusterRole>().ok();
    let rule = role.as_ref().and_then(|role| role.aggregation_rule.as_ref());
    rule.and_then(|rule| rule.cluster_role_selectors.clone()).unwrap_or_default()
}

/// The role with these rules.
pub(crate) fn with_rules(mut role: Value, rules: &[PolicyRule]) -> Value {
    if let Some(fields) = role.as_object_mut() {
        fields.insert("rules".to_owned(), json!(rules));
    }
    role
}
