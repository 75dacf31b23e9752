//! What a definition may say, and in which words it is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use sampan_conformance::manifests;
use sampan_customresourcedefinition::definition;
use serde_json::{Value, json};

fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
                }}},
            }],
        },
    })
}

fn faults(object: &Value) -> Vec<String> {
    manifests::shown(definition().strategy.validate(object))
}

/// The definition with what stands at a place replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut object = crd();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
    match parent {
        Value::Array(items) => items.push(value),
        parent => parent[field] = value,
    }
    object
}

#[test]
fn a_plain_definition_is_accepted() {
    assert_eq!(faults(&crd()), Vec::<String>::new());
}

#[test]
fn a_fault_is_told_with_its_field() {
    let schema = "spec.versions[0].schema.openAPIV3Schema";
    let root = "/spec/versions/0/schema/openAPIV3Schema";
    let size = format!("{root}/properties/spec/properties/size");
    let at_size = format!("{schema}.properties[spec].properties[size]");
    for (pointer, value, expected) in [
        ("/metadata/name".to_owned(), json!("other"), "metadata.name: Invalid value: \"other\": must be spec.names.plural+\".\"+spec.group".to_owned()),
        ("/spec/scope".to_owned(), json!("Global"), "spec.scope: Unsupported value: \"Global\": supported values: \"Cluster\", \"Namespaced\"".to_owned()),
        ("/spec/names/listKind".to_owned(), json!("Widget"), "spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same".to_owned()),
        ("/spec/versions/0/storage".to_owned(), json!(false), "spec.versions: Invalid value: [\"v1\"]: must have exactly one version marked as storage version".to_owned()),
        ("/spec/versions/0/schema".to_owned(), json!({}), format!("{schema}: Required value: schemas are required")),
        (format!("{root}/type"), json!("string"), format!("{schema}.type: Invalid value: \"string\": must be object at the root")),
        (size.clone(), json!({}), format!("{at_size}.type: Required value: must not be empty for specified object fields")),
        (size.clone(), json!({"type": "array"}), format!("{at_size}.items: Required value: must be specified")),
        (size.clone(), json!({"type": "string", "pattern": "("}), format!("{at_size}.pattern: Invalid value: \"(\": must be a valid regular expression, but isn't:")),
        (size.clone(), json!({"type": "integer", "default": "x"}), format!("{at_size}.default: Invalid value: \"x\": Invalid value: \"string\":")),
        (size.clone(), json!({"type": "integer", "$ref": "#/x"}), format!("{at_size}.$ref: Forbidden: $ref is not supported")),
        (size.clone(), json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}), format!("{at_size}.uniqueItems: Forbidden: uniqueItems cannot be set to true")),
        (size.clone(), json!({"type": "integer", "x-kubernetes-int-or-string": true}), format!("{at_size}.type: Invalid value: \"integer\": must be empty if x-kubernetes-int-or-string is true")),
        (size.clone(), json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}), format!("{at_size}.x-kubernetes-list-map-keys: Required value: must not be empty")),
        (size.clone(), json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}), format!("{at_size}.additionalProperties: Forbidden:")),
        (size.clone(), json!({"type": "integer", "anyOf": [{"type": "integer"}]}), format!("{at_size}.anyOf[0].type: Forbidden: must be empty to be structural")),
        (size.clone(), json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self >"}]}), format!("{at_size}.x-kubernetes-validations[0].rule: Invalid value: \"rule\": compilation failed:")),
        (format!("{root}/x-kubernetes-validations"), json!([{"rule": "self.spec.sise > 1"}]), format!("{schema}.x-kubernetes-validations[0].rule: Invalid value: \"rule\": compilation failed: undefined field 'sise'")),
        ("/spec/versions/0/additionalPrinterColumns".to_owned(), json!([{"name": "A", "type": "text", "jsonPath": ".spec"}]), "spec.versions[0].additionalPrinterColumns[0].type: Unsupported value: \"text\"".to_owned()),
        ("/spec/versions/0/subresources".to_owned(), json!({"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.y"}}), "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".x\": should be a json path under .spec".to_owned()),
        ("/spec/versions/0/selectableFields".to_owned(), json!([{"jsonPath": ".spec.none"}]), "spec.versions[0].selectableFields[0].jsonPath: Invalid value: \".spec.none\": is an invalid path".to_owned()),
        ("/spec/conversion".to_owned(), json!({"strategy": "Other"}), "spec.conversion.strategy: Unsupported value: \"Other\": supported values: \"None\", \"Webhook\"".to_owned()),
    ] {
        let found = faults(&with(&pointer, value));
        assert!(found.iter().any(|fault| fault.starts_with(&expected)), "{pointer}: {found:#?}");
    }
}

/// A definition that is converted by a webhook which is reached like that and understands these versions.
fn converted(client: &Value, versions: &Value) -> Value {
    let webhook = json!({"clientConfig": client, "conversionReviewVersions": versions});
    with("/spec/conversion", json!({"strategy": "Webhook", "webhook": webhook}))
}

