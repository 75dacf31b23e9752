//! From a schema's published form to what the server works with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::shape::{Field, ListSchema, ObjectSchema, PatchStrategy, Rest, Scalar, Schema, Topology};

const REFERENCE: &str = "#/components/schemas/";

/// Why a text is no schema.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The text is not of the form of OpenAPI v3.
    #[error("failed to read the schema")]
    Form(#[from] serde_json::Error),
    /// A reference leads nowhere.
    #[error("failed to resolve {0:?}: no such definition")]
    Reference(String),
    /// A list is said to be of a kind there is not.
    #[error("failed to read the schema: unknown list type {0:?}")]
    ListType(String),
}

pub(super) fn read(text: &str) -> Result<Schema, ReadError> {
    serde_json::from_str::<Published>(text)?.schema()
}

/// The part of the published form that matters at run time; descriptions are skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Published<'a> {
    #[serde(rename = "$ref", borrow)]
    reference: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    all_of: Vec<Reference<'a>>,
    #[serde(rename = "type", borrow)]
    type_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    format: Option<Cow<'a, str>>,
    #[serde(default)]
    properties: BTreeMap<String, Published<'a>>,
    #[serde(default)]
    required: Vec<String>,
    items: Option<Box<Published<'a>>>,
    additional_properties: Option<Additional<'a>>,
    default: Option<Value>,
    #[serde(rename = "x-kubernetes-list-type", borrow)]
    list_type: Option<Cow<'a, str>>,
    #[serde(rename = "x-kubernetes-list-map-keys", default)]
    list_map_keys: Vec<Box<str>>,
    #[serde(rename = "x-kubernetes-map-type", borrow)]
    map_type: Option<Cow<'a, str>>,
    #[serde(rename = "x-kubernetes-patch-strategy", borrow)]
    patch_strategy: Option<Cow<'a, str>>,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    patch_merge_key: Option<Box<str>>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields", default)]
    preserve_unknown_fields: bool,
    #[serde(rename = "x-kubernetes-int-or-string", default)]
    int_or_string: bool,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(rename = "$ref", borrow)]
    target: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Additional<'a> {
    Allowed(bool),
    #[serde(borrow)]
    Entries(Box<Published<'a>>),
}

impl Published<'_> {
    fn schema(self) -> Result<Schema, ReadError> {
        if let Some(target) = self.reference.as_ref().or_else(|| self.all_of.iter().find_map(|it| it.target.as_ref())) {
            return referred(target);
        }
        if self.int_or_string || self.format.as_deref() == Some("int-or-string") {
            return Ok(Schema::Scalar(Scalar::IntOrString));
        }
        Ok(match (self.type_name.as_deref(), self.format.as_deref()) {
            (Some("object"), _) => return self.object(),
            (Some("array"), _) => return self.list(),
            (Some("string"), Some("byte")) => Schema::Scalar(Scalar::Bytes),
            (Some("string"), _) => Schema::Scalar(Scalar::String),
            (Some("boolean"), _) => Schema::Scalar(Scalar::Boolean),
            (Some("integer"), Some("int32")) => Schema::Scalar(Scalar::Int32),
            (Some("integer"), _) => Schema::Scalar(Scalar::Int64),
            (Some("number"), _) => Schema::Scalar(Scalar::Number),
            _ => Schema::Any,
        })
    }

    fn object(self) -> Result<Schema, ReadError> {
        let rest = match self.additional_properties {
            Some(Additional::Entries(entries)) => Rest::Entries(entries.schema()?),
            Some(Additional::Allowed(true)) => Rest::Kept,
            _ if self.preserve_unknown_fields => Rest::Kept,
            _ => Rest::Pruned,
        };
        let required = self.required;
        let field = |(name, published): (String, Published<'_>)| published.field(name, &required);
        let fields = self.properties.into_iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let atomic = self.map_type.as_deref() == Some("atomic");
        if fields.is_empty() && matches!(rest, Rest::Kept) && !atomic {
            return Ok(Schema::Any);
        }
        Ok(Schema::Object(Arc::new(ObjectSchema::new(fields, rest, atomic))))
    }

    fn field(mut self, name: String, required: &[String]) -> Result<Field, ReadError> {
        let strategies = self.patch_strategy.as_deref().unwrap_or_default();
        let patch_strategy = match strategies.split(',').find(|strategy| *strategy != "retainKeys") {
            Some("merge") => PatchStrategy::Merge,
            Some("replace") => PatchStrategy::Replace,
            _ => PatchStrategy::Usual,
        };
        Ok(Field {
            required: required.contains(&name),
            name: name.into(),
            default: self.default.take().map(Box::new),
            patch_strategy,
            patch_merge_key: self.patch_merge_key.clone(),
            schema: self.schema()?,
        })
    }

    fn list(self) -> Result<Schema, ReadError> {
        let topology = self.topology()?;
        let items = self.items.map_or(Ok(Schema::Any), |items| items.schema())?;
        Ok(Schema::List(Arc::new(ListSchema { items, topology })))
    }

    /// Where no list type is declared, the patch strategy tells it, as it did before there were list types.
    fn topology(&self) -> Result<Topology, ReadError> {
        let mut keys = self.list_map_keys.clone();
        keys.sort_unstable();
        match self.list_type.as_deref() {
            Some("atomic") => return Ok(Topology::Atomic),
            Some("set") => return Ok(Topology::Set),
            Some("map") => return Ok(Topology::Map(keys.into())),
            Some(other) => return Err(ReadError::ListType(other.to_owned())),
            None => {}
        }
        let merges = self.patch_strategy.as_deref().is_some_and(|strategy| strategy.split(',').any(|it| it == "merge"));
        Ok(match &self.patch_merge_key {
            Some(key) if merges => Topology::Map(Box::new([key.clone()])),
            None if merges => Topology::Set,
            _ => Topology::Atomic,
        })
    }
}

