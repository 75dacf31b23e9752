//! Deployments under proof: their specs, their laws, and the worlds where something goes wrong.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.
//!
//! Operators do not import one another, so an actor stands for the ReplicaSet operator and the nodes: it moves each set's
//! numbers one pod at a time, in every order, as late as it likes. What holds here holds whatever makes the pods.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

mod laws;

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Actor, Cluster, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::resource::{ResourceDefinition, ServedVersion, Strategy};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::{DeploymentOperator, definition};

const DEPLOYMENTS: ResourceType = ResourceType::new("apps", "deployments");
const REPLICA_SETS: ResourceType = ResourceType::new("apps", "replicasets");
/// A deadline of this many seconds is none.
const NO_DEADLINE: i32 = i32::MAX;
/// What the largest of these worlds is explored within.
const STATES_MAX: usize = 20_000;

struct Plain;

impl Strategy for Plain {}

/// ReplicaSets, as far as a Deployment needs them.
fn replica_sets() -> ResourceDefinition {
    let version = ServedVersion::stored("apps", "v1", "io.k8s.api.apps.v1.ReplicaSet");
    ResourceDefinition {
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(REPLICA_SETS, "ReplicaSet", "replicaset", version, Plain)
    }
}

fn deployment(replicas: i32, strategy: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "strategy": strategy, "selector": {"matchLabels": {"app": "web"}},
            "progressDeadlineSeconds": NO_DEADLINE,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        },
    })
}

fn rolling(surge: u8, unavailable: u8) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn web() -> ObjectKey {
    ObjectKey::namespaced(DEPLOYMENTS, "default", "web")
}

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(DeploymentOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    let second = || {
        let mut second = deployment(1, &rolling(1, 0));
        second["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
        second
    };
    Suite::of(operator)
        .large()
        .serving(definition())
        .serving(replica_sets())
        .spec("first image", deployment(1, &rolling(1, 0)))
        .spec("second image", second())
        .neighbour(replica_set_operator(Ending::AtOnce))
        .incidental(is_no_history)
        .remembering(&["/collisionCount"])
        .touching(|object, _| object.key().resource == REPLICA_SETS && object.metadata().controller().is_none())
        .letting_go(|object| object.metadata().labels.get("app").is_none_or(|app| &**app != "web"))
        .at_rest("the status tells what is", laws::status_tells_what_is)
        .world(|world| within_bounds(named(world, "surging"), rolling(1, 0), 1))
        .world(|world| within_bounds(named(world, "thrifty"), rolling(0, 1), 1))
        .world(|world| within_bounds(named(world, "rolled over"), rolling(1, 0), 2))
        .world(recreated)
        .world(paused)
        .world(resized)
        .world(late)
        .world(unlucky)
        .world(collided)
        .world(forgetful)
        .world(claimed)
        .world(deleted)
}

/// Which revisions there were, when conditions changed and why, and what a ReplicaSet had to be called because a name was
/// taken, tells how a Deployment came to be as it is.
fn is_no_history(object: &mut Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("annotations");
    }
    if let Some(status) = object["status"].as_object_mut().filter(|_| kind == "Deployment") {
        status.remove("conditions");
        status.remove("collisionCount");
    }
    if kind == "ReplicaSet" {
        object["metadata"]["name"] = json!("web");
        for labels in ["/metadata/labels", "/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            object.pointer_mut(labels).and_then(Value::as_object_mut).map(|labels| labels.remove("pod-template-hash"));
        }
    }
    kind != "ReplicaSet" || object["spec"]["replicas"] != 0
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world.states_max = STATES_MAX;
    world
}

/// Explored with a small budget too.
fn small(mut world: World) -> World {
    world.is_large = false;
    world
}

fn replica_set_operator(ending: Ending) -> Actor {
    actors::helper("replicasets", move |snapshot, _| sets(snapshot).flat_map(|set| moves(set, ending)).collect())
}

fn with_sets(world: World, deployment: Value) -> World {
    let world = world.holding(deployment).with(replica_set_operator(Ending::AtOnce));
    world.at_rest("what can be finished is", laws::what_can_be_finished_is)
}

/// A new template, or a second one while the first is still on its way. One replica of two must always be there.
fn within_bounds(world: World, strategy: Value, templates: usize) -> World {
    with_sets(world, deployment(2, &strategy))
        .actor_times(templates, "user", |snapshot, _| images(snapshot, &["web:1", "web:2", "web:3"]))
        .always("no more pods than replicas and surge", laws::no_more_pods_than_surge_allows)
        .always("no fewer available than promised", laws::no_fewer_available_than_promised)
}

