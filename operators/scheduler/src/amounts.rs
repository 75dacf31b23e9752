//! What pods ask for and what nodes have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use sampan_core::object::Quantity;

/// Amounts of resources by name: thousandths of CPUs, whole units of everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts(BTreeMap<String, i64>);

impl Amounts {
    pub(crate) fn of(list: Option<&BTreeMap<String, Written>>) -> Self {
        Self(list.into_iter().flatten().map(|(name, written)| (name.clone(), amount(name, written))).collect())
    }

    /// What a pod takes of its node: its containers together, or its greediest moment of starting; its own figures where
    /// it has some; its overhead on top.
    pub(crate) fn asked_by(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let mut asked = asked_by_containers(spec);
        let own = Self::of(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
        asked.0.extend(own.0);
        asked.add(&Self::of(spec.overhead.as_ref()));
        asked
    }

    pub(crate) fn get(&self, resource: &str) -> i64 {
        self.0.get(resource).copied().unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let most = self.0.entry(name.clone()).or_default();
            *most = (*most).max(*amount);
        }
    }
}

/// What is written of a resource.
pub(crate) fn amount(resource: &str, written: &Written) -> i64 {
    // Validation has refused what is no quantity; a node's own report is not worth failing for.
    let Ok(quantity) = Quantity::parse(&written.0) else { return 0 };
    if resource == "cpu" { quantity.milli_value() } else { quantity.value() }
}

/// Init containers run one after the other, each beside the sidecars started before it.
fn asked_by_containers(spec: &PodSpec) -> Amounts {
    let mut running = Amounts::default();
    let mut starting = Amounts::default();
    for container in spec.init_containers.iter().flatten() {
        let mut moment = asked_by_container(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&moment);
            moment = running.clone();
        } else {
            moment.add(&running);
        }
        starting.raise_to(&moment);
    }
    for container in &spec.containers {
        running.add(&asked_by_container(container));
    }
    running.raise_to(&starting);
    running
}

fn asked_by_container(container: &Container) -> Amounts {
    Amounts::of(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(spec: serde_json::Value) -> (i64, i64) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        let asked = Amounts::asked_by(&pod);
        (asked.get("cpu"), asked.get("memory"))
    }

    fn container(cpu: &str, memory: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn a_pod_asks_for_its_containers_or_its_greediest_start() {
        let two = json!([container("500m", "1Mi"), container("1", "1Mi")]);
        assert_eq!(asked(json!({"containers": two})), (1500, 2 << 20));
        let init = json!([container("2", "1")]);
        assert_eq!(asked(json!({"containers": two, "initContainers": init})), (2000, 2 << 20));
        let mut sidecar = container("1", "0");
        sidecar["restartPolicy"] = json!("Always");
        assert_eq!(
            asked(json!({"containers": two, "initContainers": [sidecar, container("2", "0")]})),
            (3000, 2 << 20)
        );
    }

    #[test]
    fn a_pods_own_figures_and_overhead_count() {
        let spec = json!({"containers": [container("1", "1")], "resources": {"requests": {"cpu": "2"}},
            "overhead": {"cpu": "100m"}});
        assert_eq!(asked(spec), (2100, 1));
    }
}
