//! What every new pod is given, as Kubernetes' admission plugins `DefaultTolerationSeconds` and `Priority` do.

use serde_json::{Value, json};

use super::super::check::{Faults, Field};
use super::super::fill::{fill, object_at, set};
use super::super::priority_class::priority_of;
use super::super::read::{items, text};
use crate::store::Snapshot;

/// How long a pod stays on a node that does not answer, in seconds.
const UNHEALTHY_NODE_SECONDS: i64 = 300;
/// The taints of nodes that do not answer.
const UNHEALTHY_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

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

/// The priority of the class a pod names, else of the default class, else 0. Validation refuses a class nobody knows.
pub(super) fn priority(pod: &mut Value, snapshot: &Snapshot) {
    let found = priority_of(text(pod, "/spec/priorityClassName"), snapshot);
    let (Some(priority), Some(spec)) = (found, object_at(pod, "spec")) else { return };
    if !priority.class.is_empty() {
        set(spec, "priorityClassName", priority.class);
    }
    fill(spec, "priority", priority.value);
    fill(spec, "preemptionPolicy", priority.preemption);
}

/// Refuses a priority that is not its class's, and a class nobody knows.
pub(super) fn check_priority(spec: &Field<'_>, snapshot: &Snapshot, faults: &mut Faults) {
    let (class, given) = (spec.at("priorityClassName"), spec.at("priority"));
    let Some(priority) = priority_of(class.text(), snapshot) else {
        return faults.not_found(&class);
    };
    let expected = priority.value;
    if given.number().is_some_and(|number| number != expected) {
        let why = format!(
            "the integer value of priority must not be provided in pod spec; priority admission controller computed {expected} from the given PriorityClass name"
        );
        faults.forbidden(&given, why);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::priority_class::PRIORITY_CLASSES;
    use super::*;
    use crate::object::{Draft, ObjectKey};

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

    /// The spec of a pod with that class, as it is given its priority among these classes.
    fn given(class: &str, classes: &[Value]) -> Value {
        let classes = classes.iter().map(|class| {
            let key = ObjectKey::cluster(PRIORITY_CLASSES, text(class, "/metadata/name"));
            Draft::new(key, class.clone(), Vec::new()).unwrap()
        });
        let mut pod = json!({"spec": {"priorityClassName": class}});
        priority(&mut pod, &Snapshot::of(classes));
        pod["spec"].take()
    }

    fn class(name: &str, value: i64, is_default: bool) -> Value {
        json!({"metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}, "value": value, "globalDefault": is_default, "preemptionPolicy": "Never"})
    }

    #[test]
    fn a_pod_has_the_priority_of_its_class() {
        assert_eq!(given("system-node-critical", &[])["priority"], 2_000_001_000);
        assert_eq!(given("", &[])["priority"], 0);
        assert_eq!(given("", &[])["preemptionPolicy"], "PreemptLowerPriority");
        let classes = [class("high", 100, false), class("usual", 7, true), class("other", 9, true)];
        let high = json!({"priorityClassName": "high", "priority": 100, "preemptionPolicy": "Never"});
        assert_eq!(given("high", &classes), high);
        let usual = json!({"priorityClassName": "usual", "priority": 7, "preemptionPolicy": "Never"});
        assert_eq!(given("", &classes), usual);
        assert_eq!(given("nobody", &classes).get("priority"), None);
    }
}
