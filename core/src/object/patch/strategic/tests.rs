//! Cases known from Kubernetes, and what holds for any patch.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const POD: &str = "io.k8s.api.core.v1.Pod";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const SERVICE_ACCOUNT: &str = "io.k8s.api.core.v1.ServiceAccount";

fn patched(kind: &str, mut object: Value, patch: Value) -> Result<Value, StrategicError> {
    strategic_merge(&Schema::named(kind).unwrap(), &mut object, patch)?;
    Ok(object)
}

fn check(kind: &str, object: Value, patch: Value, expected: Value) {
    assert_eq!(patched(kind, object, patch.clone()).unwrap(), expected, "{patch}");
}

fn containers(items: Value) -> Value {
    json!({"spec": {"containers": items}})
}

#[test]
fn containers_merge_by_name_and_new_ones_come_first() {
    check(
        POD,
        containers(json!([{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}])),
        containers(json!([{"name": "c"}, {"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}])),
        containers(json!([
            {"name": "c"},
            {"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]},
            {"name": "b"}
        ])),
    );
}

#[test]
fn an_item_is_deleted_or_replaced_by_its_directive() {
    let object = || containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]));
    check(
        POD,
        object(),
        containers(json!([{"name": "a", "$patch": "delete"}, {"name": "gone", "$patch": "delete"}])),
        containers(json!([{"name": "b", "image": "1"}])),
    );
    check(
        POD,
        object(),
        containers(json!([{"name": "a", "tty": true, "$patch": "replace"}])),
        containers(json!([{"name": "a", "tty": true}, {"name": "b", "image": "1"}])),
    );
    check(POD, object(), containers(json!([{"name": "c"}, {"$patch": "replace"}])), containers(json!([{"name": "c"}])));
    check(POD, object(), containers(json!([{"$patch": "replace"}])), containers(json!([])));
}

#[test]
fn an_object_is_replaced_or_emptied_by_its_directive() {
    let object = || json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
    check(
        POD,
        object(),
        json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}),
        json!({"metadata": {"labels": {"c": "3"}}}),
    );
    check(POD, object(), json!({"metadata": {"labels": {"$patch": "delete"}}}), json!({"metadata": {"labels": {}}}));
    check(
        POD,
        object(),
        json!({"metadata": {"labels": {"$patch": "merge", "a": null}}}),
        json!({"metadata": {"labels": {"b": "2"}}}),
    );
}

#[test]
fn atomic_lists_are_replaced() {
    check(
        POD,
        containers(json!([{"name": "a", "command": ["x", "y"]}])),
        containers(json!([{"name": "a", "command": ["z"]}])),
        containers(json!([{"name": "a", "command": ["z"]}])),
    );
}

#[test]
fn lists_of_values_that_merge_hold_each_once_and_give_up_what_is_deleted() {
    let object = || json!({"metadata": {"finalizers": ["a", "b"]}});
    check(
        POD,
        object(),
        json!({"metadata": {"finalizers": ["b", "c"]}}),
        json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
    );
    check(
        POD,
        object(),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
        json!({"metadata": {"finalizers": ["b"]}}),
    );
    check(
        POD,
        object(),
        json!({"metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["d", "c", "b"],
            "finalizers": ["c", "d"]
        }}),
        json!({"metadata": {"finalizers": ["d", "c", "b"]}}),
    );
}

#[test]
fn the_order_of_the_patch_holds_and_the_servers_items_stay_where_they_were() {
    let names = |names: &[&str]| json!(names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>());
    let ordered =
        |order: Value, items: Value| json!({"spec": {"$setElementOrder/containers": order, "containers": items}});
    check(
        POD,
        containers(names(&["a", "server", "b"])),
        ordered(names(&["b", "a"]), json!([{"name": "a", "image": "1"}])),
        containers(json!([{"name": "server"}, {"name": "b"}, {"name": "a", "image": "1"}])),
    );
    check(
        POD,
        containers(names(&["a", "server", "b"])),
        ordered(names(&["a", "c", "b"]), names(&["c"])),
        containers(names(&["a", "c", "server", "b"])),
    );
    check(
        POD,
        containers(names(&["a", "b"])),
        ordered(names(&["a", "b"]), names(&["unordered"])),
        containers(names(&["a", "b", "unordered"])),
    );
    check(
        POD,
        containers(names(&["a", "b"])),
        json!({"spec": {"$setElementOrder/containers": names(&["b", "a"])}}),
        containers(names(&["b", "a"])),
    );
    check(POD, json!({"spec": {}}), ordered(names(&["b", "a"]), names(&["a", "b"])), containers(names(&["b", "a"])));
}

