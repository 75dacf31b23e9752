//! What every new pod is given, as Kubernetes' admission plugins `DefaultTolerationSeconds` and `Priority` do.

use serde_json::{Value, json};

use super::super::check::{Faults, Field};
use super::super::fill::{fill, object_at};
use super::super::read::{items, text};

/// How long a pod stays on a node that does not answer, in seconds.
const UNHEALTHY_NODE_SECONDS: i64 = 300;
/// The taints of nodes that do not answer.
const UNHEALTHY_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// The priority classes every cluster has.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// A pod leaves a node that does not answer after five minutes, unless it says how long it stays.
pub(super) fn tolerations(pod: &mut Value) {
    let missing: Vec<&str> = UNHEALTHY_TAINTS.into_iter().filter(|taint| !tolerates(pod, taint)).collect();
    if missing.is_empty() {
        return;
    }
    let Some(spec) = object_at(pod, "spec") else { return };
    fill(spec, "tolerations", json!([]));
    let Some(tolerations) = spec.get_mut("tolerations").and_then(Value::as_array_mut) else { return };
    tolerations.extend(missing.into_iter().map(|taint| {
        json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": UNHEALTHY_NODE_SECONDS})
    }));
}

fn tolerates(pod: &Value, taint: &str) -> bool {
    items(pod, "/spec/tolerations").any(|toleration| {
        let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
        (key.is_empty() || key == taint) && matches!(effect, "" | "NoExecute")
    })
}

/// The priority of the class a pod names; 0 without one. Validation refuses a class nobody knows.
pub(super) fn priority(pod: &mut Value) {
    let class = text(pod, "/spec/priorityClassName");
    let known = SYSTEM_CLASSES.iter().find(|(name, _)| *name == class);
    let value = known.map_or(0, |(_, priority)| *priority);
    if let Some(spec) = object_at(pod, "spec") {
        fill(spec, "priority", value);
        fill(spec, "preemptionPolicy", "PreemptLowerPriority");
    }
}

/// Refuses a priority that is not its class's, and a class nobody knows.
pub(super) fn check_priority(spec: &Field<'_>, faults: &mut Faults) {
    let (class, priority) = (spec.at("priorityClassName"), spec.at("priority"));
    let known = SYSTEM_CLASSES.iter().find(|(name, _)| *name == class.text());
    if !class.text().is_empty() && known.is_none() {
        faults.not_found(&class);
    }
    let expected = known.map_or(0, |(_, priority)| *priority);
    if priority.number().is_some_and(|number| number != expected) {
        let why = format!(
            "the integer value of priority must not be provided in pod spec; priority admission controller computed {expected} from the given PriorityClass name"
        );
        faults.forbidden(&priority, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_says_how_long_it_stays_keeps_its_word() {
        let mut pod = json!({"spec": {"tolerations": [{"key": UNHEALTHY_TAINTS[0], "operator": "Exists", "effect": "NoExecute"}]}});
        tolerations(&mut pod);
        let keys: Vec<&str> = items(&pod, "/spec/tolerations").map(|toleration| text(toleration, "/key")).collect();
        assert_eq!(keys, UNHEALTHY_TAINTS);
        let mut tolerant = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        let before = tolerant.clone();
        tolerations(&mut tolerant);
        assert_eq!(tolerant, before);
    }

    #[test]
    fn system_classes_have_their_priority() {
        let mut pod = json!({"spec": {"priorityClassName": "system-node-critical"}});
        priority(&mut pod);
        assert_eq!(pod["spec"]["priority"], 2_000_001_000);
        let mut plain = json!({"spec": {}});
        priority(&mut plain);
        assert_eq!(plain["spec"], json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}));
    }
}
