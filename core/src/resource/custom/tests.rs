//! Tables of what is accepted, refused, dropped and filled in.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schema() -> Structural {
    let mut schema = Structural::read(&json!({
        "type": "object", "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object", "required": ["size"], "default": {},
                "x-kubernetes-validations": [
                    {"rule": "!has(self.max) || self.size <= self.max", "messageExpression": "'size %d is above max'.format([self.size])"},
                    {"rule": "self.size >= oldSelf.size", "message": "size never shrinks", "reason": "FieldValueForbidden", "fieldPath": ".size"},
                ],
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
                    "max": {"type": "integer", "format": "int32"},
                    "ratio": {"type": "number", "multipleOf": 0.5, "exclusiveMaximum": true, "maximum": 2},
                    "color": {"type": "string", "enum": ["red", "green"]},
                    "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
                    "when": {"type": "string", "format": "date-time"},
                    "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "tags": {"type": "array", "maxItems": 3, "minItems": 1, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "ports": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number", "protocol"],
                        "items": {"type": "object", "required": ["number"], "properties": {
                            "number": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
                            "name": {"type": "string", "maxLength": 3},
                        }},
                    },
                    "limits": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
                    "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                    "maybe": {"type": "string", "nullable": true},
                    "choice": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                    "not": {"type": "string", "not": {"enum": ["never"]}},
                },
            },
        },
    }))
    .unwrap();
    assert_eq!(compile_all(&mut schema), Vec::new());
    schema
}

fn told(causes: Vec<crate::status::StatusCause>) -> Vec<String> {
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

fn check(spec: Value) -> Vec<String> {
    told(validate(&schema(), &json!({ "spec": spec }), None))
}

#[test]
fn a_value_of_its_schema_is_accepted() {
    for spec in [
        json!({"size": 1}),
        json!({"size": 3, "max": 3, "ratio": 1.5, "color": "red", "name": "abc", "when": "2020-01-02T03:04:05Z"}),
        json!({"size": 1.0, "port": 80, "tags": ["a", "b"], "limits": {"a": "b"}, "maybe": null}),
        json!({"size": 1, "port": "http", "free": {"x": [1, {}]}, "choice": {"a": "x"}, "not": "ever"}),
        json!({"size": 1, "template": {"apiVersion": "v1", "kind": "Pod", "spec": {}}}),
        json!({"size": 1, "ports": [{"number": 1}, {"number": 1, "protocol": "UDP"}]}),
    ] {
        assert_eq!(check(spec.clone()), Vec::<String>::new(), "{spec}");
    }
}

#[test]
fn a_fault_is_told_in_the_words_of_kubernetes() {
    for (spec, expected) in [
        (json!({}), "spec.size: Required value"),
        (
            json!({"size": "x"}),
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
        ),
        (
            json!({"size": 1.5}),
            "spec.size: Invalid value: \"number\": spec.size in body must be of type integer: \"number\"",
        ),
        (
            json!({"size": null}),
            "spec.size: Invalid value: \"null\": spec.size in body must be of type integer: \"null\"",
        ),
        (json!({"size": 0}), "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        (json!({"size": 11}), "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"),
        (
            json!({"size": 1, "max": 3_000_000_000_i64}),
            "spec.max: Invalid value: 3000000000: spec.max in body must be of type int32: 3000000000",
        ),
        (json!({"size": 1, "ratio": 2}), "spec.ratio: Invalid value: 2: spec.ratio in body should be less than 2"),
        (
            json!({"size": 1, "ratio": 0.7}),
            "spec.ratio: Invalid value: 0.7: spec.ratio in body should be a multiple of 0.5",
        ),
        (
            json!({"size": 1, "color": "blue"}),
            "spec.color: Unsupported value: \"blue\": supported values: \"red\", \"green\"",
        ),
        (
            json!({"size": 1, "name": "a"}),
            "spec.name: Invalid value: \"a\": spec.name in body should be at least 2 chars long",
        ),
        (json!({"size": 1, "name": "abcdef"}), "spec.name: Too long: may not be more than 5 bytes"),
        (
            json!({"size": 1, "name": "ABC"}),
            "spec.name: Invalid value: \"ABC\": spec.name in body should match '^[a-z]+$'",
        ),
        (
            json!({"size": 1, "when": "now"}),
            "spec.when: Invalid value: \"now\": spec.when in body must be of type date-time: \"now\"",
        ),
        (
            json!({"size": 1, "port": true}),
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"size": 1, "tags": []}),
            "spec.tags: Invalid value: []: spec.tags in body should have at least 1 items",
        ),
        (json!({"size": 1, "tags": ["a", "b", "c", "d"]}), "spec.tags: Too many: 4: must have at most 3 items"),
        (json!({"size": 1, "tags": ["a", "a"]}), "spec.tags[1]: Duplicate value: \"a\""),
        (
            json!({"size": 1, "ports": [{"number": 1}, {"number": 1, "protocol": "TCP"}]}),
            "spec.ports[1]: Duplicate value: {\"number\":1,\"protocol\":\"TCP\"}",
        ),
        (
            json!({"size": 1, "ports": [{"number": 1, "name": "long"}]}),
            "spec.ports[0].name: Too long: may not be more than 3 bytes",
        ),
        (
            json!({"size": 1, "limits": {"a": 1}}),
            "spec.limits.a: Invalid value: \"integer\": spec.limits.a in body must be of type string: \"integer\"",
        ),
        (
            json!({"size": 1, "limits": {"a": "", "b": "", "c": ""}}),
            "spec.limits: Too many: 3: must have at most 2 items",
        ),
        (
            json!({"size": 1, "template": {"kind": "Pod"}}),
            "spec.template.apiVersion: Required value: must not be empty",
        ),
        (
            json!({"size": 1, "choice": {}}),
            "<nil>: Invalid value: \"\": \"spec.choice\" must validate one and only one schema (oneOf). Found none valid",
        ),
        (
            json!({"size": 1, "not": "never"}),
            "<nil>: Invalid value: \"\": \"spec.not\" must not validate the schema (not)",
        ),
        (json!({"size": 5, "max": 4}), "spec: Invalid value: \"object\": size 5 is above max"),
    ] {
        assert_eq!(check(spec.clone()), [expected], "{spec}");
    }
}

