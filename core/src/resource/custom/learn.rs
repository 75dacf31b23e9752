//! From a CustomResourceDefinition to the resource type it defines.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::CUSTOM_RESOURCE_DEFINITIONS;
use super::conversion::Conversion;
use super::path::JsonPath;
use super::rules::compile_all;
use super::schema::Structural;
use super::strategy::{CustomColumn, CustomStrategy};
use crate::object::{Object, ObjectKey, ResourceType, intern, intern_list};
use crate::resource::{Column, CustomSchema, ResourceDefinition, ScalePaths, SchemaSource, Scope, ServedVersion};
use crate::schema::Schema;

/// What every object of Kubernetes has; all else is left to the structural schema.
const ENVELOPE: &str = r##"{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{
    "apiVersion":{"type":"string"},"kind":{"type":"string"},
    "metadata":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}}}"##;

/// A resource type as its definition has it: what it is in the version stored, and in each version served.
#[derive(Clone)]
pub struct Learnt {
    /// What it is in the version objects are stored in.
    pub definition: ResourceDefinition,
    /// What it is in each version.
    pub variants: Vec<(&'static str, ResourceDefinition)>,
}

/// Why a definition defines nothing.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// It is not of its kind's form.
    #[error("failed to read the definition")]
    Form(#[from] serde_json::Error),
    /// A version's schema says nothing the server can work with.
    #[error("failed to read the schema of version {version}: {reason}")]
    Schema {
        /// The version.
        version: String,
        /// What does not fit.
        reason: String,
    },
    /// No version is stored.
    #[error("no version is stored")]
    NothingStored,
}

#[derive(Deserialize)]
struct Definition {
    spec: Spec,
    #[serde(default)]
    status: DefinitionStatus,
}

#[derive(Deserialize)]
struct Spec {
    group: String,
    scope: String,
    names: Naming,
    versions: Vec<Version>,
    #[serde(default)]
    conversion: Conversion,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DefinitionStatus {
    accepted_names: Naming,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    name: String,
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Naming {
    plural: String,
    singular: String,
    kind: String,
    list_kind: String,
    short_names: Vec<String>,
    categories: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    name: String,
    served: bool,
    storage: bool,
    #[serde(default)]
    deprecated: bool,
    deprecation_warning: Option<String>,
    #[serde(default)]
    schema: VersionSchema,
    #[serde(default)]
    subresources: Subresources,
    #[serde(default)]
    additional_printer_columns: Vec<PrinterColumn>,
    #[serde(default)]
    selectable_fields: Vec<SelectableField>,
}

#[derive(Default, Deserialize)]
struct VersionSchema {
    #[serde(rename = "openAPIV3Schema", default)]
    open_api: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subresources {
    status: Option<Value>,
    scale: Option<Scale>,
}

#[derive(Deserialize)]
struct Scale {
    #[serde(rename = "specReplicasPath")]
    spec_replicas: String,
    #[serde(rename = "statusReplicasPath")]
    status_replicas: String,
    #[serde(rename = "labelSelectorPath", default)]
    label_selector: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrinterColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    json_path: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SelectableField {
    json_path: String,
}

/// What a definition says, in short: two that say the same define the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// The digest of a definition.
    pub fn of(definition: &Object) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(definition.bytes()))
    }
}

/// The resource type a definition of that name is about: `widgets.example.com`.
pub fn resource_of(definition: &ObjectKey) -> ResourceType {
    let (plural, group) = definition.name.split_once('.').unwrap_or((&definition.name, ""));
    ResourceType::intern(group, plural)
}

/// The definition of a resource type.
pub fn definition_of(resource: ResourceType) -> ObjectKey {
    ObjectKey::cluster(CUSTOM_RESOURCE_DEFINITIONS, &resource.to_string())
}

/// The resource type a definition defines, once its names are accepted.
///
/// It is served under the names that were accepted, not those the definition asks for by now: they may belong to another.
///
/// # Errors
/// Why it defines nothing, though its names are accepted.
pub fn learn(object: &Object) -> Result<Option<Learnt>, LearnError> {
    let definition = Definition::deserialize(&object.value())?;
    let is = |name: &str| definition.status.conditions.iter().any(|it| it.name == name && it.status == "True");
    if !is("NamesAccepted") && !is("Established") {
        return Ok(None);
    }
    let Definition { spec, status } = definition;
    let names = if status.accepted_names.kind.is_empty() { &spec.names } else { &status.accepted_names };
    let versions = served_versions(&spec, names)?;
    let converter =
        spec.conversion.webhook(&object.key().name, versions.iter().map(ServedVersion::api_version).collect());
    let converter = converter.map(Arc::new);
    let variants = spec.versions.iter().map(|version| {
        let of_version = behaviour(object.key(), &spec, names, version, &versions)?;
        Ok((intern(&version.name), ResourceDefinition { converter: converter.clone(), ..of_version }))
    });
    let variants = variants.collect::<Result<Vec<_>, LearnError>>()?;
    let stored = versions.first().map(|version| version.version).unwrap_or_default();
    let found = variants.iter().find(|(version, _)| *version == stored);
    let definition = found.ok_or(LearnError::NothingStored)?.1.clone();
    Ok(Some(Learnt { definition, variants }))
}

/// The versions, the one stored first.
fn served_versions(spec: &Spec, names: &Naming) -> Result<Vec<ServedVersion>, LearnError> {
    let mut versions: Vec<&Version> = spec.versions.iter().collect();
    versions.sort_by_key(|version| !version.storage);
    versions.into_iter().map(|version| served_version(spec, names, version)).collect()
}

fn served_version(spec: &Spec, names: &Naming, version: &Version) -> Result<ServedVersion, LearnError> {
    let text = published(&spec.group, &version.name, names, version.schema.open_api.clone());
    let faulty = |error: crate::schema::ReadError| LearnError::Schema {
        version: version.name.clone(),
        reason: error.to_string(),
    };
    let custom = CustomSchema {
        name: definition_name(&spec.group, &version.name, &names.kind),
        list_kind: names.list_kind.clone(),
        schema: Schema::from_open_api(&text).map_err(faulty)?,
        envelope: Schema::from_open_api(ENVELOPE).map_err(faulty)?,
        text,
    };
    Ok(ServedVersion {
        group: intern(&spec.group),
        version: intern(&version.name),
        schema: SchemaSource::Custom(Arc::new(custom)),
        is_served: version.served,
        from_stored: None,
        to_stored: None,
    })
}

/// The name a kind has in OpenAPI documents: the group is turned around, as `com.example.v1.Widget`.
fn definition_name(group: &str, version: &str, kind: &str) -> String {
    let turned: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", turned.join("."))
}

/// The schema as clients read it: with what every object has, and the kind it is of.
fn published(group: &str, version: &str, names: &Naming, mut schema: Value) -> String {
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    complete_object(&mut schema);
    if let Some(fields) = schema.as_object_mut() {
        let kind = json!([{"group": group, "version": version, "kind": names.kind}]);
        fields.insert("x-kubernetes-group-version-kind".to_owned(), kind);
    }
    schema.to_string()
}

/// Adds what an object of Kubernetes has, here and in embedded ones.
fn complete_object(schema: &mut Value) {
    const META: &str = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let Some(fields) = schema.as_object_mut() else { return };
    let properties = fields.entry("properties").or_insert_with(|| json!({}));
    let Some(properties) = properties.as_object_mut() else { return };
    properties.values_mut().for_each(complete_embedded);
    properties.insert(
        "apiVersion".to_owned(),
        json!({"type": "string", "description":
        "APIVersion defines the versioned schema of this representation of an object."}),
    );
    properties.insert(
        "kind".to_owned(),
        json!({"type": "string", "description":
        "Kind is a string value representing the REST resource this object represents."}),
    );
    properties.insert(
        "metadata".to_owned(),
        json!({"description": "Standard object's metadata.", "allOf": [{"$ref": META}]}),
    );
}

fn complete_embedded(schema: &mut Value) {
    if schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
        return complete_object(schema);
    }
    let Some(fields) = schema.as_object_mut() else { return };
    for (name, below) in fields {
        match (name.as_str(), below) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(complete_embedded),
            ("items" | "additionalProperties", below) => complete_embedded(below),
            _ => {}
        }
    }
}

