//! What the taints of a node should say: its conditions, whether it takes pods, and whether those on it should leave.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_podset::condition_of;
use sampan_podset::taints::{NOT_READY, UNREACHABLE, UNSCHEDULABLE};

use crate::disruption::Disruption;
use crate::plan::View;

/// A condition with a status that keeps new pods off, and the taint that says so.
const OF_CONDITIONS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// The node with the taints it should have; `None` where it has them.
pub(crate) fn tainted(view: &View) -> Option<Node> {
    let before: Vec<Taint> = view.node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).cloned().collect();
    let wanted = wanted(view, &before);
    let is_right = |taint: &Taint| !is_own(taint) || wanted.contains(&mark(taint));
    let mut taints: Vec<Taint> = before.iter().filter(|taint| is_right(taint)).cloned().collect();
    let missing = wanted.iter().filter(|wanted| !before.iter().any(|taint| mark(taint) == **wanted));
    taints.extend(missing.map(|(key, effect)| taint(key, effect, view.now)));
    if taints == before {
        return None;
    }
    let mut node = Node::clone(&view.node);
    node.spec.get_or_insert_default().taints = (!taints.is_empty()).then_some(taints);
    Some(node)
}

/// What tells two taints of a node apart.
type Mark<'a> = (&'a str, &'a str);

fn mark(taint: &Taint) -> Mark<'_> {
    (&taint.key, &taint.effect)
}

/// Whether a taint is this operator's to set and to take away.
fn is_own(taint: &Taint) -> bool {
    let of_condition = OF_CONDITIONS.iter().any(|(.., key)| *key == taint.key);
    match &*taint.effect {
        NO_SCHEDULE => of_condition || taint.key == UNSCHEDULABLE,
        NO_EXECUTE => [NOT_READY, UNREACHABLE].contains(&&*taint.key),
        _ => false,
    }
}

fn wanted<'a>(view: &View, before: &'a [Taint]) -> Vec<Mark<'a>> {
    let node = &view.node;
    let of_conditions = OF_CONDITIONS.iter().filter(|(name, status, _)| condition_of(node, name) == Some(status));
    let mut wanted: Vec<Mark<'a>> = of_conditions.map(|(.., key)| (*key, NO_SCHEDULE)).collect();
    if node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default() {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    wanted.extend(driving_away(view, before));
    // A node that never said how it is keeps what whoever made it said of that.
    if condition_of(node, "Ready").is_none() {
        wanted.extend(before.iter().map(mark).filter(|(key, _)| [NOT_READY, UNREACHABLE].contains(key)));
    }
    wanted
}

/// The taint that drives pods away, where they should leave.
fn driving_away<'a>(view: &View, before: &[Taint]) -> Option<Mark<'a>> {
    let key = match condition_of(&view.node, "Ready")? {
        "True" => return None,
        "False" => NOT_READY,
        _ => UNREACHABLE,
    };
    let drives_already = || before.iter().any(|taint| is_own(taint) && taint.effect == NO_EXECUTE);
    match view.disruption {
        Disruption::Normal => Some((key, NO_EXECUTE)),
        Disruption::Partial => drives_already().then_some((key, NO_EXECUTE)),
        Disruption::Full => None,
    }
}

/// Whether pods stay on the node although it is not ready: too many are lost with it.
pub(crate) fn is_withheld(view: &View) -> bool {
    let taints: Vec<Taint> = view.node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).cloned().collect();
    let is_ready = matches!(condition_of(&view.node, "Ready"), None | Some("True"));
    !is_ready && driving_away(view, &taints).is_none()
}

fn taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added: Some(Time(now)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn view(spec: Value, conditions: Value, disruption: Disruption) -> View {
        let node = json!({"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": conditions}});
        let now = Timestamp::UNIX_EPOCH;
        let node = Arc::new(serde_json::from_value(node).unwrap());
        View { node, now, heard: now, ready_pods: Vec::new(), disruption }
    }

    fn taints(view: &View) -> Vec<String> {
        let node = tainted(view).unwrap_or_else(|| Node::clone(&view.node));
        let taints = node.spec.unwrap_or_default().taints.unwrap_or_default();
        taints
            .iter()
            .map(|taint| format!("{}:{}", taint.key.replace("node.kubernetes.io/", ""), taint.effect))
            .collect()
    }

    fn said(name: &str, status: &str) -> Value {
        json!([{"type": name, "status": status}])
    }

    #[test]
    fn each_condition_has_its_taint() {
        let cases = [
            ("Ready", "True", vec![]),
            ("Ready", "False", vec!["not-ready:NoSchedule", "not-ready:NoExecute"]),
            ("Ready", "Unknown", vec!["unreachable:NoSchedule", "unreachable:NoExecute"]),
            ("MemoryPressure", "True", vec!["memory-pressure:NoSchedule"]),
            ("MemoryPressure", "Unknown", vec![]),
            ("DiskPressure", "True", vec!["disk-pressure:NoSchedule"]),
            ("PIDPressure", "True", vec!["pid-pressure:NoSchedule"]),
            ("NetworkUnavailable", "True", vec!["network-unavailable:NoSchedule"]),
            ("Weather", "True", vec![]),
        ];
        for (name, status, expect) in cases {
            assert_eq!(taints(&view(json!({}), said(name, status), Disruption::Normal)), expect, "{name} {status}");
        }
        let cordoned = view(json!({"unschedulable": true}), said("Ready", "True"), Disruption::Normal);
        assert_eq!(taints(&cordoned), ["unschedulable:NoSchedule"]);
    }

    #[test]
    fn what_others_set_stays_and_what_no_longer_holds_goes() {
        let before = json!([
            {"key": "gpu", "effect": "NoExecute"},
            {"key": UNREACHABLE, "effect": NO_SCHEDULE, "timeAdded": "2026-01-01T00:00:00Z"},
            {"key": UNREACHABLE, "effect": NO_EXECUTE},
            {"key": UNSCHEDULABLE, "effect": NO_EXECUTE},
        ]);
        let healed = view(json!({"taints": before}), said("Ready", "True"), Disruption::Normal);
        assert_eq!(taints(&healed), ["gpu:NoExecute", "unschedulable:NoExecute"]);
        let lost = view(json!({"taints": before}), said("Ready", "Unknown"), Disruption::Normal);
        assert_eq!(tainted(&lost), None, "a taint keeps the time it was added");
    }

    #[test]
    fn where_most_are_lost_no_more_pods_are_driven_away() {
        let driven = json!({"taints": [{"key": NOT_READY, "effect": NO_EXECUTE}]});
        let cases = [
            (json!({}), Disruption::Partial, vec!["unreachable:NoSchedule"]),
            (driven.clone(), Disruption::Partial, vec!["unreachable:NoSchedule", "unreachable:NoExecute"]),
            (driven, Disruption::Full, vec!["unreachable:NoSchedule"]),
        ];
        for (spec, disruption, expect) in cases {
            let view = view(spec, said("Ready", "Unknown"), disruption);
            assert_eq!(taints(&view), expect, "{disruption:?}");
            assert_eq!(is_withheld(&view), expect.len() == 1, "{disruption:?}");
        }
    }

    #[test]
    fn a_node_that_never_said_how_it_is_keeps_what_it_was_made_with() {
        let new = json!({"taints": [{"key": NOT_READY, "effect": NO_SCHEDULE}]});
        assert_eq!(tainted(&view(new, json!([]), Disruption::Normal)), None);
    }
}