#[test]
fn a_transition_rule_compares_with_what_was() {
    let update =
        |new: Value, old: Value| told(validate(&schema(), &json!({ "spec": new }), Some(&json!({ "spec": old }))));
    assert_eq!(update(json!({"size": 4}), json!({"size": 3})), Vec::<String>::new());
    assert_eq!(update(json!({"size": 2}), json!({"size": 3})), ["spec.size: Forbidden: size never shrinks"]);
}

#[test]
fn what_has_not_changed_is_not_at_fault() {
    let old = json!({"spec": {"size": 1, "color": "mauve", "name": "abc"}});
    let mut new = old.clone();
    new["spec"]["name"] = json!("abd");
    assert_eq!(told(validate(&schema(), &new, Some(&old))), Vec::<String>::new());
    new["spec"]["color"] = json!("beige");
    assert_eq!(validate(&schema(), &new, Some(&old)).len(), 1);
}

#[test]
fn unknown_fields_go_and_are_told() {
    let mut value = json!({
        "apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x"}, "stray": 1,
        "spec": {"size": 1, "other": {}, "limits": {"a": "b"}, "free": {"x": 1, "known": {"a": "b", "c": "d"}},
            "ports": [{"number": 1, "extra": 2}], "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"x": 1}}},
    });
    let dropped: Vec<String> = prune(&schema(), &mut value).iter().map(ToString::to_string).collect();
    assert_eq!(dropped, ["stray", "spec.other", "spec.free.known.c", "spec.ports[0].extra"]);
    assert_eq!(value["spec"]["free"], json!({"x": 1, "known": {"a": "b"}}));
    assert_eq!(value["spec"]["template"]["spec"], json!({"x": 1}));
}

#[test]
fn defaults_are_filled_in_from_the_outside_in() {
    for (given, expected) in [
        (json!({}), json!({"spec": {"size": 3}})),
        (json!({"spec": {"size": null}}), json!({"spec": {"size": 3}})),
        (json!({"spec": {"size": 1, "color": null}}), json!({"spec": {"size": 1}})),
        (json!({"spec": {"size": 1, "maybe": null}}), json!({"spec": {"size": 1, "maybe": null}})),
        (
            json!({"spec": {"ports": [{"number": 1}]}}),
            json!({"spec": {"size": 3, "ports": [{"number": 1, "protocol": "TCP"}]}}),
        ),
    ] {
        let mut value = given.clone();
        fill_defaults(&schema(), &mut value);
        assert_eq!(value, expected, "{given}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z/ é]{0,6}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("spec"),
        Just("size"),
        Just("max"),
        Just("ratio"),
        Just("tags"),
        Just("ports"),
        Just("number"),
        Just("limits"),
        Just("free"),
        Just("known"),
        Just("template"),
        Just("kind"),
        Just("metadata"),
        Just("port"),
        Just("choice"),
        Just("a")
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_brings_pruning_defaulting_or_validation_down(value in any_json(), old in any_json()) {
        let schema = schema();
        let mut value = value;
        prune(&schema, &mut value);
        prop_assert!(prune(&schema, &mut value.clone()).is_empty(), "pruned once, nothing is left to prune");
        fill_defaults(&schema, &mut value);
        let mut again = value.clone();
        fill_defaults(&schema, &mut again);
        prop_assert_eq!(&again, &value, "filled once, nothing is left to fill in");
        validate(&schema, &value, Some(&old));
        prop_assert!(validate(&schema, &value, Some(&value)).is_empty(), "what has not changed is not at fault");
    }
}