/// Types whose JSON differs from what their definition can say.
fn referred(target: &str) -> Result<Schema, ReadError> {
    let name = target.strip_prefix(REFERENCE).unwrap_or(target);
    let machinery = name.strip_prefix("io.k8s.apimachinery.pkg.").unwrap_or_default();
    let extensions = name.strip_prefix("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.").unwrap_or_default();
    Ok(match (machinery, extensions) {
        ("api.resource.Quantity", _) => Schema::Scalar(Scalar::Quantity),
        ("util.intstr.IntOrString", _) => Schema::Scalar(Scalar::IntOrString),
        ("apis.meta.v1.Time", _) => Schema::Scalar(Scalar::Time),
        ("apis.meta.v1.MicroTime", _) => Schema::Scalar(Scalar::MicroTime),
        ("runtime.RawExtension" | "apis.meta.v1.FieldsV1" | "apis.meta.v1.Patch", _) => Schema::Any,
        (_, "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray") => {
            Schema::Any
        }
        _ => Schema::named(name).ok_or_else(|| ReadError::Reference(name.to_owned()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Shape;

    fn topology(definition: &str, field: &str) -> Topology {
        match Schema::named(definition).unwrap().below(field).shape() {
            Shape::List(list) => list.topology.clone(),
            other => panic!("{field} is no list but {other:?}"),
        }
    }

    #[test]
    fn lists_are_shared_as_published() {
        let keys = |names: &[&str]| Topology::Map(names.iter().map(|name| Box::from(*name)).collect());
        assert_eq!(topology("io.k8s.api.core.v1.PodSpec", "containers"), keys(&["name"]));
        assert_eq!(topology("io.k8s.api.core.v1.Container", "ports"), keys(&["containerPort", "protocol"]));
        assert_eq!(topology("io.k8s.api.core.v1.Container", "command"), Topology::Atomic);
        assert_eq!(topology("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers"), Topology::Set);
        assert_eq!(topology("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "ownerReferences"), keys(&["uid"]));
    }

    #[test]
    fn a_port_without_protocol_is_tcp() {
        let port = Schema::named("io.k8s.api.core.v1.ContainerPort").unwrap();
        assert_eq!(port.field("protocol").unwrap().default.as_deref(), Some(&Value::from("TCP")));
        assert!(port.field("containerPort").unwrap().required);
    }

    #[test]
    fn special_types_are_known_by_their_definition() {
        let shape = |definition: &str, field: &str| format!("{:?}", Schema::named(definition).unwrap().below(field));
        assert_eq!(shape("io.k8s.api.core.v1.HTTPGetAction", "port"), "Scalar(IntOrString)");
        assert_eq!(shape("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp"), "Scalar(Time)");
        assert_eq!(shape("io.k8s.api.coordination.v1.LeaseSpec", "renewTime"), "Scalar(MicroTime)");
        assert_eq!(shape("io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry", "fieldsV1"), "Any");
        assert!(shape("io.k8s.api.core.v1.ResourceRequirements", "limits").contains("Quantity"));
    }

    #[test]
    fn a_schema_of_a_custom_resource_is_read_like_a_published_one() {
        let schema = Schema::from_open_api(
            r#"{"type":"object","properties":{
                "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
                "strict":{"type":"object"},
                "port":{"x-kubernetes-int-or-string":true},
                "keyed":{"type":"array","items":{"type":"object"},"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["b","a"]}}}"#,
        )
        .unwrap();
        assert!(matches!(schema.below("free"), Schema::Any));
        assert!(matches!(schema.below("strict"), Schema::Object(_)));
        assert!(matches!(schema.below("port"), Schema::Scalar(Scalar::IntOrString)));
        let Shape::List(list) = schema.below("keyed").shape() else { panic!("no list") };
        assert_eq!(list.topology, Topology::Map(Box::new(["a".into(), "b".into()])));
        assert!(Schema::from_open_api(r#"{"type":"array","x-kubernetes-list-type":"bag"}"#).is_err());
        assert!(Schema::from_open_api(r##"{"$ref":"#/components/schemas/nothing"}"##).is_err());
    }
}
