//! Small worlds with a Deployment in them, generic over the operator: the shipping one, or a mutant.
//!
//! Operators do not import one another, so an actor stands for the ReplicaSet operator and the nodes: it moves each set's
//! numbers one pod at a time, in every order, as late as it likes. What holds here holds whatever makes the pods.

mod laws;

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Cluster, Deed, Edit, World};
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::resource::{ResourceDefinition, ServedVersion, Strategy};
use sampan_core::store::Snapshot;
use sampan_deployment::definition;
use serde_json::{Value, json};

pub(crate) const DEPLOYMENTS: ResourceType = ResourceType::new("apps", "deployments");
pub(crate) const REPLICA_SETS: ResourceType = ResourceType::new("apps", "replicasets");
/// A deadline of this many seconds is none.
const NO_DEADLINE: i32 = i32::MAX;

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

pub(crate) fn web() -> ObjectKey {
    ObjectKey::namespaced(DEPLOYMENTS, "default", "web")
}

fn world<O: Operator + Clone>(name: &'static str, operator: &O, deployment: Value) -> World {
    let operator = operator.clone();
    World::new(name, move |driver| driver.add(operator.clone()))
        .serving(definition())
        .serving(replica_sets())
        .holding(deployment)
        .actor("replicasets", |snapshot, _| sets(snapshot).flat_map(|set| moves(set, Ending::AtOnce)).collect())
        .at_rest("the status tells what is", laws::status_tells_what_is)
        .at_rest("what can be finished is", laws::what_can_be_finished_is)
}

/// All worlds.
pub(crate) fn all<O: Operator + Clone>(operator: &O) -> Vec<World> {
    vec![
        within_bounds("surging", operator, rolling(1, 0), 1),
        within_bounds("thrifty", operator, rolling(0, 1), 1),
        within_bounds("rolled over", operator, rolling(1, 0), 2),
        recreated(operator),
        paused(operator),
        resized(operator),
        late(operator),
        unlucky(operator),
        collided(operator),
        forgetful(operator),
        claimed(operator),
        deleted(operator),
    ]
}

/// A new template, or a second one while the first is still on its way. One replica of two must always be there.
fn within_bounds<O: Operator + Clone>(name: &'static str, operator: &O, strategy: Value, templates: usize) -> World {
    world(name, operator, deployment(2, &strategy))
        .actor_times(templates, "user", |snapshot, _| images(snapshot, &["web:1", "web:2", "web:3"]))
        .always("no more pods than replicas and surge", laws::no_more_pods_than_surge_allows)
        .always("no fewer available than promised", laws::no_fewer_available_than_promised)
}

/// Old pods go before new ones come.
fn recreated<O: Operator + Clone>(operator: &O) -> World {
    let mut world = world("recreated", operator, deployment(1, &json!({"type": "Recreate"})));
    world.actors.clear();
    world
        .actor("replicasets", |snapshot, _| sets(snapshot).flat_map(|set| moves(set, Ending::Slow)).collect())
        .actor_times(2, "user", |snapshot, _| images(snapshot, &["web:1", "web:2"]))
        .always("no new pod beside an old one", laws::no_pods_of_two_templates)
}

/// A user pauses, resumes, changes the template and scales.
fn paused<O: Operator + Clone>(operator: &O) -> World {
    world("paused", operator, deployment(1, &rolling(1, 0))).actor_times(3, "user", |snapshot, _| {
        let toggled = edit(snapshot, "is paused or resumed", |spec| {
            spec["paused"] = json!(!spec["paused"].as_bool().unwrap_or_default());
        });
        [images(snapshot, &["web:2"]), scales(snapshot, &[0, 1]), toggled].concat()
    })
}

