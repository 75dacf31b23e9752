//! What a pod asks for in all: its requests and limits, summed as the scheduler and quotas do (KEP-753).

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::read::{items, text, texts};
use crate::object::Quantity;

/// Amounts by resource name, such as `cpu`.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// The list of a container's or pod's `resources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// What it asks for.
    Requests,
    /// What it must not exceed.
    Limits,
}

impl List {
    /// Its field.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// What a container asks for, or must not exceed.
pub(crate) fn of_container(container: &Value, list: List) -> Amounts {
    amounts(container, &format!("/resources/{}", list.field()))
}

/// The amounts of a map at a JSON pointer.
pub(crate) fn amounts(object: &Value, pointer: &str) -> Amounts {
    let found = texts(object, pointer);
    found.filter_map(|(name, amount)| Some((name.to_owned(), Quantity::parse(amount).ok()?))).collect()
}

/// What a pod asks for in all: what runs at once, or what it needs to start, whichever is more. What the pod names as a
/// whole stands in the place of its containers' sum.
pub(crate) fn of_pod(pod: &Value, list: List) -> Amounts {
    let mut running = Amounts::new();
    let mut starting = Amounts::new();
    let mut sidecars = Amounts::new();
    for container in items(pod, "/spec/initContainers") {
        let own = of_container(container, list);
        if text(container, "/restartPolicy") == "Always" {
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            let mut needed = sidecars.clone();
            add(&mut needed, &own);
            raise(&mut starting, &needed);
        }
    }
    for container in items(pod, "/spec/containers") {
        add(&mut running, &of_container(container, list));
    }
    add(&mut running, &sidecars);
    raise(&mut running, &starting);
    running.extend(amounts(pod, &format!("/spec/resources/{}", list.field())));
    let mut overhead = amounts(pod, "/spec/overhead");
    if list == List::Limits {
        overhead.retain(|name, _| running.contains_key(name));
    }
    add(&mut running, &overhead);
    running
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let total = sum.get(name).map_or_else(|| amount.clone(), |known| known.plus(amount));
        sum.insert(name.clone(), total);
    }
}

pub(super) fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if most.get(name).is_none_or(|known| known < amount) {
            most.insert(name.clone(), amount.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn a_pod_asks_for_what_runs_at_once_or_for_what_it_needs_to_start() {
        let sidecar = json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}});
        let cases = [
            (json!({"containers": [container("1"), container("500m")]}), 1500),
            (json!({"containers": [container("1")], "initContainers": [container("2")]}), 2000),
            (json!({"containers": [container("1")], "initContainers": [sidecar, container("2")]}), 2100),
            (json!({"containers": [container("1")], "initContainers": [container("1"), sidecar]}), 1100),
            (json!({"containers": [container("1")], "overhead": {"cpu": "10m"}}), 1010),
            (json!({"containers": [container("1")], "resources": {"requests": {"cpu": "3"}}}), 3000),
        ];
        for (spec, expect) in cases {
            let sum = of_pod(&json!({"spec": spec}), List::Requests);
            assert_eq!(sum["cpu"].milli_value(), expect, "{spec}");
        }
    }
}
