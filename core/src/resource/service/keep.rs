//! What an update keeps that the client left out, and drops that the new type does not have.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{is_external, is_health_checked, is_load_balancer};
use crate::resource::check::Field;
use crate::resource::fill::{clear, fill_zero, items_mut, present, set};
use crate::resource::read::{integer, items, size, text};

/// Addresses and node ports stay where the new object names none.
pub(super) fn allocated(object: &mut Value, old: &Value) {
    let (Some(spec), Some(before)) = (present(object, "spec"), old.get("spec")) else { return };
    if has_address(spec) && has_address(before) {
        if text(spec, "/clusterIP").is_empty() {
            copy(spec, before, "clusterIP");
        }
        if size(spec, "/clusterIPs") == 0 && text(spec, "/clusterIP") == text(before, "/clusterIP") {
            copy(spec, before, "clusterIPs");
        }
    }
    if has_node_ports(spec) && has_node_ports(before) {
        node_ports(spec, before);
    }
    let checked = |spec: &Value| is_health_checked(&Field::root(spec));
    if checked(spec) && checked(before) && integer(before, "/healthCheckNodePort") > 0 {
        fill_zero(spec, "healthCheckNodePort", integer(before, "/healthCheckNodePort"));
    }
}

/// What only the old type has goes with it, unless the client changed it too: then it is refused.
pub(super) fn drop_what_the_type_does_not_have(object: &mut Value, old: &Value) {
    let (Some(spec), Some(before)) = (present(object, "spec"), old.get("spec")) else { return };
    let drop_if = |spec: &mut Value, had: bool, has: bool, fields: &[&str]| {
        for field in fields.iter().filter(|_| had && !has) {
            if spec.get(*field) == before.get(*field) {
                clear(spec, field);
            }
        }
    };
    let of = |spec: &Value, rule: fn(&Field<'_>) -> bool| rule(&Field::root(spec));
    let (had, has) = (has_address(before), has_address(spec));
    drop_if(spec, had, has, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    if has_node_ports(before) && !has_node_ports(spec) && ports_in_use(spec) == ports_in_use(before) {
        items_mut(spec, "ports").for_each(|port| clear(port, "nodePort"));
    }
    let (had, has) = (of(before, is_health_checked), of(spec, is_health_checked));
    drop_if(spec, had, has, &["healthCheckNodePort"]);
    let (had, has) = (of(before, is_external), of(spec, is_external));
    drop_if(spec, had, has, &["externalTrafficPolicy"]);
    let (had, has) = (of(before, is_load_balancer), of(spec, is_load_balancer));
    drop_if(spec, had, has, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    if had
        && !has
        && let Some(status) = present(object, "status")
    {
        set(status, "loadBalancer", serde_json::json!({}));
    }
}

pub(super) fn has_address(spec: &Value) -> bool {
    text(spec, "/type") != "ExternalName"
}

pub(super) fn has_node_ports(spec: &Value) -> bool {
    let balancer = text(spec, "/type") == "LoadBalancer";
    text(spec, "/type") == "NodePort"
        || (balancer && spec.get("allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true))
}

pub(super) fn ports_in_use(spec: &Value) -> BTreeSet<i64> {
    items(spec, "/ports").map(|port| integer(port, "/nodePort")).filter(|port| *port != 0).collect()
}

/// A port of the same name keeps its node port, if no other port has taken it.
fn node_ports(spec: &mut Value, before: &Value) {
    let taken: BTreeSet<i64> = ports_in_use(spec).intersection(&ports_in_use(before)).copied().collect();
    for port in items_mut(spec, "ports") {
        let same = items(before, "/ports").rfind(|old| text(old, "/name") == text(port, "/name"));
        let number = same.map(|old| integer(old, "/nodePort")).unwrap_or_default();
        if number != 0 && !taken.contains(&number) {
            fill_zero(port, "nodePort", number);
        }
    }
}

fn copy(spec: &mut Value, before: &Value, field: &str) {
    if let Some(value) = before.get(field) {
        set(spec, field, value.clone());
    }
}
