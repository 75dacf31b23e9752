//! Worlds in which pods decide where others go, and their laws.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::collections::BTreeMap;

use sampan_conformance::{Deed, Edit, World, actors};
use sampan_core::Timestamp;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::NODES;
use sampan_core::resource::pod::company::HOSTNAME;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use super::{deed, is_placed, named, node, opened, pod, pods};

fn node_in(zone: &str, name: &str) -> Value {
    let mut node = node(name, "2");
    node["metadata"]["labels"] = json!({"zone": zone, HOSTNAME: name});
    node
}

fn app(name: &str, app: &str) -> Value {
    let mut pod = pod(name, "100m");
    pod["metadata"]["labels"] = json!({"app": app});
    pod
}

/// The pod, for one node alone: so no lot decides whether two come near each other.
fn on(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeSelector"] = json!({HOSTNAME: node});
    pod
}

fn term(app: &str) -> Value {
    json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}})
}

fn shunning(mut pod: Value, app: &str) -> Value {
    pod["spec"]["affinity"] =
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(app)]}});
    pod
}

fn seeking(mut pod: Value, app: &str) -> Value {
    pod["spec"]["affinity"] = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(app)]}});
    pod
}

fn spread(mut pod: Value, app: &str) -> Value {
    pod["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule", "nodeAffinityPolicy": "Ignore", "labelSelector": {"matchLabels": {"app": app}}}]);
    pod
}

fn zones(world: World, name: &str) -> World {
    named(world, name).holding(node_in("east", "e1")).holding(node_in("east", "e2")).holding(node_in("west", "w1"))
}

/// Two that shun each other's kind, and one of that kind that shuns nobody: for one of them there is no zone until another
/// is deleted.
pub(super) fn apart(world: World) -> World {
    zones(world, "apart")
        .holding(shunning(app("a", "web"), "web"))
        .holding(shunning(app("b", "web"), "web"))
        .holding(app("c", "web"))
        .actor_times(1, "user", |snapshot, _| {
            pods(snapshot).map(|pod| deed(pod, "is deleted", Edit::Delete(pod.key().clone()))).collect()
        })
}

