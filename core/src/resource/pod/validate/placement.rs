//! Rules for where a pod may run.

use std::collections::BTreeSet;

use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};
use crate::resource::label_selector::validate_label_selector;
use crate::resource::pod::TAINT_EFFECTS;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(affinity: &Field<'_>, faults: &mut Faults) {
    node_affinity(&affinity.at("nodeAffinity"), faults);
    for pods in affinity.which(["podAffinity", "podAntiAffinity"]) {
        for term in pods.at(REQUIRED).items() {
            pod_term(&term, faults);
        }
        for weighted in pods.at(PREFERRED).items() {
            weight(&weighted, faults);
            pod_term(&weighted.at("podAffinityTerm"), faults);
        }
    }
}

fn node_affinity(affinity: &Field<'_>, faults: &mut Faults) {
    let required = affinity.at(REQUIRED);
    if required.is_set() {
        node_selector(&required, faults);
    }
    for preferred in affinity.at(PREFERRED).items() {
        weight(&preferred, faults);
        node_term(&preferred.at("preference"), ValueRule::Any, faults);
    }
}

/// A selection of nodes: at least one term, of which one is to hold.
pub(in crate::resource::pod) fn node_selector(selector: &Field<'_>, faults: &mut Faults) {
    let terms = selector.at("nodeSelectorTerms");
    if terms.count() == 0 {
        faults.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_term(&term, ValueRule::Label, faults);
    }
}

/// What values an expression may compare with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueRule {
    Label,
    Any,
}

fn node_term(term: &Field<'_>, rule: ValueRule, faults: &mut Faults) {
    for expression in term.at("matchExpressions").items() {
        node_expression(&expression, rule, faults);
    }
    for expression in term.at("matchFields").items() {
        node_field(&expression, faults);
    }
}

