//! A pod's own subresources, and the writes to them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fill::{fill, object_at, set};
use super::super::read::{size, text};
use super::super::{SpokenKind, SubresourceDefinition, SubresourceHandler, Verb};
use crate::object::{FieldError, FieldPath};
use crate::status::Status;

const STREAM: &[Verb] = &[Verb::Create, Verb::Get];

/// All of them, beyond `status`.
pub(super) const ALL: &[SubresourceDefinition] = &[
    stream("attach", "PodAttachOptions", SubresourceHandler::Attach),
    posted("binding", "", "Binding", "io.k8s.api.core.v1.Binding", SubresourceHandler::Command),
    posted("eviction", "policy", "Eviction", "io.k8s.api.policy.v1.Eviction", SubresourceHandler::Eviction),
    stream("exec", "PodExecOptions", SubresourceHandler::Exec),
    SubresourceDefinition { name: "log", spoken: None, verbs: &[Verb::Get], handler: SubresourceHandler::Log },
    stream("portforward", "PodPortForwardOptions", SubresourceHandler::PortForward),
];

const fn stream(name: &'static str, options: &'static str, handler: SubresourceHandler) -> SubresourceDefinition {
    SubresourceDefinition { name, spoken: Some(SpokenKind::options(options)), verbs: STREAM, handler }
}

/// Where a value of another kind is posted.
const fn posted(
    name: &'static str,
    group: &'static str,
    kind: &'static str,
    schema: &'static str,
    handler: SubresourceHandler,
) -> SubresourceDefinition {
    let spoken = Some(SpokenKind { group, version: "v1", kind, schema: Some(schema) });
    SubresourceDefinition { name, spoken, verbs: &[Verb::Create], handler }
}

/// Gives a pod its node, once: what a scheduler asks for.
pub(super) fn bind(binding: &Value, pod: &mut Value, now: Timestamp) -> Result<(), Status> {
    let (name, node) = (text(pod, "/metadata/name").to_owned(), text(binding, "/target/name").to_owned());
    check_target(binding, &name)?;
    let conflict = |why: String| Err(Status::conflict("pods/binding", &name, &why));
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let bound = text(pod, "/spec/nodeName");
    if !bound.is_empty() {
        return conflict(format!("pod {name} is already assigned to node {bound:?}"));
    }
    if size(pod, "/spec/schedulingGates") > 0 {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    if let Some(spec) = object_at(pod, "spec") {
        set(spec, "nodeName", node);
    }
    scheduled(pod, now);
    Ok(())
}

fn check_target(binding: &Value, name: &str) -> Result<(), Status> {
    let (kind, path) = (text(binding, "/target/kind"), FieldPath::new("target"));
    let fault = if !matches!(kind, "" | "Node") {
        FieldError::not_supported(path.child("kind"), kind, &["Node", "<empty>"])
    } else if text(binding, "/target/name").is_empty() {
        FieldError::required(path.child("name"), "")
    } else {
        return Ok(());
    };
    Err(Status::invalid("Binding", name, vec![fault.cause()]))
}

fn scheduled(pod: &mut Value, now: Timestamp) {
    let Some(status) = object_at(pod, "status") else { return };
    fill(status, "conditions", json!([]));
    let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) else { return };
    conditions.retain(|condition| text(condition, "/type") != "PodScheduled");
    let since = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    conditions.push(json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": since}));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_once() {
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}});
        let binding = json!({"target": {"kind": "Node", "name": "here"}});
        bind(&binding, &mut pod, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(pod["spec"]["nodeName"], "here");
        assert_eq!(pod["status"]["conditions"].as_array().unwrap().len(), 1);
        assert_eq!(pod["status"]["conditions"][0]["status"], "True");
        let refused = bind(&binding, &mut pod, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(refused.message.contains("already assigned to node \"here\""), "{}", refused.message);
    }

    #[test]
    fn a_binding_names_a_node() {
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {}});
        for target in [json!({"kind": "Node"}), json!({"kind": "Shelf", "name": "a"})] {
            let refused = bind(&json!({"target": target}), &mut pod, Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!(refused.code, 422);
        }
        assert_eq!(pod["spec"], json!({}));
    }
}
