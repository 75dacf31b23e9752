//! What a node has, and what of it is taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::amounts::{Amounts, amount};
use crate::occupants::Occupants;

/// What a node has and who takes what of it.
pub(crate) struct Room<'n> {
    has: Option<&'n BTreeMap<String, Quantity>>,
    occupants: Occupants,
}

impl<'n> Room<'n> {
    /// What the occupants leave on the node.
    pub(crate) fn of(node: &'n Node, occupants: Occupants) -> Self {
        let status = node.status.as_ref();
        let has = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        Self { has, occupants }
    }

    /// Those whose ports or terms may keep a pod off.
    pub(crate) fn pods(&self) -> &[Arc<Pod>] {
        &self.occupants.pods
    }

    /// How many there are of the pod's own controller.
    pub(crate) fn siblings(&self) -> i64 {
        self.occupants.siblings
    }

    fn has(&self, resource: &str) -> i64 {
        self.has.and_then(|list| list.get(resource)).map_or(0, |written| amount(resource, written))
    }

    fn taken(&self, resource: &str) -> i64 {
        self.occupants.taken.get(resource)
    }

    /// What there is too little of, in the words of Kubernetes.
    pub(crate) fn shortages(&self, asked: &Amounts) -> Vec<String> {
        let mut shortages = Vec::new();
        if self.occupants.taken.pods() >= self.has("pods") {
            shortages.push("Too many pods".to_owned());
        }
        let asked = asked.iter().filter(|(_, amount)| *amount > 0);
        let short = asked.filter(|(name, amount)| self.taken(name).saturating_add(*amount) > self.has(name));
        shortages.extend(short.map(|(name, _)| format!("Insufficient {name}")));
        shortages
    }

    /// Whether the node has less than is asked for, even when it is empty.
    pub(crate) fn is_too_small(&self, asked: &Amounts) -> bool {
        asked.iter().any(|(name, amount)| amount > self.has(name).max(0))
    }

    /// How full the node would be, of its scarcer resource, in thousandths.
    pub(crate) fn load_permille(&self, asked: &Amounts) -> i64 {
        let load = |name: &str| {
            let taken = i128::from(self.taken(name)) + i128::from(asked.get(name));
            i64::try_from(taken * 1000 / i128::from(self.has(name).max(1))).unwrap_or(i64::MAX)
        };
        load("cpu").max(load("memory"))
    }
}