#[test]
fn what_is_wrong_with_a_conversion_is_told_in_the_words_of_kubernetes() {
    const CONVERSION: &str = "spec.conversion";
    let (url, v1) = (json!({"url": "https://example.com/convert"}), json!(["v1"]));
    assert_eq!(faults(&converted(&url, &json!(["v2", "v1"]))), Vec::<String>::new());
    let service = |path: &str| json!({"service": {"namespace": "a", "name": "b", "path": path}});
    assert_eq!(faults(&converted(&service("/a/b/"), &v1)), Vec::<String>::new());
    let both = json!({"url": "https://example.com", "service": {"namespace": "a", "name": "b"}});
    let client = "webhookClientConfig";
    let path = format!("{client}.service.path: Invalid value");
    for (definition, expected) in [
        (
            with("/spec/conversion", json!({"strategy": "Webhook"})),
            format!("{client}: Required value: required when strategy is set to Webhook"),
        ),
        (
            with("/spec/conversion", json!({"strategy": "Webhook"})),
            "conversionReviewVersions: Required value".to_owned(),
        ),
        (
            with("/spec/conversion", json!({"strategy": "None", "webhook": {"clientConfig": url}})),
            format!("{client}: Forbidden: should not be set when strategy is not set to Webhook"),
        ),
        (
            with("/spec/conversion", json!({"strategy": "None", "webhook": {"conversionReviewVersions": v1}})),
            "conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook".to_owned(),
        ),
        (converted(&json!({}), &v1), format!("{client}: Required value: exactly one of url or service is required")),
        (converted(&both, &v1), format!("{client}: Required value: exactly one of url or service is required")),
        (
            converted(&json!({"url": "http://example.com"}), &v1),
            format!("{client}.url: Invalid value: \"http\": 'https' is the only allowed URL scheme"),
        ),
        (
            converted(&json!({"service": {"name": "b", "port": 0}}), &v1),
            format!("{client}.service.namespace: Required value"),
        ),
        (
            converted(&json!({"service": {"name": "b", "port": 0}}), &v1),
            format!(
                "{client}.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive"
            ),
        ),
        (converted(&service("convert"), &v1), format!("{path}: \"convert\": must start with a '/'")),
        (converted(&service("//"), &v1), format!("{path}: \"//\": segment[0] may not be empty")),
        (converted(&service("/a//b"), &v1), format!("{path}: \"/a//b\": segment[1] may not be empty")),
        (converted(&service("/A"), &v1), format!("{path}: \"/A\": segment[0]: a lowercase RFC 1123 subdomain")),
        (
            converted(&url, &json!(["v1", "v1"])),
            "conversionReviewVersions[1]: Invalid value: \"v1\": duplicate version".to_owned(),
        ),
        (
            converted(&url, &json!(["v2"])),
            "conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1".to_owned(),
        ),
    ] {
        let found = faults(&definition);
        assert!(
            found.iter().any(|fault| fault.starts_with(&format!("{CONVERSION}.{expected}"))),
            "{expected}: {found:#?}"
        );
    }
}

#[test]
fn who_vouches_for_a_webhook_in_use_is_looked_at() {
    let with_bundle = |bundle: &str| {
        let mut object = converted(&json!({"url": "https://example.com", "caBundle": bundle}), &json!(["v1"]));
        object["status"] = json!({"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1"]});
        object
    };
    // The first line of a certificate as PEM, and "none", in base64.
    let (good, bad) = ("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", "bm9uZQ==");
    let changed = |old: &str, new: &str| {
        manifests::shown(definition().strategy.validate_update(&with_bundle(new), &with_bundle(old)))
    };
    let why = "unable to load root certificates: unable to parse bytes as PEM block";
    assert_eq!(
        changed(good, bad),
        [format!("spec.conversion.webhookClientConfig.caBundle: Invalid value: {bad:?}: {why}")]
    );
    assert_eq!(changed(bad, good), Vec::<String>::new());
    assert_eq!(changed(bad, bad), Vec::<String>::new(), "one that was there may stay");
}

#[test]
fn manifests_are_accepted_or_refused_as_their_names_say() {
    manifests::keep_their_names(&definition(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests"));
}

#[test]
fn a_group_of_kubernetes_needs_approval() {
    let mut object = with("/spec/group", json!("x.k8s.io"));
    object["metadata"]["name"] = json!("widgets.x.k8s.io");
    assert!(faults(&object)[0].starts_with("metadata.annotations[api-approved.kubernetes.io]: Required value"));
    object["metadata"]["annotations"] =
        json!({"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1"});
    assert_eq!(faults(&object), Vec::<String>::new());
}

#[test]
fn what_a_definition_may_not_change_stays() {
    let strategy = definition().strategy;
    let mut old = crd();
    old["status"] = json!({"storedVersions": ["v1"], "conditions": [{"type": "Established", "status": "True"}]});
    let update = |pointer: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(pointer).unwrap() = value;
        let causes = strategy.validate_update(&new, &old);
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>()
    };
    assert_eq!(update("/spec/scope", json!("Cluster")), ["spec.scope: Invalid value: \"Cluster\": field is immutable"]);
    assert!(
        update("/spec/versions/0/name", json!("v2"))[0]
            .starts_with("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions")
    );
    assert_eq!(update("/spec/names/singular", json!("thing")), Vec::<String>::new());
}
