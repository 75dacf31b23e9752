//! Policies of the user's that change what is written.

use sampan_core::gateway::{Action, Body, PatchKind, Subresource};
use serde_json::{Value, json};

use crate::world::{Given, World, pod};

const REGISTRATION: &str = "admissionregistration.k8s.io";

/// A policy of that name on what is written to pods and ConfigMaps, bound.
fn policy(name: &str, mutations: &[Value], more: Value) -> [Given; 2] {
    let rules = json!([{
        "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods", "configmaps"],
    }]);
    let mut spec = json!({
        "matchConstraints": {"resourceRules": rules}, "mutations": mutations, "reinvocationPolicy": "Never",
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let named = json!({"name": name});
    [
        (REGISTRATION, "mutatingadmissionpolicies", "", json!({"metadata": named, "spec": spec})),
        (REGISTRATION, "mutatingadmissionpolicybindings", "", json!({"metadata": named, "spec": {"policyName": name}})),
    ]
}

fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn operations(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

fn labelled(name: &str, value: &str) -> Value {
    apply(&format!("Object{{metadata: Object.metadata{{labels: {{'{name}': {value}}}}}}}"))
}

fn with(policies: impl IntoIterator<Item = [Given; 2]>) -> World {
    World::with(policies.into_iter().flatten().collect())
}

#[test]
fn what_a_policy_sets_is_merged_defaulted_and_stored() {
    let sidecar = apply(
        "Object{metadata: Object.metadata{labels: {'by': 'policy', 'of': object.metadata.name}}, \
         spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 'proxy:1', \
         ports: [Object.spec.containers.ports{containerPort: 80}]}], priorityClassName: '', restartPolicy: 'Never'}}",
    );
    let created = with([policy("p", &[sidecar], json!({}))]).create(pod("web", json!({}))).unwrap();
    assert_eq!(created["metadata"]["labels"], json!({"by": "policy", "of": "web"}));
    let containers = created["spec"]["containers"].as_array().unwrap();
    let names: Vec<&str> = containers.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!((names, &containers[1]["image"]), (vec!["c", "side"], &json!("proxy:1")));
    assert_eq!(containers[1]["imagePullPolicy"], "IfNotPresent", "what is added is defaulted as well");
    assert_eq!(containers[1]["ports"][0]["protocol"], "TCP");
    assert_eq!(created["spec"]["restartPolicy"], "Never");
}

#[test]
fn operations_change_as_json_patches_do() {
    let add = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a/b': 'x'}}, \
               JSONPatch{op: 'copy', from: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), path: '/metadata/labels/c'}]";
    let set = "[JSONPatch{op: 'add', path: '/spec/containers/-', \
               value: Object.spec.containers{name: 'side', image: 'proxy:1'}}]";
    let vain =
        "[JSONPatch{op: 'test', path: '/metadata/name', value: 'other'}, JSONPatch{op: 'remove', path: '/spec'}]";
    let policy = policy("p", &[operations(add), operations(set), operations(vain)], json!({}));
    let created = with([policy]).create(pod("web", json!({}))).unwrap();
    assert_eq!(created["metadata"]["labels"], json!({"a/b": "x", "c": "x"}));
    assert_eq!(created["spec"]["containers"][1]["name"], "side");
}

#[test]
fn a_policy_changes_what_its_conditions_and_variables_say() {
    let may = "authorizer.requestResource.check('create').allowed() ? 'yes' : 'no'";
    let more = json!({
        "matchConditions": [{"name": "web", "expression": "object.metadata.name == 'web'"}],
        "variables": [{"name": "may", "expression": may}],
    });
    let world = with([policy("p", &[labelled("may", "variables.may")], more)]);
    assert_eq!(world.create(pod("web", json!({}))).unwrap()["metadata"]["labels"], json!({"may": "yes"}));
    assert_eq!(world.create(pod("db", json!({}))).unwrap()["metadata"]["labels"], Value::Null);
}

#[test]
fn each_parameter_of_a_binding_is_asked_with() {
    let map = |name: &str| {
        let metadata = json!({"name": name, "namespace": "team", "labels": {"for": "p"}});
        ("", "configmaps", "team", json!({"metadata": metadata, "data": {"key": name}}))
    };
    let set = operations(
        "[has(object.metadata.labels) ? JSONPatch{op: 'add', path: '/metadata/labels/' + params.data.key, value: 'x'} \
         : JSONPatch{op: 'add', path: '/metadata/labels', value: {params.data.key: 'x'}}]",
    );
    let [policy, mut binding] = policy("p", &[set], json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}));
    binding.3["spec"]["paramRef"] =
        json!({"selector": {"matchLabels": {"for": "p"}}, "parameterNotFoundAction": "Deny"});
    let world = World::with(vec![policy.clone(), binding.clone(), map("one"), map("two")]);
    assert_eq!(world.create(pod("web", json!({}))).unwrap()["metadata"]["labels"], json!({"one": "x", "two": "x"}));
    let refused = World::with(vec![policy, binding]).create(pod("web", json!({}))).unwrap_err();
    let expect = "policy 'p' with binding 'p' denied request: failed to configure binding: no params found";
    assert!(refused.message.starts_with(expect), "{}", refused.message);
}

