//! What other servers serve, put into what is told of all that is served.

use std::collections::BTreeMap;

use sampan_core::resource::fill::set;
use serde_json::{Value, json};

use super::ApiService;
use crate::discovery::maturity;

/// A version of a group that another server serves.
struct Version {
    name: String,
    /// What it says that it serves, where it has said so.
    list: Option<Value>,
    is_available: bool,
}

/// The versions other servers serve, by their group, those of a group in order.
pub(crate) struct Versions(BTreeMap<String, Vec<Version>>);

impl Versions {
    pub(super) fn new(mut services: Vec<(ApiService, Option<Value>)>) -> Self {
        services
            .sort_by_key(|(it, _)| (std::cmp::Reverse(it.version_priority), std::cmp::Reverse(maturity(&it.version))));
        let mut groups: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for (service, list) in services {
            let is_available = service.is_available();
            let version = Version { name: service.version, list, is_available };
            groups.entry(service.group).or_default().push(version);
        }
        Self(groups)
    }

    /// Puts them into an `APIGroupList`.
    pub(crate) fn into_groups(self, list: &mut Value) {
        let Some(groups) = list.get_mut("groups").and_then(Value::as_array_mut) else { return };
        for (name, versions) in &self.0 {
            match groups.iter_mut().find(|group| group.get("name").and_then(Value::as_str) == Some(name)) {
                Some(group) => add(group, name, versions),
                None => groups.push(group_value(name, versions)),
            }
        }
    }

    /// Puts those of a group into its `APIGroup`, which is `None` where nothing of it is served here.
    pub(crate) fn into_group(self, name: &str, here: Option<Value>) -> Option<Value> {
        let Some(versions) = self.0.get(name) else { return here };
        let mut group = match here {
            Some(mut group) => {
                add(&mut group, name, versions);
                group
            }
            None => group_value(name, versions),
        };
        if let Some(fields) = group.as_object_mut() {
            fields.insert("kind".to_owned(), "APIGroup".into());
            fields.insert("apiVersion".to_owned(), "v1".into());
        }
        Some(group)
    }

    /// Puts them into an `APIGroupDiscoveryList`.
    pub(crate) fn into_discovery(self, list: &mut Value) {
        let Some(groups) = list.get_mut("items").and_then(Value::as_array_mut) else { return };
        for (name, versions) in self.0 {
            let is_it = |group: &Value| group.pointer("/metadata/name").and_then(Value::as_str) == Some(&name);
            let place = groups.iter().position(is_it).unwrap_or_else(|| {
                groups.push(json!({"metadata": {"name": name}, "versions": []}));
                groups.len() - 1
            });
            let known = groups.get_mut(place).and_then(|group| group.get_mut("versions")).and_then(Value::as_array_mut);
            let Some(known) = known else { continue };
            for version in versions {
                known.retain(|it| it.get("version").and_then(Value::as_str) != Some(&version.name));
                known.push(discovered(&name, &version));
            }
        }
    }
}

fn version_value(group: &str, version: &str) -> Value {
    json!({"groupVersion": format!("{group}/{version}"), "version": version})
}

fn group_value(name: &str, versions: &[Version]) -> Value {
    let versions: Vec<Value> = versions.iter().map(|version| version_value(name, &version.name)).collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn add(group: &mut Value, name: &str, versions: &[Version]) {
    let Some(known) = group.get_mut("versions").and_then(Value::as_array_mut) else { return };
    for version in versions.iter().map(|version| version_value(name, &version.name)) {
        if !known.contains(&version) {
            known.push(version);
        }
    }
}

/// A version as aggregated discovery tells of it: made of the list of its resources, as Kubernetes does for servers that tell no
/// more.
fn discovered(group: &str, version: &Version) -> Value {
    let listed = version.list.as_ref().and_then(|list| list.get("resources")).and_then(Value::as_array);
    let listed = listed.map(Vec::as_slice).unwrap_or_default();
    let whole = listed.iter().filter(|resource| !name(resource).contains('/'));
    let resources: Vec<Value> =
        whole.map(|resource| resource_value((group, &version.name), resource, listed)).collect();
    let freshness = if version.is_available && version.list.is_some() { "Current" } else { "Stale" };
    json!({"version": version.name, "resources": resources, "freshness": freshness})
}

fn name(resource: &Value) -> &str {
    resource.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// A resource type, with what the list says of its parts.
fn resource_value((group, version): (&str, &str), resource: &Value, listed: &[Value]) -> Value {
    let prefix = format!("{}/", name(resource));
    let below = listed.iter().filter_map(|it| Some((name(it).strip_prefix(&prefix)?, it)));
    let subresources: Vec<Value> = below
        .map(|(part, it)| {
            json!({"subresource": part, "responseKind": kind(group, version, it), "verbs": it.get("verbs")})
        })
        .collect();
    let is_namespaced = resource.get("namespaced") == Some(&Value::Bool(true));
    let mut told = json!({
        "resource": name(resource),
        "responseKind": kind(group, version, resource),
        "scope": if is_namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.get("singularName").cloned().unwrap_or_default(),
        "verbs": resource.get("verbs"),
    });
    let lists = ["shortNames", "categories"].map(|field| (field, resource.get(field).cloned().unwrap_or_default()));
    for (field, list) in lists.into_iter().chain([("subresources", subresources.into())]) {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            set(&mut told, field, list);
        }
    }
    told
}

fn kind(group: &str, version: &str, resource: &Value) -> Value {
    let own = |field: &str| resource.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    json!({"group": own("group").unwrap_or(group), "version": own("version").unwrap_or(version), "kind": own("kind")})
}