/// Old pods go before new ones come.
fn recreated(world: World) -> World {
    named(world, "recreated")
        .holding(deployment(1, &json!({"type": "Recreate"})))
        .with(replica_set_operator(Ending::Slow))
        .actor_times(2, "user", |snapshot, _| images(snapshot, &["web:1", "web:2"]))
        .always("no new pod beside an old one", laws::no_pods_of_two_templates)
}

/// A user pauses, resumes, changes the template and scales.
fn paused(world: World) -> World {
    with_sets(named(world, "paused"), deployment(1, &rolling(1, 0))).actor_times(3, "user", |snapshot, _| {
        let toggled = edit(snapshot, "is paused or resumed", |spec| {
            spec["paused"] = json!(!spec["paused"].as_bool().unwrap_or_default());
        });
        [images(snapshot, &["web:2"]), scales(snapshot, &[0, 1]), toggled].concat()
    })
}

/// The replicas change, in the middle of a rollout too.
fn resized(world: World) -> World {
    with_sets(named(world, "resized"), deployment(2, &rolling(1, 1)))
        .actor_times(1, "user", |snapshot, _| images(snapshot, &["web:2"]))
        .actor_times(1, "scaler", |snapshot, _| scales(snapshot, &[0, 1, 4]))
}

/// A rollout that may not move in time, and then does.
fn late(world: World) -> World {
    let mut late = deployment(1, &rolling(1, 0));
    late["spec"]["progressDeadlineSeconds"] = json!(10);
    let mut world =
        with_sets(named(world, "late"), late).actor_times(1, "user", |snapshot, _| images(snapshot, &["web:2"]));
    world.ages_seconds = 11;
    world
}

/// Pods lose their readiness.
fn unlucky(world: World) -> World {
    let mut unlucky = deployment(1, &rolling(1, 0));
    unlucky["spec"]["progressDeadlineSeconds"] = json!(10);
    with_sets(named(world, "unlucky"), unlucky).actor_times(2, "disaster", |snapshot, _| {
        let available = sets(snapshot).filter(|set| number(&set.value(), "availableReplicas") > 0);
        available.map(|set| with_status(set, "loses an available pod", |it| add(it, "availableReplicas", -1))).collect()
    })
}

/// The name the template's ReplicaSet should have is somebody else's.
fn collided(world: World) -> World {
    let taken = first_set(world.clone());
    let foreign = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": taken, "namespace": "default"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "other"}},
            "template": {
                "metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "other", "image": "other"}]},
            },
        },
    });
    with_sets(small(named(world, "collided")), deployment(1, &rolling(1, 0))).holding(foreign).at_rest(
        "the collision is counted once",
        |snapshot, _| match laws::status(snapshot)["collisionCount"] {
            _ if snapshot.get(&web()).is_none_or(|web| web.metadata().is_terminating()) => Ok(()),
            Value::Number(ref count) if count.as_i64() == Some(1) => Ok(()),
            ref other => Err(format!("collisionCount is {other}")),
        },
    )
}

/// The name of the first ReplicaSet a Deployment makes.
fn first_set(world: World) -> String {
    let world = with_sets(named(world, "first"), deployment(1, &rolling(1, 0)));
    let mut cluster = Cluster::new(&world);
    cluster.run_to_rest(20);
    let snapshot = cluster.snapshot();
    sets(&snapshot).next().map(|set| set.key().name.to_string()).expect("a Deployment makes a ReplicaSet")
}

/// No history is kept.
fn forgetful(world: World) -> World {
    let mut forgetful = deployment(1, &rolling(0, 1));
    forgetful["spec"]["revisionHistoryLimit"] = json!(0);
    with_sets(named(world, "forgetful"), forgetful)
        .actor_times(2, "user", |snapshot, _| images(snapshot, &["web:1", "web:2"]))
        .at_rest("no old ReplicaSet is kept", laws::no_history)
}

/// A ReplicaSet is let go when its labels change, and one nobody controls is taken.
fn claimed(world: World) -> World {
    with_sets(named(world, "claimed"), deployment(1, &rolling(1, 0)))
        .actor_times(1, "user", |snapshot, _| {
            sets(snapshot)
                .map(|set| changed(set, "is relabelled", |it| it["metadata"]["labels"]["app"] = json!("other")))
                .collect()
        })
        .actor_times(1, "stranger", |snapshot, _| {
            let disown = |it: &mut Value| it["metadata"]["ownerReferences"] = json!([]);
            sets(snapshot).map(|set| changed(set, "loses its owner", disown)).collect()
        })
        .at_rest("what matches is controlled, and nothing else", laws::what_matches_is_controlled)
}