/// The replicas change, in the middle of a rollout too.
fn resized<O: Operator + Clone>(operator: &O) -> World {
    world("resized", operator, deployment(2, &rolling(1, 1)))
        .actor_times(1, "user", |snapshot, _| images(snapshot, &["web:2"]))
        .actor_times(1, "scaler", |snapshot, _| scales(snapshot, &[0, 1, 4]))
}

/// A rollout that may not move in time, and then does.
fn late<O: Operator + Clone>(operator: &O) -> World {
    let mut late = deployment(1, &rolling(1, 0));
    late["spec"]["progressDeadlineSeconds"] = json!(10);
    let mut world = world("late", operator, late).actor_times(1, "user", |snapshot, _| images(snapshot, &["web:2"]));
    world.ages_seconds = 11;
    world
}

/// Pods lose their readiness.
fn unlucky<O: Operator + Clone>(operator: &O) -> World {
    let mut unlucky = deployment(1, &rolling(1, 0));
    unlucky["spec"]["progressDeadlineSeconds"] = json!(10);
    world("unlucky", operator, unlucky).actor_times(2, "disaster", |snapshot, _| {
        let available = sets(snapshot).filter(|set| number(&set.value(), "availableReplicas") > 0);
        available.map(|set| with_status(set, "loses an available pod", |it| add(it, "availableReplicas", -1))).collect()
    })
}

/// The name the template's ReplicaSet should have is somebody else's.
fn collided<O: Operator + Clone>(operator: &O) -> World {
    let taken = first_set(operator);
    let foreign = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": taken, "namespace": "default"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "other"}},
            "template": {
                "metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "other", "image": "other"}]},
            },
        },
    });
    world("collided", operator, deployment(1, &rolling(1, 0))).holding(foreign).at_rest(
        "the collision is counted once",
        |snapshot, _| match laws::status(snapshot)["collisionCount"] {
            Value::Number(ref count) if count.as_i64() == Some(1) => Ok(()),
            ref other => Err(format!("collisionCount is {other}")),
        },
    )
}

/// The name of the first ReplicaSet a Deployment makes.
fn first_set<O: Operator + Clone>(operator: &O) -> String {
    let world = world("first", operator, deployment(1, &rolling(1, 0)));
    let mut cluster = Cluster::new(&world);
    cluster.run_to_rest(20);
    let snapshot = cluster.snapshot();
    sets(&snapshot).next().map(|set| set.key().name.to_string()).expect("a Deployment makes a ReplicaSet")
}

/// No history is kept.
fn forgetful<O: Operator + Clone>(operator: &O) -> World {
    let mut forgetful = deployment(1, &rolling(0, 1));
    forgetful["spec"]["revisionHistoryLimit"] = json!(0);
    world("forgetful", operator, forgetful)
        .actor_times(2, "user", |snapshot, _| images(snapshot, &["web:1", "web:2"]))
        .at_rest("no old ReplicaSet is kept", laws::no_history)
}

/// A ReplicaSet is let go when its labels change, and one nobody controls is taken.
fn claimed<O: Operator + Clone>(operator: &O) -> World {
    world("claimed", operator, deployment(1, &rolling(1, 0)))
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
fn deleted<O: Operator + Clone>(operator: &O) -> World {
    let mut deleted = deployment(1, &rolling(1, 0));
    deleted["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let mut world = world("deleted", operator, deleted)
        .actor_times(1, "user", |_, _| vec![Deed { what: "web is deleted".into(), edit: Edit::Delete(web()) }])
        .actor_times(1, "editor", |snapshot, _| images(snapshot, &["web:2"]));
    world.at_rest.truncate(1);
    world
}

pub(crate) fn sets(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Object>> {
    snapshot.list(REPLICA_SETS, Some("default"), None)
}

/// A number of a set's status.
pub(crate) fn number(set: &Value, field: &str) -> i64 {
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
pub(crate) fn is_settled(snapshot: &Snapshot, _: Timestamp) -> bool {
    sets(snapshot).all(|set| moves(set, Ending::AtOnce).is_empty())
}
