//! Cases known from Kubernetes, and what holds for any apply.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const POD: &str = "io.k8s.api.core.v1.Pod";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn manager(name: &str, second: i64) -> Manager<'_> {
    Manager { name, api_version: "apps/v1", subresource: "", reset_fields: &[], now: at(second) }
}

fn schema(kind: &str) -> Schema {
    Schema::named(kind).unwrap()
}

fn applied(live: Option<&Value>, name: &str, config: Value) -> Result<Value, ApplyError> {
    apply(&schema(DEPLOYMENT), live, config, &manager(name, 0), false)
}

fn updated(live: Option<&Value>, name: &str, new: &Value) -> Value {
    let mut new = new.clone();
    track_update(&schema(DEPLOYMENT), live, &mut new, &manager(name, 0));
    new
}

/// The fields of a manager, as `FieldsV1`.
fn owned(object: &Value, name: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let entry = entries.into_iter().find(|entry| entry["manager"] == name);
    entry.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn plain(mut object: Value) -> Value {
    Record::take(&mut object);
    object
}

fn with_containers(containers: Value) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": containers}}}})
}

fn containers(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["containers"]
}

#[test]
fn a_first_apply_owns_what_it_says() {
    let config = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [
            {"name": "c", "image": "i", "args": ["x"], "resources": {}, "ports": [{"containerPort": 80}]}
        ]}}}
    });
    let object = applied(None, "m", config.clone()).unwrap();
    assert_eq!(plain(object.clone()), config);
    assert_eq!(
        object["metadata"]["managedFields"],
        json!([{
            "manager": "m", "operation": "Apply", "apiVersion": "apps/v1", "time": "2023-11-14T22:13:20Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                    ".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:resources": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}
                }}}}}
            }
        }])
    );
}

#[test]
fn two_managers_own_different_variables_and_dropping_one_removes_only_that() {
    let config = |variables: &[&str]| {
        let env: Vec<Value> = variables.iter().map(|name| json!({"name": name, "value": "1"})).collect();
        with_containers(json!([{"name": "c", "env": env}]))
    };
    let first = applied(None, "a", config(&["A1", "A2"])).unwrap();
    let both = applied(Some(&first), "b", config(&["B"])).unwrap();
    let dropped = applied(Some(&both), "a", config(&["A1"])).unwrap();
    let names: Vec<&Value> = containers(&dropped)[0]["env"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["A1", "B"]);
    let none = applied(Some(&dropped), "a", with_containers(json!([{"name": "c"}]))).unwrap();
    assert_eq!(*containers(&none), json!([{"name": "c", "env": [{"name": "B", "value": "1"}]}]));
}

#[test]
fn ports_are_told_apart_by_number_and_protocol() {
    let ports = |ports: Value| with_containers(json!([{"name": "c", "ports": ports}]));
    let first = applied(None, "a", ports(json!([{"containerPort": 53}]))).unwrap();
    let second =
        applied(Some(&first), "b", ports(json!([{"containerPort": 53, "protocol": "UDP", "name": "u"}]))).unwrap();
    assert_eq!(containers(&second)[0]["ports"].as_array().unwrap().len(), 2);
    let same =
        applied(Some(&second), "b", ports(json!([{"containerPort": 53, "protocol": "TCP", "name": "t"}]))).unwrap();
    assert_eq!(
        containers(&same)[0]["ports"],
        json!([{"containerPort": 53, "protocol": "TCP", "name": "t"}]),
        "the UDP port went with its only owner"
    );
    let error = applied(None, "a", ports(json!([{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}])));
    assert_eq!(
        error.unwrap_err().to_string(),
        "spec.template.spec.containers[0].ports[1]: duplicate entries for key {\"containerPort\":1,\"protocol\":\"TCP\"}"
    );
}

