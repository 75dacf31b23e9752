//! Roles: what may be done, without saying by whom.

use jiff::Timestamp;
use serde_json::Value;

use super::{CLUSTER_ROLES, GROUP, ROLES};
use crate::object::names;
use crate::resource::check::{Faults, Field};
use crate::resource::label_selector::validate_label_selector;
use crate::resource::read::text;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

struct RoleStrategy {
    scope: Scope,
}

/// What a Role is.
pub(super) fn role() -> ResourceDefinition {
    let version = ServedVersion::stored(GROUP, "v1", "io.k8s.api.rbac.v1.Role");
    ResourceDefinition::plain(ROLES, "Role", "role", version, RoleStrategy { scope: Scope::Namespaced })
}

/// What a ClusterRole is.
pub(super) fn cluster_role() -> ResourceDefinition {
    let version = ServedVersion::stored(GROUP, "v1", "io.k8s.api.rbac.v1.ClusterRole");
    let strategy = RoleStrategy { scope: Scope::Cluster };
    ResourceDefinition {
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(CLUSTER_ROLES, "ClusterRole", "clusterrole", version, strategy)
    }
}

impl Strategy for RoleStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let role = Field::root(object);
        for rule in role.at("rules").items() {
            check_rule(&rule, self.scope, &mut faults);
        }
        let aggregation = role.at("aggregationRule");
        if aggregation.is_set() {
            let selectors = aggregation.at("clusterRoleSelectors");
            if selectors.count() == 0 {
                faults.required(&selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
            }
            for selector in selectors.items() {
                validate_label_selector(&selector, &mut faults);
            }
        }
        faults.errors.causes()
    }

    fn name_faults(&self, name: &str) -> Vec<String> {
        names::path_segment(name)
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Created At", "When the role was created.")]
    }

    fn cells(&self, object: &Value, _: Timestamp) -> Vec<Cell> {
        vec![text(object, "/metadata/creationTimestamp").into()]
    }
}

fn check_rule(rule: &Field<'_>, scope: Scope, faults: &mut Faults) {
    let is_empty = |name: &'static str| rule.at(name).count() == 0;
    if is_empty("verbs") {
        faults.required(&rule.at("verbs"), "verbs must contain at least one value");
    }
    let paths = rule.at("nonResourceURLs");
    if paths.count() > 0 {
        if scope == Scope::Namespaced {
            faults.invalid(&paths, "namespaced rules cannot apply to non-resource URLs");
        }
        if !["apiGroups", "resources", "resourceNames"].into_iter().all(is_empty) {
            faults.invalid(&paths, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if is_empty("apiGroups") {
        faults.required(&rule.at("apiGroups"), "resource rules must supply at least one api group");
    }
    if is_empty("resources") {
        faults.required(&rule.at("resources"), "resource rules must supply at least one resource");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(scope: Scope, rule: Value) -> Vec<String> {
        let strategy = RoleStrategy { scope };
        strategy.validate(&json!({"rules": [rule]})).into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn a_rule_says_what_may_be_done_with_what() {
        let none: &[&str] = &[];
        let cases = [
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), none, none),
            (json!({"verbs": ["get"], "nonResourceURLs": ["/x"]}), &["rules[0].nonResourceURLs"], none),
            (json!({"apiGroups": [""], "resources": ["pods"]}), &["rules[0].verbs"], &["rules[0].verbs"]),
            (json!({"verbs": ["get"], "resources": ["pods"]}), &["rules[0].apiGroups"], &["rules[0].apiGroups"]),
            (json!({"verbs": ["get"], "apiGroups": [""]}), &["rules[0].resources"], &["rules[0].resources"]),
            (
                json!({"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]}),
                &["rules[0].nonResourceURLs", "rules[0].nonResourceURLs"],
                &["rules[0].nonResourceURLs"],
            ),
        ];
        for (rule, in_role, in_cluster_role) in cases {
            assert_eq!(faults(Scope::Namespaced, rule.clone()), in_role, "{rule}");
            assert_eq!(faults(Scope::Cluster, rule.clone()), in_cluster_role, "{rule}");
        }
    }

    #[test]
    fn an_aggregation_selects_something() {
        let strategy = RoleStrategy { scope: Scope::Cluster };
        let fields = |rule: Value| -> Vec<String> {
            strategy.validate(&json!({"aggregationRule": rule})).into_iter().map(|cause| cause.field).collect()
        };
        assert_eq!(fields(json!({})), ["aggregationRule.clusterRoleSelectors"]);
        assert_eq!(fields(json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})), Vec::<String>::new());
        let unknown = json!({"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]});
        assert_eq!(fields(unknown), ["aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator"]);
    }

    #[test]
    fn a_name_may_have_colons_but_no_slash() {
        let strategy = RoleStrategy { scope: Scope::Cluster };
        assert!(strategy.name_faults("system:Node").is_empty());
        assert!(!strategy.name_faults("a/b").is_empty());
    }
}
