//! The quality of service a pod gets, from what its containers ask for ("Pod Quality of Service Classes").

use serde_json::Value;

use super::super::read::{at, items, text};
use crate::object::Quantity;

/// How late a pod is evicted when its node runs out of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosClass {
    /// Last: every container has limits for CPU and memory, and asks for as much.
    Guaranteed,
    /// In between: some container asks for something.
    Burstable,
    /// First: no container asks for anything.
    BestEffort,
}

/// The resources that count.
const COUNTED: [&str; 2] = ["cpu", "memory"];

impl QosClass {
    /// The class of a pod with its defaults filled in.
    pub fn of(pod: &Value) -> Self {
        if at(pod, "/spec/resources").is_some_and(asks) {
            return Self::of_holders([at(pod, "/spec/resources").unwrap_or(&Value::Null)].into_iter());
        }
        let containers = items(pod, "/spec/containers").chain(items(pod, "/spec/initContainers"));
        Self::of_holders(containers.map(|container| container.get("resources").unwrap_or(&Value::Null)))
    }

    fn of_holders<'v>(holders: impl Iterator<Item = &'v Value>) -> Self {
        let (mut any, mut all) = (false, true);
        for resources in holders {
            any |= asks(resources);
            all &= is_guaranteed(resources);
        }
        match (any, all) {
            (false, _) => Self::BestEffort,
            (true, true) => Self::Guaranteed,
            (true, false) => Self::Burstable,
        }
    }

    /// As `status.qosClass` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

fn asks(resources: &Value) -> bool {
    COUNTED.iter().any(|resource| {
        ["requests", "limits"].iter().any(|list| amount(resources, list, resource).is_some_and(|it| !it.is_zero()))
    })
}

fn is_guaranteed(resources: &Value) -> bool {
    COUNTED.iter().all(|resource| match amount(resources, "limits", resource) {
        Some(limit) if !limit.is_zero() => {
            amount(resources, "requests", resource).is_none_or(|request| request.is_zero() || request == limit)
        }
        _ => false,
    })
}

fn amount(resources: &Value, list: &str, resource: &str) -> Option<Quantity> {
    Quantity::parse(text(resources.get(list)?, &format!("/{resource}"))).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(resources: &[Value], expected: QosClass) {
        let containers: Vec<Value> = resources.iter().map(|it| json!({"resources": it})).collect();
        assert_eq!(QosClass::of(&json!({"spec": {"containers": containers}})), expected, "{resources:?}");
    }

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}});
        check(&[json!({})], QosClass::BestEffort);
        check(&[json!({"requests": {"cpu": "0"}})], QosClass::BestEffort);
        check(&[json!({"requests": {"cpu": "1"}})], QosClass::Burstable);
        check(std::slice::from_ref(&full), QosClass::Guaranteed);
        check(&[full.clone(), json!({})], QosClass::Burstable);
        check(&[json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m"}})], QosClass::Burstable);
        check(&[json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})], QosClass::Burstable);
    }
}