/// One that seeks another, who is held back for a while.
pub(super) fn together(world: World) -> World {
    let mut back = app("back", "back");
    back["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    zones(world, "together")
        .holding(seeking(app("front", "front"), "back"))
        .holding(back)
        .with(actors::helper("gatekeeper", |snapshot, _| pods(snapshot).filter_map(opened).collect()))
}

/// Two that seek each other's kind and may go to different zones: one of them is first, and the other waits.
pub(super) fn pair(world: World) -> World {
    zones(world, "pair")
        .holding(on(seeking(app("one", "pair"), "pair"), "e1"))
        .holding(on(seeking(app("two", "pair"), "pair"), "w1"))
}

/// Three that are to be spread evenly over two zones.
pub(super) fn even(world: World) -> World {
    let spread = |name| spread(app(name, "even"), "even");
    zones(world, "even").holding(spread("a")).holding(spread("b")).holding(spread("c"))
}

/// Whom a pod shuns comes to stand near it while it is being placed.
pub(super) fn beaten_by_whom_it_shuns(world: World) -> World {
    let shunning = shunning(app("a", "web"), "web");
    beaten(zones(world, "beaten by whom it shuns").holding(on(shunning, "e1")), app("rival", "web"))
}

/// The same of who shuns it.
pub(super) fn beaten_by_who_shuns_it(world: World) -> World {
    let rival = shunning(app("rival", "web"), "web");
    beaten(zones(world, "beaten by who shuns it").holding(on(app("a", "web"), "e1")), rival)
}

/// Somebody else is first while a pod that seeks its own kind is being placed in another zone.
pub(super) fn beaten_to_be_first(world: World) -> World {
    let pair = |name| seeking(app(name, "pair"), "pair");
    beaten(zones(world, "beaten to be first").holding(on(pair("a"), "w1")), pair("rival"))
}

/// Somebody else fills the zone a pod is being placed in.
pub(super) fn beaten_to_the_zone(world: World) -> World {
    let spread = |name| spread(app(name, "even"), "even");
    beaten(zones(world, "beaten to the zone").holding(on(spread("a"), "e1")), spread("rival"))
}

/// A pod that somebody else places where nobody minds, as long as nobody stands anywhere.
fn beaten(world: World, mut rival: Value) -> World {
    rival["spec"]["nodeName"] = json!("e2");
    world.actor_times(1, "rival", move |snapshot, _| {
        let comes = Deed { what: "the rival is placed on e2".into(), edit: Edit::Create(rival.clone()) };
        if pods(snapshot).any(is_placed) { Vec::new() } else { vec![comes] }
    })
}

/// One zone is closed until it is told to open: whoever is one too many for the other waits.
pub(super) fn lopsided(world: World) -> World {
    let mut closed = node_in("west", "w1");
    closed["spec"] = json!({"unschedulable": true});
    let spread = |name| spread(app(name, "even"), "even");
    named(world, "lopsided")
        .holding(node_in("east", "e1"))
        .holding(closed)
        .holding(spread("a"))
        .holding(spread("b"))
        .with(actors::helper("user", |snapshot, _| {
            let closed =
                snapshot.list(NODES, None, None).filter(|node| node.field("spec.unschedulable") == Some("true"));
            closed.map(|node| super::turned(node)).collect()
        }))
}

/// The zone a pod stands in.
fn zone(snapshot: &Snapshot, pod: &Object) -> Option<String> {
    zone_of(snapshot, pod.field("spec.nodeName")?)
}

fn zone_of(snapshot: &Snapshot, node: &str) -> Option<String> {
    let node = snapshot.get(&ObjectKey::cluster(NODES, node))?;
    Some(node.metadata().labels.get("zone")?.to_string())
}

/// Whether neither the pod nor another minds its going to the node.
pub(super) fn is_welcome(snapshot: &Snapshot, pod: &Object, node: &str) -> bool {
    let here = zone_of(snapshot, node);
    let others = || pods(snapshot).filter(|other| other.key() != pod.key() && is_placed(other));
    let there = || others().filter(|other| zone(snapshot, other) == here);
    let speaks = |kind: &str, of: &Object, whom: &Object| speaks_of(of, kind).is_some_and(|app| is_of(whom, &app));
    let shuns = |other: &Object| speaks("podAntiAffinity", pod, other) || speaks("podAntiAffinity", other, pod);
    let seeks = |other: &Object| speaks("podAffinity", pod, other);
    let is_first = seeks(pod) && !others().any(seeks);
    let is_near = speaks_of(pod, "podAffinity").is_none() || is_first || there().any(seeks);
    is_for(pod, node) && !there().any(shuns) && is_near && keeps_even(snapshot, pod, here.as_deref())
}

fn is_for(pod: &Object, node: &str) -> bool {
    pod.value()["spec"]["nodeSelector"][HOSTNAME].as_str().is_none_or(|only| only == node)
}

fn keeps_even(snapshot: &Snapshot, pod: &Object, here: Option<&str>) -> bool {
    let zones = filled(snapshot);
    let least = zones.values().min().copied().unwrap_or_default();
    !is_spread(pod) || here.is_none_or(|zone| zones.get(zone).copied().unwrap_or_default() <= least)
}

fn is_spread(pod: &Object) -> bool {
    pod.value().pointer("/spec/topologySpreadConstraints").is_some()
}

/// How many of those to be spread each zone holds. A closed node makes a zone all the same.
fn filled(snapshot: &Snapshot) -> BTreeMap<String, usize> {
    let zones = snapshot.list(NODES, None, None).filter_map(|node| zone_of(snapshot, &node.key().name));
    let mut zones: BTreeMap<String, usize> = zones.map(|zone| (zone, 0)).collect();
    for zone in pods(snapshot).filter(|pod| is_spread(pod)).filter_map(|pod| zone(snapshot, pod)) {
        *zones.entry(zone).or_default() += 1;
    }
    zones
}

/// Of which app the pod says so in this kind of affinity.
fn speaks_of(pod: &Object, kind: &str) -> Option<String> {
    let path =
        format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels/app");
    Some(pod.value().pointer(&path)?.as_str()?.to_owned())
}

fn is_of(pod: &Object, app: &str) -> bool {
    pod.metadata().labels.get("app").is_some_and(|found| &**found == app)
}

/// Pods beside `pod` in its zone, of an app.
fn beside<'s>(snapshot: &'s Snapshot, pod: &'s Object, app: &'s str) -> impl Iterator<Item = &'s Object> {
    let here = zone(snapshot, pod);
    let others = pods(snapshot).filter(move |other| other.key() != pod.key() && is_of(other, app));
    others.filter(move |other| here.is_some() && zone(snapshot, other) == here)
}

pub(super) fn nobody_stands_near_whom_a_pod_shuns(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    for pod in pods(snapshot) {
        let Some(app) = speaks_of(pod, "podAntiAffinity") else { continue };
        if let Some(other) = beside(snapshot, pod, &app).next() {
            return Err(format!("{} stands near {}, which shuns it", other.key(), pod.key()));
        }
    }
    Ok(())
}

pub(super) fn who_seeks_others_stands_near_them(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    for pod in pods(snapshot).filter(|pod| is_placed(pod)) {
        let Some(app) = speaks_of(pod, "podAffinity") else { continue };
        let is_first = is_of(pod, &app) && pods(snapshot).filter(|it| is_of(it, &app) && is_placed(it)).count() == 1;
        if !is_first && beside(snapshot, pod, &app).next().is_none() {
            return Err(format!("{} stands near nobody of {app}", pod.key()));
        }
    }
    Ok(())
}

pub(super) fn zones_are_filled_evenly(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    let zones = filled(snapshot);
    let (least, most) = (zones.values().min().copied().unwrap_or(0), zones.values().max().copied().unwrap_or(0));
    if most > least + 1 { Err(format!("the zones hold {zones:?}")) } else { Ok(()) }
}
