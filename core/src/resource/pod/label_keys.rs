//! Labels that are named rather than written out: `matchLabelKeys` and `mismatchLabelKeys`.
//!
//! They stand for the values the pod has when it is created, and are written into the selectors then, as Kubernetes does it:
//! a Deployment's pods mean those of their own revision by `pod-template-hash`. Whoever reads the selectors need not know.

use serde_json::{Value, json};

use super::super::fill::{items_mut, present};
use super::super::read::{at, items};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Writes the values of the pod's own labels into the selectors that name them.
pub(super) fn write_out(pod: &mut Value) {
    let labels = at(pod, "/metadata/labels").cloned().unwrap_or_default();
    let Some(spec) = present(pod, "spec") else { return };
    items_mut(spec, "topologySpreadConstraints").for_each(|constraint| merge(constraint, &labels));
    let Some(affinity) = present(spec, "affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(kind) = present(affinity, kind) else { continue };
        items_mut(kind, REQUIRED).for_each(|term| merge(term, &labels));
        for weighted in items_mut(kind, PREFERRED) {
            present(weighted, "podAffinityTerm").into_iter().for_each(|term| merge(term, &labels));
        }
    }
}

fn merge(term: &mut Value, labels: &Value) {
    let expression = |operator: &'static str| {
        move |key: &Value| Some(json!({"key": key, "operator": operator, "values": [labels.get(key.as_str()?)?]}))
    };
    let matching = items(term, "/matchLabelKeys").filter_map(expression("In"));
    let written: Vec<Value> =
        matching.chain(items(term, "/mismatchLabelKeys").filter_map(expression("NotIn"))).collect();
    let Some(selector) = present(term, "labelSelector").filter(|_| !written.is_empty()) else { return };
    let Some(fields) = selector.as_object_mut() else { return };
    let expressions = fields.entry("matchExpressions").or_insert_with(|| json!([]));
    if let Some(expressions) = expressions.as_array_mut() {
        expressions.extend(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_labels_are_written_out_with_the_pods_own_values() {
        let term = |keys: &str| json!({"labelSelector": {"matchLabels": {"app": "web"}}, keys: ["hash", "missing"]});
        let mut pod = json!({"metadata": {"labels": {"hash": "7d"}}, "spec": {
            "topologySpreadConstraints": [term("matchLabelKeys")],
            "affinity": {
                "podAffinity": {REQUIRED: [term("mismatchLabelKeys")]},
                "podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": term("matchLabelKeys")}]}}}});
        write_out(&mut pod);
        let written = |path: &str| pod.pointer(path).unwrap().clone();
        let expected = |operator: &str| json!([{"key": "hash", "operator": operator, "values": ["7d"]}]);
        let paths = [
            ("/spec/topologySpreadConstraints/0/labelSelector/matchExpressions", "In"),
            (
                "/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchExpressions",
                "NotIn",
            ),
            (
                "/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/labelSelector/matchExpressions",
                "In",
            ),
        ];
        for (path, operator) in paths {
            assert_eq!(written(path), expected(operator), "{path}");
        }
    }

    #[test]
    fn without_a_selector_or_the_label_nothing_is_written() {
        let spec = json!({"topologySpreadConstraints": [{"matchLabelKeys": ["hash"]},
            {"labelSelector": {}, "matchLabelKeys": ["other"]}]});
        let mut pod = json!({"metadata": {"labels": {"hash": "7d"}}, "spec": spec});
        let before = pod.clone();
        write_out(&mut pod);
        assert_eq!(pod, before);
    }
}
