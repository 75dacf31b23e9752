//! How many nodes are lost at once: where most are, the fault is likelier between them and here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use sampan_podset::is_node_ready;

/// Nodes with this label are not counted.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
/// More than so many nodes of a zone must be lost before it counts as disrupted.
const LOST_MIN: usize = 2;
/// So many percent of a zone's nodes: the default of `--unhealthy-zone-threshold`.
const LOST_PERCENT: usize = 55;

/// How a node's zone stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disruption {
    /// Some nodes may be lost: their pods leave them.
    Normal,
    /// So many nodes of the zone are lost that no more pods are driven away there.
    Partial,
    /// No node at all is ready: pods stay wherever they are.
    Full,
}

/// Nodes of a zone.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    ready: usize,
    lost: usize,
}

impl Count {
    fn is_full(self) -> bool {
        self.ready == 0
    }

    fn is_partial(self) -> bool {
        self.ready > 0 && self.lost > LOST_MIN && self.lost * 100 >= LOST_PERCENT * (self.ready + self.lost)
    }
}

/// How the node's zone stands, among all nodes.
pub(crate) fn disruption<'a>(node: &Node, nodes: impl IntoIterator<Item = &'a Node>) -> Disruption {
    let mut zones: BTreeMap<Zone<'_>, Count> = BTreeMap::new();
    for other in nodes.into_iter().filter(|node| label(node, EXCLUDED).is_none()) {
        let count = zones.entry(zone(other)).or_default();
        match is_node_ready(other) {
            true => count.ready += 1,
            false => count.lost += 1,
        }
    }
    if zones.values().all(|count| count.is_full()) {
        return Disruption::Full;
    }
    match zones.get(&zone(node)) {
        Some(count) if count.is_partial() => Disruption::Partial,
        _ => Disruption::Normal,
    }
}

/// Region and zone.
type Zone<'a> = (Option<&'a str>, Option<&'a str>);

fn zone(node: &Node) -> Zone<'_> {
    (label(node, REGION), label(node, ZONE))
}

fn label<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(zone: &str, ready: bool) -> Node {
        let status = if ready { "True" } else { "Unknown" };
        serde_json::from_value(json!({"metadata": {"labels": {ZONE: zone}},
            "status": {"conditions": [{"type": "Ready", "status": status}]}}))
        .unwrap()
    }

    /// The zone `a` with so many ready and lost nodes, beside a zone `b`.
    fn among(a: (usize, usize), b: (usize, usize)) -> Disruption {
        let zone = |name: &'static str, (ready, lost): (usize, usize)| {
            (0..ready + lost).map(move |index| node(name, index < ready))
        };
        let nodes: Vec<Node> = zone("a", a).chain(zone("b", b)).collect();
        disruption(&node("a", false), &nodes)
    }

    #[test]
    fn pods_leave_a_lost_node_unless_most_are_lost() {
        let cases = [
            ((1, 1), (0, 0), Disruption::Normal),
            ((1, 2), (0, 0), Disruption::Normal),
            ((1, 3), (0, 0), Disruption::Partial),
            ((3, 3), (0, 0), Disruption::Normal),
            ((0, 1), (0, 0), Disruption::Full),
            ((0, 3), (0, 2), Disruption::Full),
            ((0, 3), (1, 0), Disruption::Normal),
        ];
        for (a, b, expect) in cases {
            assert_eq!(among(a, b), expect, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_node_that_is_excluded_does_not_count() {
        let mut outside = node("a", true);
        outside.metadata.labels.get_or_insert_default().insert(EXCLUDED.to_owned(), String::new());
        assert_eq!(disruption(&node("a", false), [&outside, &node("a", false)]), Disruption::Full);
    }
}