fn behaviour(
    key: &ObjectKey,
    spec: &Spec,
    names: &Naming,
    version: &Version,
    versions: &[ServedVersion],
) -> Result<ResourceDefinition, LearnError> {
    let faulty = |reason: String| LearnError::Schema { version: version.name.clone(), reason };
    let open_api = &version.schema.open_api;
    let schema = match open_api.is_object() {
        true => compiled(Structural::read(open_api).map_err(|error| faulty(error.to_string()))?),
        false => Structural { preserve_unknown_fields: true, ..Structural::default() },
    };
    let has_status = version.subresources.status.is_some();
    let strategy = CustomStrategy {
        has_defaults: schema.has_defaults(),
        schema: Arc::new(schema),
        columns: version.additional_printer_columns.iter().map(column).collect::<Result<_, _>>().map_err(faulty)?,
        has_status,
        deprecation: version.deprecated.then(|| deprecation(spec, names, version)),
    };
    let texts = |list: &[String]| intern_list(&list.iter().map(String::as_str).collect::<Vec<_>>());
    let stored = versions.first().cloned().ok_or(LearnError::NothingStored)?;
    let (kind, singular) = (intern(&names.kind), intern(&names.singular));
    Ok(ResourceDefinition {
        short_names: texts(&names.short_names),
        categories: texts(&names.categories),
        scope: if spec.scope == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        versions: versions.to_vec(),
        has_status,
        scale: version.subresources.scale.as_ref().map(scale).transpose().map_err(faulty)?,
        selectable_paths: selectable(version).map_err(faulty)?,
        has_generation: true,
        defined_by: Some(key.clone()),
        ..ResourceDefinition::plain(resource_of(key), kind, singular, stored, strategy)
    })
}