#[test]
fn retain_keys_clears_the_other_fields_of_a_union() {
    check(
        DEPLOYMENT,
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
    check(
        POD,
        json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
        json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
        json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
    );
}

#[test]
fn nothing_of_a_directive_is_left_where_there_was_nothing() {
    check(
        POD,
        json!({}),
        json!({"metadata": {"labels": {"$patch": "replace", "a": "1", "b": null}, "$setElementOrder/finalizers": ["x"]},
               "spec": {"containers": [{"name": "a", "$patch": "delete"}, {"name": "b", "tty": null}, {"$patch": "replace"}]}}),
        json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "b"}]}}),
    );
}

#[test]
fn a_malformed_patch_is_refused() {
    let refuses = |object: Value, patch: Value| patched(POD, object, patch).unwrap_err();
    let object = || containers(json!([{"name": "a"}]));
    assert_eq!(refuses(object(), json!([])), StrategicError::Form);
    assert!(matches!(refuses(object(), json!({"spec": {"$patch": "erase"}})), StrategicError::Directive(_)));
    assert!(matches!(refuses(object(), containers(json!([{"image": "x"}]))), StrategicError::MergeKey { .. }));
    assert!(matches!(refuses(object(), containers(json!(["x"]))), StrategicError::MergeKey { .. }));
    assert!(matches!(
        refuses(object(), json!({"spec": {"$retainKeys": ["a"], "b": 1}})),
        StrategicError::NotRetained(_)
    ));
    for patch in [json!({"$retainKeys": 1}), json!({"$setElementOrder/x": 1}), json!({"$deleteFromPrimitiveList/x": 1})]
    {
        assert!(matches!(refuses(object(), patch), StrategicError::DirectiveValue { .. }));
    }
    patched(SERVICE_ACCOUNT, json!({"secrets": []}), json!({"secrets": [{"name": "a"}]})).unwrap();
}

fn any_pod_like() -> impl proptest::strategy::Strategy<Value = Value> {
    let names = || {
        prop_oneof![
            Just("metadata".to_owned()),
            Just("spec".to_owned()),
            Just("containers".to_owned()),
            Just("name".to_owned()),
            Just("env".to_owned()),
            Just("finalizers".to_owned()),
            Just("labels".to_owned()),
            Just("$patch".to_owned()),
            Just("$retainKeys".to_owned()),
            Just("$setElementOrder/containers".to_owned()),
            Just("$deleteFromPrimitiveList/finalizers".to_owned()),
            Just("$setElementOrder/finalizers".to_owned()),
        ]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("replace")),
        Just(json!("delete")),
        Just(json!("merge")),
        Just(json!("a")),
        Just(json!(1)),
    ];
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn pod(names: &[(String, String)], labels: &[(String, String)]) -> Value {
    let mut seen = std::collections::BTreeMap::new();
    for (name, image) in names {
        seen.entry(name.clone()).or_insert_with(|| image.clone());
    }
    let items: Vec<Value> = seen.into_iter().map(|(name, image)| json!({"name": name, "image": image})).collect();
    let labels: Fields = labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({"metadata": {"labels": labels}, "spec": {"containers": items}})
}

fn some_pod() -> impl proptest::strategy::Strategy<Value = Value> {
    let pairs = || prop::collection::vec(("[a-e]", "[0-3]"), 0..5);
    (pairs(), pairs()).prop_map(|(names, labels)| pod(&names, &labels))
}

proptest! {
    #[test]
    fn no_patch_makes_it_panic(object in any_pod_like(), patch in any_pod_like()) {
        let mut object = object;
        drop(strategic_merge(&Schema::named(POD).unwrap(), &mut object, patch));
    }

    #[test]
    fn a_patch_carried_out_twice_changes_nothing_more(object in some_pod(), patch in some_pod()) {
        let once = patched(POD, object, patch.clone()).unwrap();
        prop_assert_eq!(&patched(POD, once.clone(), patch).unwrap(), &once);
    }
}
