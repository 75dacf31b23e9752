//! The rules nodes follow.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::object::{FieldError, names};
use crate::resource::address::address_range;
use crate::resource::check::{Faults, Field};
use crate::resource::pod::TAINT_EFFECTS;

pub(super) fn node(node: &Value) -> Faults {
    let mut faults = Faults::default();
    let spec = Field::root(node).at("spec");
    taints(&spec.at("taints"), &mut faults);
    networks(&spec, &mut faults);
    faults
}

fn taints(taints: &Field<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for taint in taints.items() {
        let (key, value, effect) = (taint.at("key"), taint.at("value"), taint.at("effect"));
        names::label_key(key.text(), &key.path, &mut faults.errors);
        let broken = names::label_value(value.text());
        if !broken.is_empty() {
            faults.errors.push(FieldError::invalid(value.path.clone(), value.text(), broken.join(";")));
        }
        faults.one_of(&effect, &TAINT_EFFECTS);
        if !seen.insert((key.text(), effect.text())) {
            faults.errors.push(FieldError::duplicate(taint.path, taint.value.clone()));
        }
    }
}

fn networks(spec: &Field<'_>, faults: &mut Faults) {
    let networks = spec.at("podCIDRs");
    for network in networks.items() {
        faults.rule(&network, address_range);
    }
    faults.optional_rule(&spec.at("podCIDR"), address_range);
    let families: Vec<bool> = networks.items().map(|network| network.text().contains(':')).collect();
    if families.len() > 2 || matches!(families.as_slice(), [one, other] if one == other) {
        faults.invalid(&networks, "may specify no more than one CIDR for each IP family");
    }
}

/// A node's networks and its name at its provider are given once.
pub(super) fn update(node: &Value, old: &Value) -> Faults {
    let mut faults = Faults::default();
    let (spec, before) = (Field::root(node).at("spec"), Field::root(old).at("spec"));
    for field in ["podCIDR", "podCIDRs", "providerID"] {
        let (new, known) = (spec.at(field), before.at(field));
        if known.is_set() && new.value != known.value {
            faults.forbidden(&new, "node updates may not change podCIDR or providerID except from \"\" to valid");
        }
    }
    faults
}

pub(super) fn status(node: &Value) -> Faults {
    let mut faults = Faults::default();
    let status = Field::root(node).at("status");
    for list in ["capacity", "allocatable"] {
        for (name, amount) in status.at(list).entries() {
            faults.errors.push_messages(&amount.path, name, names::qualified_name(name));
            match amount.quantity() {
                None => faults.invalid(&amount, "must be a quantity"),
                Some(quantity) if quantity.is_negative() => {
                    faults.invalid(&amount, "must be greater than or equal to 0");
                }
                Some(_) => {}
            }
        }
    }
    let mut seen = BTreeSet::new();
    for address in status.at("addresses").items() {
        if !seen.insert((address.at("type").text(), address.at("address").text())) {
            faults.errors.push(FieldError::duplicate(address.path, address.value.clone()));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(spec: Value, expected: &[&str]) {
        let faults = node(&json!({"spec": spec}));
        let found: Vec<String> = faults.errors.iter().map(|error| error.path.to_string()).collect();
        assert_eq!(found, expected, "{spec}");
    }

    #[test]
    fn taints_are_named_and_unique() {
        let taint = json!({"key": "gpu", "value": "a", "effect": "NoSchedule"});
        check(json!({"taints": [taint]}), &[]);
        check(json!({"taints": [taint, taint]}), &["spec.taints[1]"]);
        check(json!({"taints": [{"key": "a b", "effect": "NoSchedule"}]}), &["spec.taints[0].key"]);
        check(json!({"taints": [{"key": "a"}]}), &["spec.taints[0].effect"]);
        check(json!({"taints": [{"key": "a", "effect": "Never"}]}), &["spec.taints[0].effect"]);
    }

    #[test]
    fn a_network_is_given_once_and_is_one() {
        check(json!({"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]}), &[]);
        check(json!({"podCIDRs": ["10.0.0.0/33"]}), &["spec.podCIDRs[0]"]);
        check(json!({"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}), &["spec.podCIDRs"]);
        let (old, new) = (json!({"spec": {"podCIDR": "10.0.0.0/24"}}), json!({"spec": {"podCIDR": "10.0.1.0/24"}}));
        assert_eq!(update(&new, &old).errors.len(), 1);
        assert_eq!(update(&old, &old).errors.len(), 0);
    }

    #[test]
    fn amounts_are_not_negative() {
        let report = |cpu: &str| status(&json!({"status": {"capacity": {"cpu": cpu}}})).errors.len();
        assert_eq!([report("2"), report("-2"), report("two")], [0, 1, 1]);
    }
}
