//! What a step reads, and what it rests on then.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::json;

use super::super::{Context, Declaration, Mapping, Wake};
use super::fixture::key;
use crate::entropy::SeededEntropy;
use crate::object::{Draft, ObjectKey};
use crate::resource::{PODS, Registry};
use crate::store::{IndexKey, ReadKey, Snapshot};

/// The names of the pods with this value in a field, and what a step that asked for them rests on.
fn asked(field: &'static str, value: &str) -> (Vec<String>, BTreeSet<ReadKey>) {
    let pods = [("a", "Always"), ("b", "Never")].map(|(name, policy)| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [], "restartPolicy": policy}, "metadata": {
            "name": name, "namespace": "default", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let fields = vec![("spec.restartPolicy", policy.to_owned()), ("spec.nodeName", name.to_owned())];
        Draft::new(ObjectKey::namespaced(PODS, "default", name), pod, fields).unwrap()
    });
    let (snapshot, registry) = (Snapshot::of(pods), Registry::default());
    let declaration =
        Declaration::of::<ConfigMap>("reader").watching::<Pod>(Mapping::Nobody { because: "it only reads" });
    let wake = Wake { key: key("x"), reasons: Vec::new(), refusal: None };
    let (now, mut entropy) = (Timestamp::UNIX_EPOCH, SeededEntropy::new(1));
    let mut cx = Context::new(&snapshot, &registry, &declaration, &wake, now, now, &mut entropy);
    let found = cx.with_field::<Pod>(field, value).into_iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    (found, cx.finish().reads)
}

#[test]
fn who_asks_by_a_field_rests_on_what_it_finds_or_on_all_where_objects_are_not_found_by_it() {
    let on_node = IndexKey::Field { resource: PODS, field: "spec.nodeName", value: "b".into() };
    assert_eq!(asked("spec.nodeName", "b"), (vec!["b".to_owned()], BTreeSet::from([ReadKey::Index(on_node)])));
    let all = BTreeSet::from([ReadKey::Collection(PODS, None)]);
    assert_eq!(asked("spec.restartPolicy", "Never"), (vec!["b".to_owned()], all));
}
