//! The ranges of pods' addresses that nodes ask for, each given to one alone: 10.244.0.0/16 in parts of 254 pods.
//!
//! A node asks by an annotation, and takes what it is given in `spec.podCIDR`. One that does not ask has a network of which no other
//! node needs to know.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::NODES;
use crate::resource::fill::{clear, object_at, set};
use crate::resource::read::{text, texts};
use crate::store::{CommitCondition, IndexKey, Snapshot};

/// By which a node asks for a range.
const WANTED: &str = "sampan.dev/wants-pod-range";
/// The field nodes are found by their ranges with.
pub(super) const RANGE: &str = "spec.podCIDR";
/// What ranges are parts of: 10.244.0.0/16.
const FIRST: u32 = 0x0af4_0000;
const PREFIX: u8 = 16;
/// The prefix of a part.
const PART_PREFIX: u8 = 24;

/// Whether a node asks for a range.
pub(crate) fn is_wanted(node: &Value) -> bool {
    texts(node, "/metadata/annotations").any(|(name, value)| name == WANTED && value == "true")
}

/// The range a node has.
pub(super) fn of(node: &Value) -> Option<&str> {
    Some(text(node, "/spec/podCIDR")).filter(|range| !range.is_empty())
}

/// Gives a node that asks for one a range nobody has. Where all are given, it gets none.
pub(super) fn draw(node: &mut Value, old: Option<&Value>, snapshot: &Snapshot) {
    if old.is_some_and(|old| of(old).is_some()) || !is_wanted(node) {
        return;
    }
    let taken: BTreeSet<(u32, u32)> =
        snapshot.list(NODES, None, None).filter_map(|node| bounds(node.field(RANGE)?)).collect();
    let parts = (0..1 << (PART_PREFIX - PREFIX)).map(|part: u32| FIRST + (part << (32 - PART_PREFIX)));
    let is_free =
        |first: &u32| taken.iter().all(|(from, to)| to < first || *from > first + (1 << (32 - PART_PREFIX)) - 1);
    let first = parts.into_iter().find(is_free);
    let Some(spec) = object_at(node, "spec") else { return };
    ["podCIDR", "podCIDRs"].into_iter().for_each(|field| clear(spec, field));
    if let Some(first) = first {
        let range = format!("{}/{PART_PREFIX}", Ipv4Addr::from_bits(first));
        set(spec, "podCIDRs", json!([range]));
        set(spec, "podCIDR", range);
    }
}

/// What must hold at the commit: who was faster has it.
pub(super) fn claims(node: &Value) -> Vec<CommitCondition> {
    let key = of(node).filter(|_| is_wanted(node)).map(|range| IndexKey::Field {
        resource: NODES,
        field: RANGE,
        value: range.into(),
    });
    key.into_iter().map(CommitCondition::Unique).collect()
}

/// The first and the last address of a range.
fn bounds(range: &str) -> Option<(u32, u32)> {
    let (address, prefix) = range.split_once('/')?;
    let (address, prefix): (Ipv4Addr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
    let rest = u32::MAX.checked_shr(prefix).unwrap_or(0);
    Some((address.to_bits() & !rest, address.to_bits() | rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Draft, ObjectKey};

    fn node(name: &str, range: &str, wants: bool) -> Value {
        let metadata = json!({"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {WANTED: wants.to_string()}});
        json!({"metadata": metadata, "spec": {"podCIDR": range}})
    }

    fn snapshot(ranges: &[&str]) -> Snapshot {
        Snapshot::of(ranges.iter().map(|range| {
            let fields = vec![(RANGE, (*range).to_owned())];
            Draft::new(ObjectKey::cluster(NODES, range.trim_end_matches("/24")), node("n", range, true), fields)
                .unwrap()
        }))
    }

    fn drawn(node: &Value, old: Option<&Value>, taken: &[&str]) -> String {
        let mut node = node.clone();
        draw(&mut node, old, &snapshot(taken));
        text(&node, "/spec/podCIDR").to_owned()
    }

    #[test]
    fn who_asks_is_given_a_range_that_overlaps_no_others() {
        let cases: [(&[&str], &str); 4] = [
            (&[], "10.244.0.0/24"),
            (&["10.244.0.0/24", "10.244.2.0/24"], "10.244.1.0/24"),
            (&["10.244.0.128/25", "10.244.1.0/24"], "10.244.2.0/24"),
            (&["10.0.0.0/8"], ""),
        ];
        for (taken, expect) in cases {
            assert_eq!(drawn(&node("n", "", true), None, taken), expect, "{taken:?}");
        }
        let greedy = node("n", "10.0.0.0/8", true);
        assert_eq!(drawn(&greedy, None, &[]), "10.244.0.0/24", "what it names itself counts for nothing");
        assert_eq!(drawn(&greedy, None, &["10.244.0.0/16"]), "", "also where nothing is left");
        assert_eq!(drawn(&node("n", "", false), None, &[]), "", "who does not ask gets none");
        let old = node("n", "10.244.7.0/24", true);
        assert_eq!(drawn(&old, Some(&old), &[]), "10.244.7.0/24", "it is kept");
    }
}
