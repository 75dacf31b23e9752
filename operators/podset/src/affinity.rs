//! Which nodes a pod may run on by `nodeSelector` and node affinity, and which it would rather.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod};

/// Whether the pod may run on the node.
pub fn admits(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let labels = labels(node);
    let selected = spec.node_selector.iter().flatten().all(|(label, value)| labels.get(label) == Some(value));
    let required = affinity(pod).and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|terms| selects(terms, node))
}

/// Whether one of the terms selects the node.
pub fn selects(terms: &NodeSelector, node: &Node) -> bool {
    terms.node_selector_terms.iter().any(|term| holds(term, node))
}

/// The nodes a pod names that may run on no other, as those of a DaemonSet do: every term of its names some.
pub fn named_nodes(pod: &Pod) -> Option<BTreeSet<&str>> {
    let required = affinity(pod)?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let mut names = BTreeSet::new();
    for term in &required.node_selector_terms {
        let mut fields = term.match_fields.iter().flatten();
        let naming = fields.find(|it| it.key == "metadata.name" && it.operator == "In")?;
        names.extend(naming.values.iter().flatten().map(String::as_str));
    }
    Some(names)
}

/// Whether the pod would rather run on some nodes than on others.
pub fn has_preference(pod: &Pod) -> bool {
    let preferred = affinity(pod).and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_ref());
    preferred.is_some_and(|terms| !terms.is_empty())
}

/// The weight of the preferences the node meets.
pub fn preference(pod: &Pod, node: &Node) -> i64 {
    let preferred = affinity(pod).and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_ref());
    let met = preferred.into_iter().flatten().filter(|term| holds(&term.preference, node));
    met.map(|term| i64::from(term.weight)).sum()
}

fn affinity(pod: &Pod) -> Option<&NodeAffinity> {
    pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()
}

fn labels(node: &Node) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    node.metadata.labels.as_ref().unwrap_or(&NONE)
}

/// A term without any requirement matches nothing.
fn holds(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = || term.match_expressions.iter().flatten();
    let fields = || term.match_fields.iter().flatten();
    let some = expressions().next().is_some() || fields().next().is_some();
    let name = node.metadata.name.as_ref();
    some && expressions().all(|requirement| fulfils(requirement, labels(node).get(&requirement.key)))
        && fields().all(|requirement| requirement.key == "metadata.name" && fulfils(requirement, name))
}

fn fulfils(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &String| text.parse::<i64>().ok();
    let compared = || Some((number(value?)?, number(values.first()?)?));
    match &*requirement.operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(|(value, bound)| value > bound),
        "Lt" => compared().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node() -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n1", "labels": {"zone": "a", "disks": "4"}}})).unwrap()
    }

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = json!([]);
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
    }

    fn required(term: Value) -> Pod {
        pod(
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}),
        )
    }

    #[test]
    fn a_selector_needs_every_label() {
        assert!(admits(&pod(json!({})), &node()));
        assert!(admits(&pod(json!({"nodeSelector": {"zone": "a"}})), &node()));
        assert!(!admits(&pod(json!({"nodeSelector": {"zone": "a", "ssd": "yes"}})), &node()));
    }

    #[test]
    fn required_affinity_needs_one_term() {
        let expression = |key: &str, operator: &str, values: Value| {
            required(json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}))
        };
        assert!(admits(&expression("zone", "In", json!(["a", "b"])), &node()));
        assert!(!admits(&expression("zone", "NotIn", json!(["a"])), &node()));
        assert!(admits(&expression("disks", "Gt", json!(["3"])), &node()));
        assert!(!admits(&expression("disks", "Lt", json!(["4"])), &node()));
        assert!(!admits(&expression("ssd", "Exists", json!([])), &node()));
        assert!(admits(&expression("ssd", "DoesNotExist", json!([])), &node()));
        assert!(!admits(&required(json!({})), &node()));
        let field = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]});
        assert!(admits(&required(field), &node()));
    }

    #[test]
    fn nodes_are_named_where_every_term_names_one() {
        let naming =
            |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        let terms = |terms: Value| {
            pod(json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}))
        };
        let both = terms(json!([naming("a"), naming("b")]));
        assert_eq!(named_nodes(&both), Some(BTreeSet::from(["a", "b"])));
        let any = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        assert_eq!(named_nodes(&terms(json!([naming("a"), any]))), None);
        assert_eq!(named_nodes(&pod(json!({}))), None);
    }

    #[test]
    fn preferences_add_up() {
        let term = |weight: i32, zone: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}});
        let preferred = json!({"affinity": {"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [term(3, "a"), term(5, "b"), term(7, "a")]}}});
        assert_eq!(preference(&pod(preferred), &node()), 10);
    }
}
