//! Deployments that are accepted and refused, and what defaulting makes of a small one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::manifests::{self, shown, with};
use sampan_deployment::definition;
use serde_json::{Value, json};

fn faults(mut object: Value) -> Vec<String> {
    manifests::faults(&definition(), &mut object)
}

fn base() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
}

#[track_caller]
fn check(pointer: &str, value: Value, expected: &str) {
    let found = faults(with(&base(), pointer, value.clone()));
    assert!(found.iter().any(|fault| fault.starts_with(expected)), "{pointer} = {value}: {found:#?}");
}

#[test]
fn a_small_deployment_is_stored_as_kubernetes_stores_it() {
    let mut object = base();
    definition().strategy.default(&mut object);
    let expected = json!({
        "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
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
    check(
        "/spec/revisionHistoryLimit",
        json!(-1),
        "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
    );
    check(
        "/spec/progressDeadlineSeconds",
        json!(-1),
        "spec.progressDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
    );
    check(
        "/spec/minReadySeconds",
        json!(600),
        "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
    );
}

#[test]
fn the_strategy_is_one_of_two() {
    let rolling = |unavailable: Value, surge: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
    check(
        "/spec/strategy",
        json!({"type": "BlueGreen"}),
        "spec.strategy.type: Unsupported value: \"BlueGreen\": supported values: \"Recreate\", \"RollingUpdate\"",
    );
    check(
        "/spec/strategy",
        json!({"type": "Recreate", "rollingUpdate": {}}),
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    );
    let at = "spec.strategy.rollingUpdate";
    check(
        "/spec/strategy",
        rolling(json!(0), json!(0)),
        &format!("{at}.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
    );
    check(
        "/spec/strategy",
        rolling(json!("0%"), json!("0%")),
        &format!("{at}.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"),
    );
    check(
        "/spec/strategy",
        rolling(json!("101%"), json!(1)),
        &format!("{at}.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"),
    );
    check(
        "/spec/strategy",
        rolling(json!("some"), json!(1)),
        &format!("{at}.maxUnavailable: Invalid value: \"some\": a valid percent string must be"),
    );
    check(
        "/spec/strategy",
        rolling(json!(1), json!(-1)),
        &format!("{at}.maxSurge: Invalid value: -1: must be greater than or equal to 0"),
    );
    assert_eq!(faults(with(&base(), "/spec/strategy", rolling(json!(0), json!("200%")))), Vec::<String>::new());
    assert_eq!(faults(with(&base(), "/spec/strategy", json!({"type": "Recreate"}))), Vec::<String>::new());
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
        let found = shown(
            definition()
                .strategy
                .validate_status(&json!({"status": status}), &json!({"status": {"collisionCount": 1}})),
        );
        assert!(found.iter().any(|fault| fault == expected), "{status}: {found:#?}");
    };
    check(
        json!({"replicas": 1, "readyReplicas": 2}),
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    );
    check(
        json!({"replicas": 1, "updatedReplicas": 2}),
        "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
    );
    check(
        json!({"replicas": 3, "readyReplicas": 1, "availableReplicas": 2}),
        "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
    );
    check(json!({"replicas": -1}), "status.replicas: Invalid value: -1: must be greater than or equal to 0");
    check(
        json!({"replicas": 1, "collisionCount": 0}),
        "status.collisionCount: Invalid value: 0: cannot be decremented",
    );
}

#[test]
fn a_deployment_shows_as_in_kubectl() {
    let mut object = base();
    definition().strategy.default(&mut object);
    object["status"] = json!({"readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
    let strategy = definition().strategy;
    let cells = strategy.cells(&object, sampan_core::Timestamp::UNIX_EPOCH);
    let expected = ["1/1", "1", "1", "<unknown>", "web", "web:1", "app=web"];
    assert_eq!(cells, expected.map(Value::from));
    assert_eq!(strategy.columns().len(), expected.len());
}
