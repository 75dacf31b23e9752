//! Which requests a webhook or a policy is about.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{RequestNaming, compile_on_request};
use crate::object::names;
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut, object_at};
use crate::resource::label_selector::validate_label_selector;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const CONDITIONS_MAX: usize = 64;

/// The defaults of what selects requests.
pub(super) fn default_selectors(holder: &mut Value) {
    fill(holder, "matchPolicy", "Equivalent");
    object_at(holder, "namespaceSelector");
    object_at(holder, "objectSelector");
}

/// A rule is about objects in namespaces and elsewhere unless it says where.
pub(super) fn default_scopes(holder: &mut Value, rules: &str) {
    items_mut(holder, rules).for_each(|rule| fill(rule, "scope", "*"));
}

/// The resources of a policy or a binding.
pub(super) fn validate_match_resources(resources: &Field<'_>, faults: &mut Faults) {
    faults.one_of(&resources.at("matchPolicy"), &["Equivalent", "Exact"]);
    for selector in resources.which(["namespaceSelector", "objectSelector"]) {
        validate_label_selector(&selector, faults);
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in resources.at(list).items() {
            let mut seen = BTreeSet::new();
            for name in rule.at("resourceNames").items() {
                faults.rule(&name, names::path_segment);
                if !seen.insert(name.text()) {
                    faults.duplicate(&name);
                }
            }
            validate_rule(&rule, faults);
        }
    }
}

/// A rule: which operations on which resources.
pub(super) fn validate_rule(rule: &Field<'_>, faults: &mut Faults) {
    let [operations, groups, versions] = ["operations", "apiGroups", "apiVersions"].map(|list| rule.at(list));
    for (list, others) in [(&operations, "operations"), (&groups, "API groups"), (&versions, "API versions")] {
        if list.count() == 0 {
            faults.required(list, "");
        }
        if list.count() > 1 && list.items().any(|item| item.text() == "*") {
            faults.invalid(list, format!("if '*' is present, must not specify other {others}"));
        }
    }
    for operation in operations.items() {
        faults.one_of_if_set(&operation, &OPERATIONS);
    }
    for version in versions.items() {
        faults.required_text(&version);
    }
    validate_resources(&rule.at("resources"), faults);
    faults.one_of_if_set(&rule.at("scope"), &["*", "Cluster", "Namespaced"]);
}

/// Resources and subresources, of which none is covered by another.
fn validate_resources(resources: &Field<'_>, faults: &mut Faults) {
    if resources.count() == 0 {
        faults.required(resources, "");
    }
    let (mut all_below, mut of_all) = (BTreeSet::new(), BTreeSet::new());
    for item in resources.items() {
        faults.required_text(&item);
        let Some((resource, sub)) = item.text().split_once('/') else { continue };
        if all_below.contains(resource) {
            faults.invalid(&item, format!("if '{resource}/*' is present, must not specify {}", item.text()));
        }
        if of_all.contains(sub) {
            faults.invalid(&item, format!("if '*/{sub}' is present, must not specify {}", item.text()));
        }
        if sub == "*" {
            all_below.insert(resource);
        }
        if resource == "*" {
            of_all.insert(sub);
        }
    }
    let has = |wanted: &str| resources.items().any(|item| item.text() == wanted);
    if resources.count() > 1 && has("*/*") {
        faults.invalid(resources, "if '*/*' is present, must not specify other resources");
    }
    if has("*") && resources.items().any(|item| item.text() != "*" && !item.text().contains('/')) {
        faults.invalid(resources, "if '*' is present, must not specify other resources without subresources");
    }
}

/// Expressions that must hold, each with a name of its own; compiled where it is known what they may name.
pub(super) fn validate_conditions(conditions: &Field<'_>, naming: Option<RequestNaming<'_>>, faults: &mut Faults) {
    faults.at_most(conditions, CONDITIONS_MAX);
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let name = condition.at("name");
        validate_expression(&condition.at("expression"), "", naming, faults);
        faults.required_rule(&name, names::qualified_name);
        if !name.text().is_empty() && !seen.insert(name.text()) {
            faults.duplicate(&name);
        }
    }
}

/// An expression that is there, and is one.
pub(super) fn validate_expression(
    expression: &Field<'_>,
    why: &'static str,
    naming: Option<RequestNaming<'_>>,
    faults: &mut Faults,
) {
    if expression.text().trim().is_empty() {
        faults.required(expression, why);
    } else if let Some(Err(why)) = naming.map(|naming| compile_on_request(expression.text(), naming)) {
        faults.invalid(expression, format!("compilation failed: {why}"));
    }
}