#[test]
fn a_change_of_what_another_owns_is_a_conflict_unless_forced() {
    let object =
        updated(None, "kubectl", &json!({"metadata": {"name": "web"}, "spec": {"replicas": 1, "paused": true}}));
    let config = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2}});
    let Err(ApplyError::Conflicts(conflicts)) = applied(Some(&object), "m", config.clone()) else {
        panic!("no conflict")
    };
    assert_eq!(
        conflicts.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas"
    );
    let causes = conflicts.causes();
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].message, "conflict with \"kubectl\" using apps/v1");
    assert_eq!(causes[0].field, ".spec.replicas");

    let both = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "paused": false}});
    assert_eq!(
        applied(Some(&object), "m", both).unwrap_err().to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1:\n- .spec.paused\n- .spec.replicas"
    );

    let forced = apply(&schema(DEPLOYMENT), Some(&object), config, &manager("m", 0), true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(owned(&forced, "kubectl"), json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(owned(&forced, "m"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn an_equal_value_is_owned_together_and_stays_until_both_let_go() {
    let config = |spec: Value| json!({"metadata": {"name": "web"}, "spec": spec});
    let first = applied(None, "a", config(json!({"replicas": 2, "paused": true}))).unwrap();
    let both = applied(Some(&first), "b", config(json!({"replicas": 2}))).unwrap();
    assert_eq!(owned(&both, "a")["f:spec"]["f:replicas"], json!({}));
    let one = applied(Some(&both), "a", config(json!({"paused": true}))).unwrap();
    assert_eq!(one["spec"]["replicas"], 2);
    let none = applied(Some(&one), "b", json!({"metadata": {"name": "web"}})).unwrap();
    assert_eq!(none["spec"], json!({"paused": true}));
    assert_eq!(owned(&none, "b"), Value::Null, "who owns nothing is forgotten");
}

#[test]
fn an_applier_may_hand_a_field_over_to_an_updater() {
    let config = |spec: Value| json!({"metadata": {"name": "web"}, "spec": spec});
    let object = applied(None, "a", config(json!({"replicas": 1, "paused": true}))).unwrap();
    let mut scaled = object.clone();
    scaled["spec"]["replicas"] = json!(5);
    let scaled = updated(Some(&object), "autoscaler", &scaled);
    assert_eq!(owned(&scaled, "a"), json!({"f:spec": {"f:paused": {}}}));
    let after = applied(Some(&scaled), "a", config(json!({"paused": true}))).unwrap();
    assert_eq!(after["spec"]["replicas"], 5);
}

#[test]
fn applying_the_same_again_changes_nothing_not_even_the_time() {
    let config = with_containers(json!([{"name": "c", "image": "i", "env": [{"name": "A"}]}]));
    let first = applied(None, "m", config.clone()).unwrap();
    let again = apply(&schema(DEPLOYMENT), Some(&first), config, &manager("m", 60), false).unwrap();
    assert_eq!(again, first);
}

#[test]
fn defaults_the_server_fills_in_belong_to_nobody_and_do_not_disturb() {
    let config = with_containers(json!([{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]));
    let mut live = applied(None, "m", config.clone()).unwrap();
    live["spec"]["replicas"] = json!(1);
    live["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = json!("TCP");
    live["metadata"]["uid"] = json!("u");
    live["metadata"]["resourceVersion"] = json!("7");
    assert_eq!(applied(Some(&live), "m", config).unwrap(), live);
    let mut changed = with_containers(json!([{"name": "c", "image": "j", "ports": [{"containerPort": 80}]}]));
    changed["spec"]["replicas"] = json!(2);
    let after = applied(Some(&live), "m", changed).unwrap();
    assert_eq!(after["spec"]["replicas"], 2);
    assert_eq!(containers(&after)[0]["ports"][0]["protocol"], "TCP");
    assert_eq!(after["metadata"]["uid"], "u");
}

#[test]
fn lists_of_values_are_shared_and_atomic_ones_are_not() {
    let finalizers = |values: Value| json!({"metadata": {"name": "web", "finalizers": values}});
    let first = applied(None, "a", finalizers(json!(["x/a"]))).unwrap();
    let both = applied(Some(&first), "b", finalizers(json!(["x/b"]))).unwrap();
    assert_eq!(both["metadata"]["finalizers"], json!(["x/a", "x/b"]));
    assert_eq!(owned(&both, "b"), json!({"f:metadata": {"f:finalizers": {"v:\"x/b\"": {}}}}));
    let one = applied(Some(&both), "a", json!({"metadata": {"name": "web"}})).unwrap();
    assert_eq!(one["metadata"]["finalizers"], json!(["x/b"]));

    let command = |words: Value| with_containers(json!([{"name": "c", "command": words}]));
    let first = applied(None, "a", command(json!(["x"]))).unwrap();
    let error = applied(Some(&first), "b", command(json!(["y"]))).unwrap_err().to_string();
    assert!(error.ends_with("conflict with \"a\": .spec.template.spec.containers[name=\"c\"].command"), "{error}");
}

#[test]
fn the_order_of_the_configuration_holds_and_others_items_stay_between() {
    let config =
        |names: &[&str]| with_containers(names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>().into());
    let names = |object: &Value| -> Vec<String> {
        containers(object).as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = applied(None, "a", config(&["1", "2", "3"])).unwrap();
    let injected = applied(Some(&first), "b", config(&["x"])).unwrap();
    assert_eq!(names(&injected), ["1", "2", "3", "x"]);
    let reordered = applied(Some(&injected), "a", config(&["3", "1", "2", "4"])).unwrap();
    assert_eq!(names(&reordered), ["3", "x", "1", "2", "4"]);
}

#[test]
fn an_object_nobody_is_known_to_manage_had_a_manager_before() {
    let live = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {"replicas": 1}});
    let error = applied(Some(&live), "m", json!({"spec": {"replicas": 2}})).unwrap_err().to_string();
    assert!(error.contains("conflict with \"before-first-apply\" using apps/v1: .spec.replicas"), "{error}");
    let object = applied(Some(&live), "m", json!({"spec": {"paused": true}})).unwrap();
    assert_eq!(owned(&object, "before-first-apply"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn metadata_is_kept_when_a_configuration_stops_mentioning_it() {
    let object = applied(None, "m", json!({"metadata": {"name": "web", "labels": {"a": "1"}}})).unwrap();
    let after = applied(Some(&object), "m", json!({"spec": {"paused": true}})).unwrap();
    assert_eq!(after["metadata"]["name"], "web");
    assert_eq!(after["metadata"].get("labels"), None);
}

#[test]
fn a_create_is_owned_by_its_writer_and_an_update_by_who_changed_it() {
    let new = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "creationTimestamp": "x", "generation": 1,
                     "labels": {"app": "web"}},
        "spec": {"strategy": {"type": "Recreate"}, "template": {"spec": {"containers": [
            {"name": "c", "env": [{"name": "A", "value": "1"}]}]}}}
    });
    let created = updated(None, "kubectl-create", &new);
    assert_eq!(
        owned(&created, "kubectl-create"),
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:strategy": {"f:type": {}}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:env": {".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}}
            }}}}}
        })
    );
    let mut edited = created.clone();
    edited["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = json!("2");
    edited["metadata"]["labels"] = json!({"tier": "front"});
    let edited = updated(Some(&created), "kubectl-edit", &edited);
    assert_eq!(
        owned(&edited, "kubectl-edit"),
        json!({
            "f:metadata": {"f:labels": {"f:tier": {}}},
            "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                "f:env": {"k:{\"name\":\"A\"}": {"f:value": {}}}}}}}}
        })
    );
    let first = owned(&edited, "kubectl-create");
    assert_eq!(first["f:metadata"], json!({"f:labels": {}}), "the map is still its, what was in it is gone");
    let env = &first["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:env"];
    assert_eq!(*env, json!({".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}}}));
}

#[test]
fn an_update_without_change_leaves_the_record_as_it_is() {
    let created = updated(None, "a", &json!({"metadata": {"name": "web"}, "spec": {"replicas": 1}}));
    let mut same = plain(created.clone());
    track_update(&schema(DEPLOYMENT), Some(&created), &mut same, &manager("b", 99));
    assert_eq!(same, created);
}

#[test]
fn the_status_has_managers_of_its_own() {
    let created = updated(None, "m", &json!({"metadata": {"name": "web"}, "spec": {"replicas": 1}}));
    let mut new = created.clone();
    new["status"] = json!({"replicas": 1});
    let status = Manager { subresource: "status", ..manager("m", 1) };
    track_update(&schema(DEPLOYMENT), Some(&created), &mut new, &status);
    let entries = new["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["subresource"], "status");
    assert_eq!(entries[1]["fieldsV1"], json!({"f:status": {"f:replicas": {}}}));
    let error = apply(&schema(DEPLOYMENT), Some(&new), json!({"status": {"replicas": 2}}), &manager("x", 2), false);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("conflict with \"m\" with subresource \"status\" using apps/v1: .status.replicas"),
        "{error}"
    );
    let resets = Manager { reset_fields: &[&["status"]], ..manager("x", 2) };
    let after = apply(&schema(DEPLOYMENT), Some(&new), json!({"status": {"replicas": 2}}), &resets, false).unwrap();
    assert_eq!(after["status"]["replicas"], 1);
}

#[test]
fn the_record_is_reset_by_one_empty_entry_and_survives_none() {
    let created = updated(None, "a", &json!({"metadata": {"name": "web"}, "spec": {"replicas": 1}}));
    let mut reset = created.clone();
    reset["metadata"]["managedFields"] = json!([{}]);
    assert_eq!(updated(Some(&created), "b", &reset), plain(created.clone()));
    let mut emptied = created.clone();
    emptied["metadata"]["managedFields"] = json!([]);
    assert_eq!(updated(Some(&created), "b", &emptied), created);
    let mut damaged = created.clone();
    damaged["metadata"]["managedFields"] = json!([{"operation": "Steal"}]);
    assert_eq!(updated(Some(&created), "b", &damaged), created);
    let config = json!({"metadata": {"managedFields": [{}]}});
    assert_eq!(applied(Some(&created), "b", config).unwrap_err(), ApplyError::ManagedFields);
}

#[test]
fn the_oldest_of_many_updaters_are_gathered() {
    let mut object = updated(None, "m0", &json!({"metadata": {"name": "web", "labels": {"l0": "1"}}}));
    for number in 1..=14 {
        let mut next = object.clone();
        next["metadata"]["labels"][format!("l{number}")] = json!("1");
        let name = format!("m{number}");
        track_update(&schema(DEPLOYMENT), Some(&object), &mut next, &manager(&name, number));
        object = next;
    }
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    assert_eq!(owned(&object, "ancient-changes")["f:metadata"]["f:labels"].as_object().unwrap().len(), 7);
    assert_eq!(owned(&object, "m14"), json!({"f:metadata": {"f:labels": {"f:l14": {}}}}));
}

fn any_object() -> impl Strategy<Value = Value> {
    let names = || {
        prop_oneof![
            Just("metadata"),
            Just("labels"),
            Just("finalizers"),
            Just("managedFields"),
            Just("spec"),
            Just("template"),
            Just("containers"),
            Just("name"),
            Just("env"),
            Just("ports"),
            Just("containerPort"),
            Just("fieldsV1"),
            Just("operation"),
            Just("manager"),
            Just("fieldsType"),
            Just("f:x"),
        ]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("Apply")),
        Just(json!("FieldsV1")),
        Just(json!("a")),
        Just(json!(1)),
        Just(json!(true)),
    ];
    leaf.prop_recursive(7, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..5).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

fn some_config() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[a-d]", "[0-2]", 0..4);
    let env = || prop::collection::btree_map("[A-D]", "[0-2]", 0..4);
    let containers = prop::collection::btree_map("[a-c]", env(), 0..3);
    (labels, containers, prop::option::of(0..3)).prop_map(|(labels, containers, replicas)| {
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, env)| {
                let env: Vec<Value> =
                    env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                json!({"name": name, "env": env})
            })
            .collect();
        let mut config = with_containers(containers.into());
        config["metadata"]["labels"] = json!(labels);
        if let Some(replicas) = replicas {
            config["spec"]["replicas"] = json!(replicas);
        }
        config
    })
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(live in any_object(), config in any_object(), force: bool) {
        for kind in [DEPLOYMENT, POD] {
            drop(apply(&schema(kind), Some(&live), config.clone(), &manager("m", 0), force));
            let mut new = config.clone();
            track_update(&schema(kind), Some(&live), &mut new, &manager("m", 0));
        }
    }

    #[test]
    fn applying_twice_is_applying_once(one in some_config(), two in some_config()) {
        let schema = schema(DEPLOYMENT);
        let live = apply(&schema, None, one, &manager("a", 0), true).unwrap();
        let once = apply(&schema, Some(&live), two.clone(), &manager("b", 1), true).unwrap();
        let twice = apply(&schema, Some(&once), two, &manager("b", 2), false).unwrap();
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn a_manager_that_drops_everything_leaves_what_others_applied(one in some_config(), two in some_config()) {
        let schema = schema(DEPLOYMENT);
        let alone = apply(&schema, None, one, &manager("a", 0), true).unwrap();
        let live = apply(&schema, Some(&alone), two, &manager("b", 1), true).unwrap();
        let left = apply(&schema, Some(&live), with_containers(json!([])), &manager("b", 2), true).unwrap();
        let config = plain(left.clone());
        let again = apply(&schema, Some(&left), config, &manager("a", 3), false);
        prop_assert!(again.is_ok(), "what is left is owned by the other alone");
    }

    #[test]
    fn the_difference_of_an_object_to_itself_is_nothing(one in some_config()) {
        let difference = compare(&schema(DEPLOYMENT), &one, &one.clone());
        prop_assert!(difference.changed.is_empty() && difference.removed.is_empty());
    }
}