fn deprecation(spec: &Spec, names: &Naming, version: &Version) -> String {
    let told = version.deprecation_warning.clone().filter(|told| !told.is_empty());
    told.unwrap_or_else(|| format!("{}/{} {} is deprecated", spec.group, version.name, names.kind))
}

fn column(printer: &PrinterColumn) -> Result<CustomColumn, String> {
    let column = Column {
        name: Cow::Owned(printer.name.clone()),
        kind: Cow::Owned(printer.kind.clone()),
        format: Cow::Owned(printer.format.clone()),
        description: Cow::Owned(printer.description.clone()),
        priority: printer.priority,
    };
    Ok(CustomColumn { column, path: JsonPath::parse(&printer.json_path)? })
}

fn scale(scale: &Scale) -> Result<ScalePaths, String> {
    let pointer = |path: &str| match path {
        "" => Ok(""),
        path => JsonPath::parse(path)?.pointer().map(|it| intern(&it)).ok_or(format!("{path} is no path of fields")),
    };
    Ok(ScalePaths {
        spec_replicas: pointer(&scale.spec_replicas)?,
        status_replicas: pointer(&scale.status_replicas)?,
        selector: pointer(&scale.label_selector)?,
    })
}

fn selectable(version: &Version) -> Result<Vec<&'static str>, String> {
    let field = |field: &SelectableField| {
        let path = JsonPath::parse(&field.json_path)?;
        let fields = path.fields().ok_or(format!("{} is no path of fields", field.json_path))?;
        Ok(intern(&fields.join(".")))
    };
    version.selectable_fields.iter().map(field).collect()
}

/// With its rules compiled. One that is no expression was refused with its definition.
fn compiled(mut schema: Structural) -> Structural {
    for (path, fault) in compile_all(&mut schema) {
        tracing::error!(path, ?fault, "a rule of a custom resource is no expression");
    }
    schema
}
