//! The definitions in the form of OpenAPI v2, which `kubectl explain --output=plaintext-openapiv2` and the client-side
//! validation of lists and scales still read. Paths stand in version 3 alone.

use serde_json::{Map, Value, json};

use super::openapi::{Endpoint, needed};

const NEW_HOME: &str = "#/components/schemas/";
const OLD_HOME: &str = "#/definitions/";

/// The document at `/openapi/v2` of these resources.
pub fn document(endpoints: &[Endpoint<'_>]) -> Value {
    let published = needed(endpoints).into_iter().map(|definition| (definition.name(), definition.text()));
    let own = endpoints.iter().filter_map(|endpoint| Some((endpoint.schema, endpoint.own_schema?)));
    let definitions: Map<String, Value> =
        published.chain(own).map(|(name, text)| (name.to_owned(), definition(text))).collect();
    json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": "v1.35.0" },
        "paths": {},
        "definitions": definitions,
    })
}

fn definition(text: &str) -> Value {
    let mut schema: Value = serde_json::from_str(text).expect("a definition is JSON");
    downgrade(&mut schema);
    leave_open(&mut schema);
    schema
}

/// What holds fields nobody knows says of version 2 nothing but that it is an object: kubectl would take the fields it names for
/// all there are.
fn leave_open(schema: &mut Value) {
    const OPEN: &str = "x-kubernetes-preserve-unknown-fields";
    let Some(fields) = schema.as_object_mut() else { return };
    if fields.get(OPEN) == Some(&Value::Bool(true)) {
        fields.retain(|name, _| matches!(name.as_str(), "type" | "x-kubernetes-group-version-kind"));
    }
}

/// Says with the words of version 2 what a schema says with those of version 3.
fn downgrade(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    // A reference with a description beside it had to be wrapped in version 3.
    if let Some(Value::Array(all)) = fields.remove("allOf")
        && let Some(Value::Object(only)) = all.into_iter().next()
    {
        fields.extend(only);
    }
    // What is a text or a number is called a text with a format.
    if fields.remove("oneOf").is_some() {
        fields.insert("type".to_owned(), "string".into());
    }
    if let Some(Value::String(reference)) = fields.get_mut("$ref") {
        *reference = reference.replacen(NEW_HOME, OLD_HOME, 1);
    }
    for below in ["items", "additionalProperties"] {
        fields.get_mut(below).into_iter().for_each(downgrade);
    }
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).for_each(downgrade);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::openapi::{GroupVersion, SubEndpoint};

    fn deployments() -> Value {
        document(&[Endpoint {
            plural: "deployments",
            kind: "Deployment",
            schema: "io.k8s.api.apps.v1.Deployment",
            own_schema: None,
            namespaced: true,
            verbs: &["get"],
            subresources: &[SubEndpoint {
                name: "scale",
                group_version: GroupVersion { group: "autoscaling", version: "v1" },
                kind: "Scale",
                schema: "io.k8s.api.autoscaling.v1.Scale",
                verbs: &["get"],
            }],
        }])
    }

    #[test]
    fn references_lead_to_definitions_and_stand_beside_their_description() {
        let document = deployments();
        let spec = &document["definitions"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"];
        assert_eq!(spec["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentSpec");
        assert!(spec["description"].is_string());
        let text = document.to_string();
        assert!(!text.contains(NEW_HOME) && !text.contains("allOf") && !text.contains("oneOf"));
    }

    #[test]
    fn a_definition_that_leaves_room_for_anything_names_no_fields() {
        let open = r#"{"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}},
            "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "K"}]}"#;
        assert_eq!(
            definition(open),
            json!({"type": "object", "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "K"}]})
        );
    }

    #[test]
    fn definitions_say_which_kind_they_are_and_subresources_have_theirs() {
        let document = deployments();
        let scale = json!([{"group": "autoscaling", "kind": "Scale", "version": "v1"}]);
        let found = &document["definitions"]["io.k8s.api.autoscaling.v1.Scale"]["x-kubernetes-group-version-kind"];
        assert_eq!(*found, scale);
        let surge = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
        assert_eq!(document["definitions"][surge]["type"], "string");
    }
}
