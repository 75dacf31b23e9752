//! A pod's own subresources, and the writes to them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fill::{clear, fill, object_at, set};
use super::super::read::{items, size, text};
use super::super::{SpokenKind, SubresourceDefinition, SubresourceHandler, Verb};
use super::{DISRUPTION_TARGET, default};
use crate::object::{FieldError, FieldPath};
use crate::status::Status;

const STREAM: &[Verb] = &[Verb::Create, Verb::Get];

/// Where the ephemeral containers are.
const EPHEMERAL: &str = "/spec/ephemeralContainers";

/// All of them, beyond `status`.
pub(super) const ALL: &[SubresourceDefinition] = &[
    stream("attach", "PodAttachOptions", SubresourceHandler::Attach),
    posted("binding", "", "Binding", "io.k8s.api.core.v1.Binding", SubresourceHandler::Command),
    SubresourceDefinition::fields("ephemeralcontainers", &[Verb::Get, Verb::Patch, Verb::Update]),
    posted("eviction", "policy", "Eviction", "io.k8s.api.policy.v1.Eviction", SubresourceHandler::Eviction),
    stream("exec", "PodExecOptions", SubresourceHandler::Exec),
    SubresourceDefinition { name: "log", spoken: None, verbs: &[Verb::Get], handler: SubresourceHandler::Log },
    stream("portforward", "PodPortForwardOptions", SubresourceHandler::PortForward),
    SubresourceDefinition::proxy("PodProxyOptions"),
    SubresourceDefinition::fields(super::RESIZE, &[Verb::Get, Verb::Patch, Verb::Update]),
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
    // What was promised is had, or done without.
    if let Some(status) = object_at(pod, "status") {
        clear(status, "nominatedNodeName");
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

/// Takes over the ephemeral containers of `wanted`: there may be more of them, but those there are stay as they are.
pub(super) fn debug(wanted: &Value, pod: &mut Value) -> Result<(), Status> {
    let mut wanted = wanted.clone();
    default::pod(&mut wanted);
    let path = FieldPath::new("spec").child("ephemeralContainers");
    let lost = items(pod, EPHEMERAL).find_map(|known| {
        let name = text(known, "/name");
        match items(&wanted, EPHEMERAL).find(|it| text(it, "/name") == name) {
            None => Some(format!("existing ephemeral containers {name:?} may not be removed")),
            Some(changed) if changed != known => {
                Some(format!("existing ephemeral containers {name:?} may not be changed"))
            }
            Some(_) => None,
        }
    });
    if let Some(why) = lost {
        let fault = FieldError::forbidden(path, why);
        return Err(Status::invalid("Pod", text(pod, "/metadata/name"), vec![fault.cause()]));
    }
    let list: Vec<Value> = items(&wanted, EPHEMERAL).cloned().collect();
    if let Some(spec) = object_at(pod, "spec") {
        match list.is_empty() {
            true => clear(spec, "ephemeralContainers"),
            false => set(spec, "ephemeralContainers", list),
        }
    }
    Ok(())
}

fn scheduled(pod: &mut Value, now: Timestamp) {
    set_condition(pod, json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null}), now);
}

/// Says of a pod that it goes because somebody evicted it.
pub(crate) fn mark_evicted(pod: &mut Value, now: Timestamp) {
    let condition = json!({
        "type": DISRUPTION_TARGET, "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        "lastProbeTime": null});
    set_condition(pod, condition, now);
}

/// Sets a condition that holds since now of the pod as it is, in the place of the one of its type.
fn set_condition(pod: &mut Value, mut condition: Value, now: Timestamp) {
    if let Some(generation) = pod.pointer("/metadata/generation").cloned() {
        set(&mut condition, "observedGeneration", generation);
    }
    let Some(status) = object_at(pod, "status") else { return };
    fill(status, "conditions", json!([]));
    let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) else { return };
    conditions.retain(|known| text(known, "/type") != text(&condition, "/type"));
    set(&mut condition, "lastTransitionTime", Timestamp::from_second(now.as_second()).unwrap_or(now).to_string());
    conditions.push(condition);
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

    #[test]
    fn ephemeral_containers_are_added_and_stay_as_they_are() {
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "image": "a"}]}});
        default::pod(&mut pod);
        let image = pod["spec"]["containers"][0]["image"].clone();
        let wanted = |list: Value| json!({"spec": {"containers": [{"name": "other"}], "ephemeralContainers": list}});
        let one = json!({"name": "one", "image": "b"});
        debug(&wanted(json!([one])), &mut pod).unwrap();
        let list = &pod["spec"]["ephemeralContainers"];
        assert_eq!((&list[0]["name"], &list[0]["terminationMessagePolicy"]), (&json!("one"), &json!("File")));
        assert_eq!(pod["spec"]["containers"][0]["image"], image, "only ephemeral containers are written here");
        debug(&wanted(json!([one, {"name": "two", "image": "b"}])), &mut pod).unwrap();
        assert_eq!(pod["spec"]["ephemeralContainers"].as_array().unwrap().len(), 2);
        for (list, why) in [
            (json!([]), "\"one\" may not be removed"),
            (json!([{"name": "one", "image": "c"}]), "\"one\" may not be changed"),
        ] {
            let refused = debug(&wanted(list), &mut pod).unwrap_err();
            assert!(refused.code == 422 && refused.message.contains(why), "{}", refused.message);
        }
    }
}
