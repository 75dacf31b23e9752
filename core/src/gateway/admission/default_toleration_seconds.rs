//! A pod leaves a node that does not answer after five minutes, unless it says how long it stays.

use serde_json::{Value, json};

use super::{Admission, AdmissionRequest, Operation};
use crate::resource::PODS;
use crate::resource::fill::{fill, object_at};
use crate::resource::read::{items, text};
use crate::status::Status;

/// How long a pod stays on a node that does not answer, in seconds.
const UNHEALTHY_NODE_SECONDS: i64 = 300;
/// The taints of nodes that do not answer.
const UNHEALTHY_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// A pod leaves a node that does not answer after five minutes, unless it says how long it stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultTolerationSeconds;

impl Admission for DefaultTolerationSeconds {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        // A pod whose tolerations are replaced keeps these as well.
        matches!(request.operation, Operation::Create | Operation::Update) && request.is_whole(PODS)
    }

    fn mutate(&self, _request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        add_tolerations(object);
        Ok(())
    }
}

fn add_tolerations(pod: &mut Value) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_says_how_long_it_stays_keeps_its_word() {
        let mut pod = json!({"spec": {"tolerations": [{"key": UNHEALTHY_TAINTS[0], "operator": "Exists", "effect": "NoExecute"}]}});
        add_tolerations(&mut pod);
        let keys: Vec<&str> = items(&pod, "/spec/tolerations").map(|toleration| text(toleration, "/key")).collect();
        assert_eq!(keys, UNHEALTHY_TAINTS);
        let mut tolerant = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        let before = tolerant.clone();
        add_tolerations(&mut tolerant);
        assert_eq!(tolerant, before);
    }
}
