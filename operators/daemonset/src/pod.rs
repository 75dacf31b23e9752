//! What belongs to a node: whether it should run the set's pod, and that pod.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PodTemplateSpec, Toleration,
};
use sampan_podset::{REVISION_LABEL, Revision, affinity, pod_from_template, taints};

/// Where a DaemonSet counts the templates it has had, and the label of a pod with that count: for clients of before `apps/v1`.
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";
/// The field of a node that a pod meant for one node names.
const NODE_NAME: &str = "metadata.name";

/// Whether a node should run the pod of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It should.
    Wanted,
    /// It should get none, and keep the one it has: a taint keeps new pods off.
    Tolerated,
    /// It should have none.
    Unwanted,
}

/// Whether a node should run a pod, which [`for_any_node`] made.
pub(crate) fn fit(pod: &Pod, node: &Node) -> Fit {
    let named = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
    let is_named = named.is_none() || named == node.metadata.name.as_deref();
    if !is_named || !affinity::admits(pod, node) || taints::stands_against(pod, node, &["NoExecute"]) {
        Fit::Unwanted
    } else if taints::stands_against(pod, node, &["NoSchedule"]) {
        Fit::Tolerated
    } else {
        Fit::Wanted
    }
}

/// A pod of the set as it would be on whatever node.
pub(crate) fn for_any_node(set: &DaemonSet, template: &PodTemplateSpec) -> Pod {
    let mut pod = pod_from_template(set, template);
    let spec = pod.spec.get_or_insert_default();
    tolerate(spec);
    pod
}

/// The pod of a node, to be created. The scheduler places it: its affinity names the node.
pub(crate) fn pod(set: &DaemonSet, node: &str, revision: &Revision) -> Pod {
    let mut pod = for_any_node(set, &revision.template);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision.hash().to_owned());
    let annotations = set.metadata.annotations.as_ref();
    if let Some(generation) = annotations.and_then(|annotations| annotations.get(GENERATION_ANNOTATION)) {
        labels.insert(GENERATION_LABEL.to_owned(), generation.clone());
    }
    let affinity = pod.spec.get_or_insert_default().affinity.get_or_insert_default();
    let required =
        &mut affinity.node_affinity.get_or_insert_default().required_during_scheduling_ignored_during_execution;
    // What the template requires was asked of the node before.
    *required = Some(only(node));
    pod
}

fn only(node: &str) -> NodeSelector {
    let names_it = NodeSelectorRequirement {
        key: NODE_NAME.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![names_it]), ..NodeSelectorTerm::default() };
    NodeSelector { node_selector_terms: vec![term] }
}

/// The node a pod runs on, or is meant for.
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Some(node);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let names_one = fields.find(|field| field.key == NODE_NAME && field.operator == "In")?;
    names_one.values.as_deref()?.first().map(String::as_str)
}

/// A pod of a DaemonSet goes with its node: it stays while the node is not well, and comes where nobody else is let in.
fn tolerate(spec: &mut PodSpec) {
    let network = (spec.host_network == Some(true)).then_some(("network-unavailable", "NoSchedule"));
    let always = [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ];
    let tolerations = spec.tolerations.get_or_insert_default();
    for (taint, effect) in always.into_iter().chain(network) {
        let toleration = Toleration {
            key: Some(format!("node.kubernetes.io/{taint}")),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let is_same = |it: &Toleration| Toleration { toleration_seconds: None, ..it.clone() } == toleration;
        tolerations.retain(|it| !is_same(it));
        tolerations.push(toleration);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(spec: Value) -> DaemonSet {
        let mut spec = spec;
        spec["containers"] = json!([{"name": "web", "image": "web:1"}]);
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "s"},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}},
        }))
        .unwrap()
    }

    fn template(set: &DaemonSet) -> PodTemplateSpec {
        set.spec.as_ref().unwrap().template.clone()
    }

    #[test]
    fn a_node_fits_by_name_labels_and_taints() {
        let check = |spec: Value, node: Value, expect: Fit| {
            let mut node = node;
            node["metadata"]["name"] = json!("a");
            let (set, node) = (set(spec.clone()), serde_json::from_value(node.clone()).unwrap());
            assert_eq!(fit(&for_any_node(&set, &template(&set)), &node), expect, "{spec} on {node:?}");
        };
        let tainted =
            |key: &str, effect: &str| json!({"metadata": {}, "spec": {"taints": [{"key": key, "effect": effect}]}});
        check(json!({}), json!({"metadata": {}}), Fit::Wanted);
        check(json!({"nodeName": "a"}), json!({"metadata": {}}), Fit::Wanted);
        check(json!({"nodeName": "b"}), json!({"metadata": {}}), Fit::Unwanted);
        check(json!({"nodeSelector": {"disk": "ssd"}}), json!({"metadata": {}}), Fit::Unwanted);
        check(json!({"nodeSelector": {"disk": "ssd"}}), json!({"metadata": {"labels": {"disk": "ssd"}}}), Fit::Wanted);
        check(json!({}), tainted("gpu", "NoSchedule"), Fit::Tolerated);
        check(json!({}), tainted("gpu", "NoExecute"), Fit::Unwanted);
        check(json!({}), tainted("gpu", "PreferNoSchedule"), Fit::Wanted);
        check(json!({"tolerations": [{"operator": "Exists"}]}), tainted("gpu", "NoExecute"), Fit::Wanted);
        check(json!({}), tainted("node.kubernetes.io/unreachable", "NoExecute"), Fit::Wanted);
        check(json!({}), tainted("node.kubernetes.io/unschedulable", "NoSchedule"), Fit::Wanted);
        check(json!({}), tainted("node.kubernetes.io/network-unavailable", "NoSchedule"), Fit::Tolerated);
        check(
            json!({"hostNetwork": true}),
            tainted("node.kubernetes.io/network-unavailable", "NoSchedule"),
            Fit::Wanted,
        );
    }

    #[test]
    fn a_pod_names_its_node_and_tolerates_each_thing_once() {
        let named = json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let set = set(json!({"tolerations": [named]}));
        let pod = pod(&set, "a", &Revision { name: "web-x".to_owned(), template: template(&set) });
        assert_eq!(node_of(&pod), Some("a"));
        assert_eq!(pod.metadata.labels.as_ref().unwrap()[REVISION_LABEL], "x");
        let tolerations = pod.spec.unwrap().tolerations.unwrap();
        assert_eq!(tolerations.len(), 6);
        assert!(tolerations.iter().all(|toleration| toleration.toleration_seconds.is_none()));
    }
}