fn node_expression(expression: &Field<'_>, rule: ValueRule, faults: &mut Faults) {
    let (operator, values, key) = (expression.at("operator"), expression.at("values"), expression.at("key"));
    match (operator.text(), values.count()) {
        ("In" | "NotIn", 0) => faults.required(&values, "must be specified when `operator` is 'In' or 'NotIn'"),
        ("Exists" | "DoesNotExist", 1..) => {
            faults.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        ("Gt" | "Lt", 0 | 2..) => {
            faults.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt", _) => {}
        _ => faults.invalid(&operator, "not a valid selector operator"),
    }
    names::label_key(key.text(), &key.path, &mut faults.errors);
    if rule == ValueRule::Label {
        for value in values.items() {
            faults.rule(&value, names::label_value);
        }
    }
}

fn node_field(expression: &Field<'_>, faults: &mut Faults) {
    let (operator, values, key) = (expression.at("operator"), expression.at("values"), expression.at("key"));
    match operator.text() {
        "In" | "NotIn" if values.count() != 1 => {
            let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            faults.required(&values, why);
        }
        "In" | "NotIn" => {}
        _ => faults.invalid(&operator, "not a valid selector operator"),
    }
    if key.text() != "metadata.name" {
        return faults.invalid(&key, "not a valid field selector key");
    }
    for value in values.items() {
        faults.rule(&value, names::dns_1123_subdomain);
    }
}

fn weight(weighted: &Field<'_>, faults: &mut Faults) {
    let weight = weighted.at("weight");
    if !(1..=100).contains(&weight.number().unwrap_or_default()) {
        let number = weight.number().unwrap_or_default();
        faults.errors.push(FieldError::invalid(weight.path, number, "must be in the range 1-100"));
    }
}

fn pod_term(term: &Field<'_>, faults: &mut Faults) {
    for selector in term.which(["labelSelector", "namespaceSelector"]) {
        validate_label_selector(&selector, faults);
    }
    let namespaces = term.path.child("namespace");
    for namespace in term.at("namespaces").items() {
        faults.errors.push_messages(&namespaces, namespace.text(), names::dns_1123_label(namespace.text()));
    }
    topology_key(term, faults);
    label_keys(term, faults);
}

/// Labels that stand for the pod's own values: they narrow a selector, so there is one, and mean one thing each.
fn label_keys(term: &Field<'_>, faults: &mut Faults) {
    let differing: BTreeSet<&str> = term.at("mismatchLabelKeys").items().map(|key| key.text()).collect();
    for keys in term.which(["matchLabelKeys", "mismatchLabelKeys"]) {
        if keys.count() > 0 && !term.at("labelSelector").is_set() {
            faults.forbidden(&keys, "must not be specified when labelSelector is not set");
        }
        for key in keys.items() {
            names::label_key(key.text(), &key.path, &mut faults.errors);
        }
    }
    for key in term.at("matchLabelKeys").items().filter(|key| differing.contains(key.text())) {
        faults.invalid(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

fn topology_key(holder: &Field<'_>, faults: &mut Faults) {
    let key = holder.at("topologyKey");
    if key.text().is_empty() {
        faults.required(&key, "can not be empty");
    }
    names::label_key(key.text(), &key.path, &mut faults.errors);
}

pub(in crate::resource::pod) fn tolerations(tolerations: &Field<'_>, faults: &mut Faults) {
    for toleration in tolerations.items() {
        let [key, operator, value, effect] = ["key", "operator", "value", "effect"].map(|name| toleration.at(name));
        if !key.text().is_empty() {
            names::label_key(key.text(), &key.path, &mut faults.errors);
        } else if operator.text() != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.errors.push(FieldError::invalid(operator.path.clone(), operator.text(), why));
        }
        if toleration.at("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.errors.push(FieldError::invalid(effect.path.clone(), effect.text(), why));
        }
        match operator.text() {
            "" | "Equal" => {
                let broken = names::label_value(value.text());
                if !broken.is_empty() {
                    faults.errors.push(FieldError::invalid(operator.path, value.text(), broken.join(";")));
                }
            }
            "Exists" if !value.text().is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                faults.errors.push(FieldError::invalid(operator.path, value.text(), why));
            }
            "Exists" => {}
            _ => faults.one_of_if_set(&operator, &["Equal", "Exists"]),
        }
        if !effect.text().is_empty() {
            faults.one_of_if_set(&effect, &TAINT_EFFECTS);
        }
    }
}

pub(super) fn topology_spread(constraints: &Field<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for constraint in constraints.items() {
        positive(&constraint.at("maxSkew"), faults);
        topology_key(&constraint, faults);
        let when = constraint.at("whenUnsatisfiable");
        faults.one_of_if_set(
            &Field { value: if when.is_set() { when.value } else { &EMPTY }, path: when.path.clone() },
            &["DoNotSchedule", "ScheduleAnyway"],
        );
        let pair = format!("{{{}, {}}}", constraint.at("topologyKey").text(), when.text());
        if !seen.insert(pair.clone()) {
            let path = constraint.path.child("{topologyKey, whenUnsatisfiable}");
            faults.errors.push(FieldError::duplicate(path, pair));
        }
        let domains = constraint.at("minDomains");
        if domains.is_set() {
            positive(&domains, faults);
            if when.text() != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", when.text());
                faults.invalid(&domains, why);
            }
        }
        for policy in constraint.which(["nodeAffinityPolicy", "nodeTaintsPolicy"]) {
            faults.one_of_if_set(&policy, &["Honor", "Ignore"]);
        }
        validate_label_selector(&constraint.at("labelSelector"), faults);
        label_keys(&constraint, faults);
    }
}

static EMPTY: serde_json::Value = serde_json::Value::String(String::new());

fn positive(field: &Field<'_>, faults: &mut Faults) {
    let number = field.number().unwrap_or_default();
    if number <= 0 {
        faults.errors.push(FieldError::invalid(field.path.clone(), number, "must be greater than zero"));
    }
}