#[test]
fn what_goes_wrong_refuses_unless_the_policy_says_that_it_may() {
    let said = "policy 'p' with binding 'p' denied request: ";
    for (mutation, why) in [
        (apply("{'spec': 1}"), "unsupported return type from ApplyConfiguration expression: map"),
        (apply("Object{spec: Object.status{}}"), "type mismatch: unexpected type name \"Object.status\""),
        (
            apply("Object{spec: Object.spec{odd: 1}}"),
            "error applying patch: failed to convert patch object to typed object: ",
        ),
        (
            apply("Object{spec: Object.spec{tolerations: [Object.spec.tolerations{key: 'a'}]}}"),
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.tolerations",
        ),
        (
            apply("Object{metadata: object.nothing}"),
            "expression 'Object{metadata: object.nothing}' resulted in error: no such key",
        ),
        (operations("[1]"), "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch"),
        (operations("[JSONPatch{op: 'remove', path: '/none'}]"), "JSONPath: "),
        (operations("[JSONPatch{op: 'replace', path: '/spec', value: 1}]"), "Internal error occurred: "),
    ] {
        let world = |failure: &str| with([policy("p", &[mutation.clone()], json!({"failurePolicy": failure}))]);
        let refused = world("Fail").create(pod("web", json!({}))).unwrap_err();
        let expect = format!("{said}{why}");
        assert!(refused.message.starts_with(&expect), "{expect}\n{}", refused.message);
        assert_eq!((refused.code, refused.reason), (403, "Invalid"));
        assert!(world("Ignore").create(pod("web", json!({}))).is_ok(), "{mutation}");
    }
}

#[test]
fn what_only_the_server_gives_stays_and_the_outcome_must_be_valid() {
    let rename = apply("Object{metadata: Object.metadata{name: 'other', uid: 'mine'}}");
    let created = with([policy("p", &[rename], json!({}))]).create(pod("web", json!({}))).unwrap();
    assert_eq!(created["metadata"]["name"], "web");
    assert_ne!(created["metadata"]["uid"], "mine");
    let spoil = operations("[JSONPatch{op: 'replace', path: '/spec/containers/0/image', value: ''}]");
    let refused = with([policy("p", &[spoil], json!({}))]).create(pod("web", json!({}))).unwrap_err();
    assert!(refused.message.contains("spec.containers[0].image: Required value"), "{}", refused.message);
}

#[test]
fn who_wants_to_sees_what_later_policies_change() {
    let count = "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {'n': has(object.metadata.labels) ? \
                 string(size(object.metadata.labels)) : '0'}}]";
    for (reinvocation, expect) in [("Never", "0"), ("IfNeeded", "1")] {
        let first = policy("a", &[operations(count)], json!({"reinvocationPolicy": reinvocation}));
        let world = with([first, policy("b", &[labelled("x", "'y'")], json!({"reinvocationPolicy": "IfNeeded"}))]);
        let created = world.create(pod("web", json!({}))).unwrap();
        assert_eq!(created["metadata"]["annotations"]["n"], expect, "{reinvocation}");
    }
}

#[test]
fn an_update_is_changed_as_a_create_is() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "team"}, "data": {"a": "1"}});
    let mut given: Vec<Given> = policy("p", &[apply("Object{data: {'b': oldObject.data.a}}")], json!({})).into();
    given.push(("", "configmaps", "team", map.clone()));
    let mut changed = map;
    changed["data"]["a"] = json!("2");
    let action = Action::Update(Body::Value(changed));
    let (updated, _) = World::with(given).ask("configmaps", "team", Some("m"), action).unwrap();
    assert_eq!(updated["data"], json!({"a": "2", "b": "1"}));
}

#[test]
fn a_policy_about_everything_lets_scales_be_as_they_are_asked_for() {
    let controller = json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "web", "namespace": "team"},
        "spec": {"replicas": 1, "selector": {"app": "web"}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let mut given: Vec<Given> = policy("p", &[labelled("seen", "'yes'")], json!({})).into();
    let rules = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*", "*"]}]);
    given[0].3["spec"]["matchConstraints"]["resourceRules"] = rules;
    given.push(("", "replicationcontrollers", "team", controller));
    let scaled = Action::Patch(PatchKind::Merge, Body::Value(json!({"spec": {"replicas": 3}})));
    let world = World::with(given);
    let (scaled, _) = world.ask_at("replicationcontrollers", "team", Some("web"), Subresource::Scale, scaled).unwrap();
    assert_eq!((&scaled["spec"]["replicas"], &scaled["metadata"]["labels"]["seen"]), (&json!(3), &Value::Null));
    assert_eq!(world.create(pod("p", json!({}))).unwrap()["metadata"]["labels"]["seen"], "yes");
}
