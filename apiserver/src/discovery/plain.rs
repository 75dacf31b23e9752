//! Discovery in many small documents, as every client understands it.

use std::collections::BTreeSet;

use sampan_core::status::Status;
use serde_json::{Value, json};

use super::Root;
use super::catalogue::{Catalogue, Group, Resource};
use super::subresource::Subresource;

/// What stands beside the groups at the root.
const BESIDE: [&str; 7] = ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];

/// `/`: the paths there are.
pub(super) fn paths(catalogue: &Catalogue) -> Value {
    let mut paths = BTreeSet::from(["/api".to_owned(), "/apis".to_owned()]);
    paths.extend(BESIDE.map(str::to_owned));
    for group in &catalogue.groups {
        let root = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{root}/{}", version.name)));
        paths.insert(root);
    }
    json!({"paths": paths})
}

/// `/api` or `/apis`.
pub(super) fn root(catalogue: &Catalogue, root: Root) -> Value {
    match root {
        Root::Core => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        Root::Groups => {
            let groups = catalogue.groups.iter().filter(|group| !group.name.is_empty());
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.map(group_value).collect::<Vec<_>>()})
        }
    }
}

/// `/apis/<group>`.
pub(super) fn group(catalogue: &Catalogue, name: &str) -> Option<Value> {
    let found = catalogue.groups.iter().find(|group| group.name == name && !name.is_empty());
    let mut value = found.map(group_value)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("kind".to_owned(), "APIGroup".into());
        fields.insert("apiVersion".to_owned(), "v1".into());
    }
    Some(value)
}

fn group_value(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{}/{}", group.name, version.name), "version": version.name}))
        .collect();
    json!({"name": group.name, "preferredVersion": versions.first(), "versions": versions})
}

/// `/api/<version>` or `/apis/<group>/<version>`.
pub(super) fn resources(catalogue: &Catalogue, group: &str, version: &str) -> Result<Value, Status> {
    let found = catalogue.version(group, version).ok_or_else(Status::no_such_path)?;
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resources: Vec<Value> = found.resources.iter().flat_map(with_subresources).collect();
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    }))
}

fn with_subresources(resource: &Resource) -> Vec<Value> {
    let definition = &resource.definition;
    let mut own = json!({
        "name": definition.resource.plural,
        "singularName": definition.singular,
        "namespaced": resource.is_namespaced(),
        "kind": definition.kind,
        "verbs": resource.verbs,
    });
    if let Some(fields) = own.as_object_mut() {
        for (field, values) in [("shortNames", definition.short_names), ("categories", definition.categories)] {
            if !values.is_empty() {
                fields.insert(field.to_owned(), json!(values));
            }
        }
    }
    let below = resource.subresources.iter().map(|subresource| subresource_value(resource, subresource));
    std::iter::once(own).chain(below).collect()
}

fn subresource_value(resource: &Resource, subresource: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", resource.definition.resource.plural, subresource.name),
        "singularName": "",
        "namespaced": resource.is_namespaced(),
        "kind": subresource.kind,
        "verbs": subresource.verbs,
    });
    let of_another_group = subresource.group != resource.version.group;
    if let Some(fields) = value.as_object_mut().filter(|_| of_another_group) {
        fields.insert("group".to_owned(), subresource.group.into());
        fields.insert("version".to_owned(), subresource.version.into());
    }
    value
}
