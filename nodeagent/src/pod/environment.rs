//! The environment of a container, and what `$(NAME)` stands for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource, Pod};

use super::command::Refusal;
use super::quantity;
use super::situation::Scene;
use super::source::{self, Lookup, SourceKey, SourceKind};

/// Replaces each `$(NAME)` by its value; `$$(NAME)` becomes `$(NAME)`, and an unknown name stays as it is.
pub fn expand(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        result.push_str(before);
        let after = &from[1..];
        if let Some(escaped) = after.strip_prefix('$') {
            result.push('$');
            rest = escaped;
            continue;
        }
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        rest = if let Some((name, beyond)) = reference {
            match values.get(name) {
                Some(value) => result.push_str(value),
                None => result.extend(["$(", name, ")"]),
            }
            beyond
        } else {
            result.push('$');
            after
        };
    }
    result.push_str(rest);
    result
}

/// Whether the container's environment needs the pod's address, which exists only once the sandbox runs.
pub fn needs_address(container: &Container) -> bool {
    let fields = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()?.field_ref.as_ref());
    fields.into_iter().any(|field| field.field_path.starts_with("status.podIP"))
}

/// Whether the Services that make part of every container's environment have been looked up.
pub fn knows_services(scene: &Scene<'_>) -> bool {
    source::linked(scene.situation.pod()).all(|key| scene.sources.look_up(&key) != Lookup::Unknown)
}

/// The container's environment, in order of definition; a name defined twice keeps its last value. Those of Services come
/// first: whatever the pod defines itself counts.
///
/// # Errors
/// A `CreateContainerConfigError` when what a variable refers to is not there.
pub fn environment(scene: &Scene<'_>, container: &Container) -> Result<Vec<(String, String)>, Refusal> {
    let mut order = Vec::new();
    let mut values = BTreeMap::new();
    let mut define = |values: &mut BTreeMap<String, String>, name: String, value: String| {
        if values.insert(name.clone(), value).is_none() {
            order.push(name);
        }
    };
    for key in source::linked(scene.situation.pod()) {
        let Lookup::Present(variables) = scene.sources.look_up(&key) else { continue };
        for (name, value) in variables.iter() {
            define(&mut values, name.clone(), String::from_utf8_lossy(value).into_owned());
        }
    }
    for from in container.env_from.iter().flatten() {
        for (name, value) in whole_source(scene, from)? {
            define(&mut values, name, value);
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(scene, container, variable, &values)? {
            define(&mut values, variable.name.clone(), value);
        }
    }
    Ok(order.into_iter().filter_map(|name| values.remove(&name).map(|value| (name, value))).collect())
}

fn misconfigured(message: String) -> Refusal {
    Refusal { reason: "CreateContainerConfigError".to_owned(), message }
}

fn whole_source(scene: &Scene<'_>, from: &EnvFromSource) -> Result<Vec<(String, String)>, Refusal> {
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let (kind, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
        (Some(source), _) => (SourceKind::ConfigMap, &source.name, source.optional),
        (None, Some(source)) => (SourceKind::Secret, &source.name, source.optional),
        (None, None) => return Ok(Vec::new()),
    };
    let key = source_key(scene, kind, name);
    match scene.sources.look_up(&key) {
        Lookup::Present(data) => Ok(data
            .iter()
            .map(|(name, value)| (format!("{prefix}{name}"), String::from_utf8_lossy(value).into_owned()))
            .collect()),
        Lookup::Absent if optional == Some(true) => Ok(Vec::new()),
        Lookup::Absent | Lookup::Unknown => Err(misconfigured(format!("{} \"{name}\" not found", kind.noun()))),
    }
}

fn source_key(scene: &Scene<'_>, kind: SourceKind, name: &str) -> SourceKey {
    SourceKey::object(kind, scene.situation.identity().0, name)
}

fn value_of(
    scene: &Scene<'_>,
    container: &Container,
    variable: &EnvVar,
    values: &BTreeMap<String, String>,
) -> Result<Option<String>, Refusal> {
    match &variable.value_from {
        None => Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), values))),
        Some(source) => referenced(scene, container, source),
    }
}

