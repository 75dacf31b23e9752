//! What is accepted, dropped and refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const POD: &str = "io.k8s.api.core.v1.Pod";

fn read(kind: &str, text: &str) -> Result<Decoded, DecodeError> {
    decode(&Schema::named(kind).unwrap(), text.as_bytes())
}

fn accepts(kind: &str, text: &str, expected: Value) {
    let decoded = read(kind, text).unwrap();
    assert_eq!(decoded.value, expected);
    assert_eq!(decoded.unexpected, []);
}

fn refuses(kind: &str, text: &str, message: &str) {
    assert_eq!(read(kind, text).unwrap_err().to_string(), message);
}

#[test]
fn what_fits_is_kept_as_it_is() {
    let text = r#"{"metadata":{"labels":{"a":"b"}},"spec":{"replicas":3,"template":{"spec":{"containers":[
        {"name":"c","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":0.5,"memory":"1Gi"}},
         "livenessProbe":{"httpGet":{"port":"http"}},"readinessProbe":{"httpGet":{"port":80.0}}}]}}}}"#;
    accepts(
        DEPLOYMENT,
        text,
        json!({"metadata":{"labels":{"a":"b"}},"spec":{"replicas":3,"template":{"spec":{"containers":[
            {"name":"c","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"0.5","memory":"1Gi"}},
             "livenessProbe":{"httpGet":{"port":"http"}},"readinessProbe":{"httpGet":{"port":80}}}]}}}}),
    );
}

#[test]
fn null_is_absent_and_in_lists_and_maps_the_zero_of_the_type() {
    accepts(
        POD,
        r#"{"metadata":null,"spec":{"containers":[null],"nodeSelector":{"a":null}}}"#,
        json!({"spec":{"containers":[{}],"nodeSelector":{"a":""}}}),
    );
}

#[test]
fn unknown_and_duplicate_fields_are_dropped_and_reported() {
    let decoded = read(
        DEPLOYMENT,
        r#"{"spec":{"foo":{"deep":[1]},"replicas":1,"replicas":2,"template":{"spec":{"containers":[
            {"name":"c","image":"i","imagePullpolicy":"x"}]}}},"metadata":{"labels":{"a":"1","a":"2"}}}"#,
    )
    .unwrap();
    assert_eq!(
        strict_decoding_error(&decoded.unexpected),
        r#"strict decoding error: unknown field "spec.foo", duplicate field "spec.replicas", unknown field "spec.template.spec.containers[0].imagePullpolicy", duplicate field "metadata.labels.a""#
    );
    assert_eq!(
        decoded.value,
        json!({"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}},
               "metadata":{"labels":{"a":"2"}}})
    );
}

#[test]
fn a_wrong_type_is_refused_with_its_place() {
    refuses(
        DEPLOYMENT,
        r#"{"spec":{"replicas":"three"}}"#,
        r#"spec.replicas: expected a 32-bit integer, found the string "three""#,
    );
    refuses(
        POD,
        r#"{"spec":{"containers":[{},{"ports":[{"containerPort":1.5}]}]}}"#,
        "spec.containers[1].ports[0].containerPort: expected a 32-bit integer, found the number 1.5",
    );
    refuses(POD, r#"{"spec":[]}"#, "spec: expected an object, found a list");
    refuses(POD, r#"{"spec":{"containers":{}}}"#, "spec.containers: expected a list, found an object");
    refuses(POD, r#"{"metadata":{"name":1}}"#, "metadata.name: expected a string, found the number 1");
    refuses(
        POD,
        r#"{"spec":{"hostNetwork":"yes"}}"#,
        r#"spec.hostNetwork: expected a boolean, found the string "yes""#,
    );
    refuses(
        POD,
        r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}}"#,
        r#"spec.containers[0].resources.limits.cpu: unable to parse quantity's suffix, found the string "1x""#,
    );
    refuses(POD, "[]", "expected an object, found a list");
    refuses(POD, "null", "expected an object, found null");
    refuses(POD, "3", "expected an object, found the number 3");
}

#[test]
fn what_is_no_json_is_refused() {
    for text in ["", "{", "{\"a\":}", "{} x", "{\"a\":1,}", "\u{feff}{}"] {
        assert!(matches!(read(POD, text).unwrap_err(), DecodeError::Syntax(_)), "{text}");
    }
    let not_utf8 = decode(&Schema::named(POD).unwrap(), b"{\"kind\":\"\xff\"}");
    assert!(matches!(not_utf8.unwrap_err(), DecodeError::Syntax(_)));
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    let nest = |open: &str, close: &str, times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let raw = format!(r#"{{"data":{}}}"#, nest(open, close, 100_000).replace(":}", ":1}"));
        assert!(read("io.k8s.api.apps.v1.ControllerRevision", &raw).is_err());
        assert_eq!(read(POD, &raw).unwrap().unexpected.len(), 1, "what is dropped may nest: it is skipped, not built");
    }
    let mut deep = json!(1);
    for _ in 0..110 {
        deep = json!([deep]);
    }
    assert!(conform(&Schema::named("io.k8s.api.apps.v1.ControllerRevision").unwrap(), json!({"data": deep})).is_ok());
    for _ in 0..10 {
        deep = json!([deep]);
    }
    let error = conform(&Schema::named("io.k8s.api.apps.v1.ControllerRevision").unwrap(), json!({"data": deep}));
    assert!(matches!(error.unwrap_err(), DecodeError::Depth { .. }));
}

#[test]
fn free_form_values_keep_everything() {
    let value = json!({"data":{"any":[1,null,{"x":1.5}],"n":null}});
    accepts("io.k8s.api.apps.v1.ControllerRevision", &value.to_string(), value);
}

fn any_json() -> impl Strategy<Value = Value> {
    let names =
        || prop_oneof!["metadata", "spec", "labels", "replicas", "containers", "name", "template", "ports", "x"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9]{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_without_panic_and_what_was_read_reads_as_itself(value in any_json()) {
        let schema = Schema::named(DEPLOYMENT).unwrap();
        let from_bytes = decode(&schema, value.to_string().as_bytes());
        let from_value = conform(&schema, value);
        prop_assert_eq!(from_bytes.is_ok(), from_value.is_ok());
        if let (Ok(a), Ok(b)) = (from_bytes, from_value) {
            prop_assert_eq!(&a.value, &b.value);
            let again = conform(&schema, a.value.clone()).unwrap();
            prop_assert_eq!(again.value, a.value);
            prop_assert_eq!(again.unexpected, vec![]);
        }
    }
}
