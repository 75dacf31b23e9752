//! ReplicaSets that are accepted and refused, and what defaulting makes of a small one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::manifests::{self, shown, with};
use sampan_replicaset::resource::definition;
use serde_json::{Value, json};

fn faults(mut object: Value) -> Vec<String> {
    manifests::faults(&definition(), &mut object)
}

fn base() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "default"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
}

#[track_caller]
fn check(pointer: &str, value: Value, expected: &str) {
    let found = faults(with(&base(), pointer, value.clone()));
    assert!(found.iter().any(|fault| fault.starts_with(expected)), "{pointer} = {value}: {found:#?}");
}

#[test]
fn a_small_replica_set_is_stored_as_kubernetes_stores_it() {
    let mut object = base();
    definition().strategy.default(&mut object);
    let expected = json!({
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "containers": [{"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30}}});
    assert_eq!(object["spec"], expected);
    let stored = object.clone();
    definition().strategy.default(&mut object);
    assert_eq!(object, stored, "defaulting twice changes nothing");
}

#[test]
fn manifests_are_accepted_or_refused_as_their_names_say() {
    manifests::keep_their_names(&definition(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests"));
}

#[test]
fn the_selector_selects_the_template() {
    check("/spec/selector", Value::Null, "spec.selector: Required value");
    check(
        "/spec/selector",
        Value::Null,
        "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
    );
    check("/spec/selector", json!({}), "spec.selector: Invalid value: {}: empty selector is invalid for deployment");
    check(
        "/spec/template/metadata/labels",
        json!({"app": "db"}),
        "spec.template.metadata.labels: Invalid value: {\"app\":\"db\"}: `selector` does not match template `labels`",
    );
    check(
        "/spec/selector",
        json!({"matchLabels": {"a b": "c"}}),
        "spec.selector.matchLabels: Invalid value: \"a b\": name part must consist",
    );
    check(
        "/spec/selector",
        json!({"matchLabels": {"app": "c d"}}),
        "spec.selector.matchLabels: Invalid value: \"c d\": a valid label must be",
    );
    let expression = |it: Value| json!({"matchExpressions": [it]});
    check(
        "/spec/selector",
        expression(json!({"key": "app", "operator": "In"})),
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
    );
    check(
        "/spec/selector",
        expression(json!({"key": "app", "operator": "Exists", "values": ["web"]})),
        "spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
    );
    check(
        "/spec/selector",
        expression(json!({"key": "app", "operator": "Like", "values": ["web"]})),
        "spec.selector.matchExpressions[0].operator: Invalid value: \"Like\": not a valid selector operator",
    );
}

#[test]
fn numbers_are_not_negative() {
    check("/spec/replicas", json!(-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
    check(
        "/spec/minReadySeconds",
        json!(-1),
        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
    );
}

#[test]
fn the_template_makes_pods_that_restart() {
    let at = "/spec/template/spec";
    check(
        &format!("{at}/restartPolicy"),
        json!("Never"),
        "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
    );
    check(
        &format!("{at}/activeDeadlineSeconds"),
        json!(5),
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
    );
    check(
        &format!("{at}/ephemeralContainers"),
        json!([{"name": "d", "image": "d"}]),
        "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
    );
    check(&format!("{at}/containers"), json!([]), "spec.template.spec.containers: Required value");
    check(&format!("{at}/containers/0/image"), Value::Null, "spec.template.spec.containers[0].image: Required value");
    check(
        &format!("{at}/containers/0/ports"),
        json!([{"containerPort": 0}]),
        "spec.template.spec.containers[0].ports[0].containerPort: Required value",
    );
    check(
        &format!("{at}/containers/0/volumeMounts"),
        json!([{"name": "x", "mountPath": "/x"}]),
        "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"x\"",
    );
    check(&format!("{at}/nodeName"), json!("A"), "spec.template.spec.nodeName: Invalid value: \"A\"");
    check(
        "/spec/template/metadata/labels",
        json!({"app": "web", "x": "a b"}),
        "spec.template.metadata.labels: Invalid value: \"a b\"",
    );
    check(
        "/spec/template/metadata/annotations",
        json!({"a b": ""}),
        "spec.template.metadata.annotations: Invalid value: \"a b\"",
    );
    check(&format!("{at}/dnsPolicy"), json!("Any"), "spec.template.spec.dnsPolicy: Unsupported value: \"Any\"");
    check(
        &format!("{at}/containers/0/name"),
        json!("A"),
        "spec.template.spec.containers[0].name: Invalid value: \"A\"",
    );
    check(
        &format!("{at}/containers/0/env"),
        json!([{"name": "a=b"}]),
        "spec.template.spec.containers[0].env[0].name: Invalid value: \"a=b\"",
    );
    check(
        &format!("{at}/volumes"),
        json!([{"name": "x", "configMap": {}}]),
        "spec.template.spec.volumes[0].configMap.name: Required value",
    );
    check(
        &format!("{at}/tolerations"),
        json!([{"value": "a"}]),
        "spec.template.spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists",
    );
    check("/metadata/labels", json!({"a": "b c"}), "metadata.labels: Invalid value: \"b c\"");
    check("/metadata/name", json!("Web"), "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain");
}

#[test]
fn the_selector_stays() {
    let changed = with(&base(), "/spec/selector", json!({"matchLabels": {"app": "web", "tier": "front"}}));
    let found = shown(definition().strategy.validate_update(&changed, &base()));
    assert_eq!(
        found,
        ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\",\"tier\":\"front\"}}: field is immutable"]
    );
    assert_eq!(
        shown(definition().strategy.validate_update(&with(&base(), "/spec/replicas", json!(3)), &base())),
        Vec::<String>::new()
    );
}

#[test]
fn a_status_counts_no_more_than_there_is() {
    let check = |status: Value, expected: &str| {
        let found = shown(definition().strategy.validate_status(&json!({"status": status}), &Value::Null));
        assert!(found.iter().any(|fault| fault == expected), "{status}: {found:#?}");
    };
    check(
        json!({"replicas": 1, "readyReplicas": 2}),
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    );
    check(
        json!({"replicas": 1, "fullyLabeledReplicas": 2}),
        "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
    );
    check(
        json!({"replicas": 3, "readyReplicas": 1, "availableReplicas": 2}),
        "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
    );
    check(json!({"replicas": -1}), "status.replicas: Invalid value: -1: must be greater than or equal to 0");
}

#[test]
fn a_replica_set_shows_as_in_kubectl() {
    let mut object = base();
    definition().strategy.default(&mut object);
    object["status"] = json!({"replicas": 1, "readyReplicas": 0});
    let strategy = definition().strategy;
    let cells = strategy.cells(&object, sampan_core::Timestamp::UNIX_EPOCH);
    let expected = [json!(1), json!(1), json!(0), json!("<unknown>"), json!("web"), json!("web:1"), json!("app=web")];
    assert_eq!(cells, expected);
    assert_eq!(strategy.columns().len(), expected.len());
}