/// The Deployment is deleted, and waits for somebody's finalizer.
fn deleted(world: World) -> World {
    let mut deleted = deployment(1, &rolling(1, 0));
    deleted["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let mut world = with_sets(small(named(world, "deleted")), deleted)
        .actor_times(1, "user", |_, _| vec![Deed { what: "web is deleted".into(), edit: Edit::Delete(web()) }])
        .actor_times(1, "editor", |snapshot, _| images(snapshot, &["web:2"]));
    world.at_rest.truncate(1);
    world
}

fn sets(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Object>> {
    snapshot.list(REPLICA_SETS, Some("default"), None)
}

/// A number of a set's status.
fn number(set: &Value, field: &str) -> i64 {
    set["status"][field].as_i64().unwrap_or_default()
}

fn add(status: &mut Value, field: &str, more: i64) {
    status[field] = json!(status[field].as_i64().unwrap_or_default() + more);
}

/// How pods end: whether it is seen that they are on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    AtOnce,
    Slow,
}

/// What may happen to a set's pods next.
fn moves(set: &Arc<Object>, ending: Ending) -> Vec<Deed> {
    let terminating = i64::from(ending == Ending::Slow);
    let value = set.value();
    let wanted = value["spec"]["replicas"].as_i64().unwrap_or(1);
    let (existing, available) = (number(&value, "replicas"), number(&value, "availableReplicas"));
    let mut moves = Vec::new();
    if existing < wanted {
        moves.push(with_status(set, "gets a pod", |it| add(it, "replicas", 1)));
    }
    if existing > wanted {
        moves.push(with_status(set, "begins to lose a pod", |it| {
            add(it, "replicas", -1);
            add(it, "terminatingReplicas", terminating);
            it["availableReplicas"] = json!(available.min(existing - 1));
        }));
    }
    if number(&value, "terminatingReplicas") > 0 {
        moves.push(with_status(set, "has lost a pod", |it| add(it, "terminatingReplicas", -1)));
    }
    if available < existing.min(wanted) {
        moves.push(with_status(set, "has an available pod", |it| add(it, "availableReplicas", 1)));
    }
    if existing == wanted && number(&value, "observedGeneration") < set.metadata().generation {
        moves.push(with_status(set, "is observed", |_| {}));
    }
    moves
}

fn with_status(set: &Arc<Object>, what: &str, change: impl Fn(&mut Value)) -> Deed {
    let mut value = set.value();
    if !value["status"].is_object() {
        value["status"] = json!({"replicas": 0});
    }
    change(&mut value["status"]);
    value["status"]["readyReplicas"] = value["status"]["availableReplicas"].clone();
    value["status"]["observedGeneration"] = json!(set.metadata().generation);
    Deed { what: format!("{} {what}", set.key().name), edit: Edit::UpdateStatus(value) }
}

fn changed(set: &Arc<Object>, what: &str, change: impl Fn(&mut Value)) -> Deed {
    let mut value = set.value();
    change(&mut value);
    Deed { what: format!("{} {what}", set.key().name), edit: Edit::Update(value) }
}

/// A change of the Deployment's spec, where it is one.
fn edit(snapshot: &Snapshot, what: &str, change: impl Fn(&mut Value)) -> Vec<Deed> {
    let Some(before) = snapshot.get(&web()).map(|web| web.value()) else { return Vec::new() };
    let mut after = before.clone();
    change(&mut after["spec"]);
    let deed = || Deed { what: format!("web {what}"), edit: Edit::Update(after.clone()) };
    if after == before { Vec::new() } else { vec![deed()] }
}

fn images(snapshot: &Snapshot, images: &[&str]) -> Vec<Deed> {
    let to = |image: &&str| {
        edit(snapshot, &format!("gets image {image}"), |spec| {
            spec["template"]["spec"]["containers"][0]["image"] = json!(image);
        })
    };
    images.iter().flat_map(to).collect()
}

fn scales(snapshot: &Snapshot, sizes: &[i32]) -> Vec<Deed> {
    let to = |size: &i32| edit(snapshot, &format!("is scaled to {size}"), |spec| spec["replicas"] = json!(size));
    sizes.iter().flat_map(to).collect()
}

/// Whether nothing will move without the operator.
fn is_settled(snapshot: &Snapshot, _: Timestamp) -> bool {
    sets(snapshot).all(|set| moves(set, Ending::AtOnce).is_empty())
}
