//! What current practice asks of every pod, beyond the baseline.

use serde_json::Value;

use super::baseline::Check;
use super::finding::{Finding, containers, named, plural, quoted};
use crate::resource::read::{items, text};

/// The rules beyond the baseline's.
pub(super) const CHECKS: &[Check] =
    &[privilege_escalation, capabilities, volumes, run_as_non_root, run_as_user, seccomp];

const VOLUME_KINDS: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn privilege_escalation(pod: &Value) -> Option<Finding> {
    let escalates = |it: &&Value| it.pointer("/securityContext/allowPrivilegeEscalation") != Some(&Value::Bool(false));
    let found: Vec<&Value> = containers(pod).filter(escalates).collect();
    let what = "must set securityContext.allowPrivilegeEscalation=false";
    Finding::of_containers("allowPrivilegeEscalation != false", &found, what)
}

fn capabilities(pod: &Value) -> Option<Finding> {
    let list = |container: &'_ Value, list: &str| -> Vec<String> {
        let pointer = format!("/securityContext/capabilities/{list}");
        let names = items(container, &pointer);
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let keeps: Vec<&Value> = containers(pod).filter(|it| !list(it, "drop").iter().any(|name| name == "ALL")).collect();
    let odd = |container: &Value| list(container, "add").into_iter().filter(|name| name != "NET_BIND_SERVICE");
    let adds: Vec<&Value> = containers(pod).filter(|it| odd(it).next().is_some()).collect();
    let added: std::collections::BTreeSet<String> = adds.iter().flat_map(|it| odd(it)).collect();
    let mut details = Vec::new();
    if !keeps.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named("container", &keeps)));
    }
    if !adds.is_empty() {
        let added = quoted(added.iter().map(String::as_str));
        details.push(format!(
            "{} must not include {added} in securityContext.capabilities.add",
            named("container", &adds)
        ));
    }
    (!details.is_empty()).then(|| Finding::new("unrestricted capabilities", details.join("; ")))
}

fn volumes(pod: &Value) -> Option<Finding> {
    let kind = |volume: &Value| -> Option<String> {
        let fields = volume.as_object()?;
        fields.keys().find(|name| *name != "name" && !VOLUME_KINDS.contains(&name.as_str())).cloned()
    };
    let found: Vec<&Value> = items(pod, "/spec/volumes").filter(|volume| kind(volume).is_some()).collect();
    let kinds: std::collections::BTreeSet<String> = found.iter().filter_map(|volume| kind(volume)).collect();
    let uses = if found.len() == 1 { "uses" } else { "use" };
    let what = plural("restricted volume type", kinds.len());
    let kinds = quoted(kinds.iter().map(String::as_str));
    (!found.is_empty())
        .then(|| Finding::new("restricted volume types", format!("{} {uses} {what} {kinds}", named("volume", &found))))
}

/// A container's own word counts before its pod's.
fn run_as_non_root(pod: &Value) -> Option<Finding> {
    let says =
        |object: &Value, context: &str| object.pointer(&format!("{context}/runAsNonRoot")).and_then(Value::as_bool);
    let of_pod = says(pod, "/spec/securityContext") == Some(true);
    let refuses: Vec<&Value> = containers(pod).filter(|it| says(it, "/securityContext") == Some(false)).collect();
    if !refuses.is_empty() {
        let what = "must not set securityContext.runAsNonRoot=false";
        return Finding::of_containers("runAsNonRoot != true", &refuses, what);
    }
    let silent: Vec<&Value> = containers(pod).filter(|it| !of_pod && says(it, "/securityContext").is_none()).collect();
    (!silent.is_empty()).then(|| {
        let who = named("container", &silent);
        Finding::new("runAsNonRoot != true", format!("pod or {who} must set securityContext.runAsNonRoot=true"))
    })
}

fn run_as_user(pod: &Value) -> Option<Finding> {
    let is_root =
        |object: &Value, context: &str| object.pointer(&format!("{context}/runAsUser")) == Some(&Value::from(0));
    let found: Vec<&Value> = containers(pod).filter(|it| is_root(it, "/securityContext")).collect();
    let who = match (is_root(pod, "/spec/securityContext"), found.as_slice()) {
        (false, []) => return None,
        (true, []) => "pod".to_owned(),
        (false, several) => named("container", several),
        (true, several) => format!("pod and {}", named("container", several)),
    };
    Some(Finding::new("runAsUser=0", format!("{who} must not set runAsUser=0")))
}

fn seccomp(pod: &Value) -> Option<Finding> {
    let kind = |object: &Value, context: &str| text(object, &format!("{context}/seccompProfile/type")).to_owned();
    let is_confined = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let of_pod = is_confined(&kind(pod, "/spec/securityContext"));
    let is_open = |container: &&Value| match kind(container, "/securityContext").as_str() {
        "" => !of_pod,
        own => !is_confined(own),
    };
    let found: Vec<&Value> = containers(pod).filter(is_open).collect();
    let what = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    (!found.is_empty()).then(|| Finding::new("seccompProfile", format!("pod or {} {what}", named("container", &found))))
}