fn referenced(scene: &Scene<'_>, container: &Container, source: &EnvVarSource) -> Result<Option<String>, Refusal> {
    if let Some(field) = &source.field_ref {
        let value = pod_field(scene, &field.field_path);
        return value.map(Some).ok_or_else(|| misconfigured(format!("unsupported fieldPath: {}", field.field_path)));
    }
    if let Some(field) = &source.resource_field_ref {
        let named = field.container_name.as_deref().and_then(|name| scene.situation.container(name));
        let divisor = field.divisor.as_ref().map(|divisor| divisor.0.as_str());
        return quantity::resource_field(named.unwrap_or(container), &field.resource, divisor, scene.node)
            .map(|value| Some(value.to_string()))
            .ok_or_else(|| misconfigured(format!("unsupported resource: {}", field.resource)));
    }
    if let Some(selector) = &source.config_map_key_ref {
        return key_of(scene, SourceKind::ConfigMap, &selector.name, &selector.key, selector.optional == Some(true));
    }
    if let Some(selector) = &source.secret_key_ref {
        return key_of(scene, SourceKind::Secret, &selector.name, &selector.key, selector.optional == Some(true));
    }
    Err(misconfigured("valueFrom names no source this node knows".to_owned()))
}

fn key_of(
    scene: &Scene<'_>,
    kind: SourceKind,
    name: &str,
    key: &str,
    optional: bool,
) -> Result<Option<String>, Refusal> {
    let source = source_key(scene, kind, name);
    let Lookup::Present(data) = scene.sources.look_up(&source) else {
        return if optional { Ok(None) } else { Err(misconfigured(format!("{} \"{name}\" not found", kind.noun()))) };
    };
    match data.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional => Ok(None),
        None => {
            let place = format!("{}/{name}", source.namespace);
            Err(misconfigured(format!("couldn't find key {key} in {} {place}", kind.title())))
        }
    }
}

/// A field of the pod as the downward API reads it.
pub fn pod_field(scene: &Scene<'_>, path: &str) -> Option<String> {
    let pod = &scene.situation.pod;
    let address = || scene.situation.sandbox.as_ref().and_then(|sandbox| sandbox.address.clone()).unwrap_or_default();
    match path {
        "metadata.name" => pod.metadata.name.clone(),
        "metadata.namespace" => pod.metadata.namespace.clone(),
        "metadata.uid" => pod.metadata.uid.clone(),
        "spec.nodeName" => Some(scene.node.name.clone()),
        "spec.serviceAccountName" => {
            Some(scene.situation.spec().service_account_name.clone().unwrap_or_else(|| "default".to_owned()))
        }
        "status.hostIP" | "status.hostIPs" => Some(scene.node.host_ip.clone()),
        "status.podIP" | "status.podIPs" => Some(address()),
        "metadata.labels" => Some(quoted_lines(pod.metadata.labels.as_ref())),
        "metadata.annotations" => Some(quoted_lines(pod.metadata.annotations.as_ref())),
        _ => subscript(pod, path),
    }
}

/// `metadata.labels['key']` and `metadata.annotations['key']`; a key that is not there reads as nothing.
fn subscript(pod: &Pod, path: &str) -> Option<String> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    let map = match map {
        "metadata.labels" => pod.metadata.labels.as_ref(),
        "metadata.annotations" => pod.metadata.annotations.as_ref(),
        _ => return None,
    };
    Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default())
}

fn quoted_lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_as_in_kubernetes() {
        let values = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B_C".to_owned(), "two".to_owned())]);
        for (text, expect) in [
            ("$(A)", "1"),
            ("x$(A)y$(B_C)z", "x1ytwoz"),
            ("$$(A)", "$(A)"),
            ("$(MISSING)", "$(MISSING)"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("100$", "100$"),
            ("$$$(A)", "$1"),
        ] {
            assert_eq!(expand(text, &values), expect, "{text}");
        }
    }
}
