//! Discovery in one document (KEP-3352), which spares clients a request per group and version.

use serde_json::{Value, json};

use super::Root;
use super::catalogue::{Catalogue, Group, Resource, Version};
use super::subresource::Subresource;
use crate::request::DiscoveryVersion;

/// The content type by which clients know that they got what they asked for.
pub(super) fn content_type(version: DiscoveryVersion) -> &'static str {
    match version {
        DiscoveryVersion::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        DiscoveryVersion::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    }
}

/// The document of the core group or of all others.
pub(super) fn list(catalogue: &Catalogue, root: Root, version: DiscoveryVersion) -> Value {
    let is_core = matches!(root, Root::Core);
    let groups = catalogue.groups.iter().filter(|group| group.name.is_empty() == is_core);
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", version.as_str()),
        "metadata": {},
        "items": groups.map(group_value).collect::<Vec<_>>(),
    })
}

fn group_value(group: &Group) -> Value {
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
    json!({"metadata": metadata, "versions": group.versions.iter().map(version_value).collect::<Vec<_>>()})
}

fn version_value(version: &Version) -> Value {
    json!({
        "version": version.name,
        "resources": version.resources.iter().map(resource_value).collect::<Vec<_>>(),
        "freshness": "Current",
    })
}

fn resource_value(resource: &Resource) -> Value {
    let definition = &resource.definition;
    let mut value = json!({
        "resource": definition.resource.plural,
        "responseKind": {
            "group": resource.version.group, "version": resource.version.version, "kind": definition.kind,
        },
        "scope": if resource.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": definition.singular,
        "verbs": resource.verbs,
    });
    let subresources: Vec<Value> = resource.subresources.iter().map(subresource_value).collect();
    if let Some(fields) = value.as_object_mut() {
        let lists = [
            ("shortNames", json!(definition.short_names)),
            ("categories", json!(definition.categories)),
            ("subresources", Value::Array(subresources)),
        ];
        let given = lists.into_iter().filter(|(_, list)| list.as_array().is_some_and(|list| !list.is_empty()));
        fields.extend(given.map(|(name, list)| (name.to_owned(), list)));
    }
    value
}

fn subresource_value(subresource: &Subresource) -> Value {
    json!({
        "subresource": subresource.name,
        "responseKind": {"group": subresource.group, "version": subresource.version, "kind": subresource.kind},
        "verbs": subresource.verbs,
    })
}
