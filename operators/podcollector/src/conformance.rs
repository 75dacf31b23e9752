//! The pod collector under proof: pods end, are deleted by others, and are held by somebody's finalizers.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, EPOCH, Edit, Suite, World, actors};
use sampan_core::gateway::{Admission, AdmissionRequest, Operation, Unprepared, Verdict};
use sampan_core::object::Object;
use sampan_core::operator::Operator;
use sampan_core::resource::PODS;
use sampan_core::status::Status;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::{HOME, PodCollector};

/// How many ended pods are kept in these worlds.
const KEPT: usize = 1;

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(PodCollector::keeping(KEPT).in_batches_of(2))
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    Suite::of(operator)
        .touching(|object, _| object.key().resource == PODS)
        .at_rest("no more ended pods are left than are kept", no_more_are_left_than_are_kept)
        .always("who has not ended stays", who_has_not_ended_stays)
        .world(ending)
        .world(at_once)
        .world(evicted)
        .world(held)
        .world(refused)
}

fn called(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world.holding(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}}))
}

fn pod(name: &str, finalizers: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "here", "containers": [{"name": "c", "image": "c:1"}]},
        "metadata": {"name": name, "namespace": "default", "finalizers": finalizers}})
}

fn holding(world: World, pods: &[&str]) -> World {
    pods.iter().fold(world, |world, name| world.holding(pod(name, &json!([]))))
}

fn phase(pod: &Object) -> String {
    pod.field("status.phase").unwrap_or_default().to_owned()
}

fn has_ended(pod: &Object) -> bool {
    matches!(&*phase(pod), "Succeeded" | "Failed")
}

/// Pods end, the oldest first; the one named `runs` never does. One that is older and ends later might have ended after others
/// went for younger ones: a step that comes before it is right as well.
fn node(phase: &'static str, reason: fn(&str) -> &'static str) -> Actor {
    actors::helper("node", move |snapshot, _| {
        let running = actors::pods(snapshot).filter(|pod| !has_ended(pod) && *pod.key().name != *"runs");
        let ended = |pod: &Arc<Object>| {
            let fields = [("phase", json!(phase)), ("reason", json!(reason(&pod.key().name)))];
            actors::deed(pod, "has ended", Edit::UpdateStatus(actors::with_status(pod, &fields)))
        };
        running.map(ended).take(1).collect()
    })
}

/// More pods end than are kept, and somebody deletes one. Who does so while there are too many comes after those that go.
fn ending(world: World) -> World {
    holding(called(world, "ending"), &["a", "b", "runs"]).with(node("Succeeded", |_| "")).with(actors::rare(
        1,
        "user",
        |snapshot, _| {
            let ended = actors::pods(snapshot).filter(|pod| has_ended(pod));
            let ended = ended.filter(|_| no_more_are_left_than_are_kept(snapshot, EPOCH).is_ok());
            ended.map(|pod| actors::deed(pod, "is deleted", Edit::Delete(pod.key().clone()))).collect()
        },
    ))
}

/// Many are too many at once.
fn at_once(world: World) -> World {
    holding(called(world, "at once"), &["a", "b", "c", "d"]).with(node("Failed", |_| ""))
}

/// Somebody changes a label of pods, which is no matter of the operator's.
fn labelling() -> Actor {
    actors::rare(3, "user", |snapshot, _| {
        let turned = |pod: &Arc<Object>| {
            let mut value = pod.value();
            let is_seen = pod.metadata().labels.get("seen").is_some_and(|it| **it == *"yes");
            if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.insert("labels".to_owned(), json!({"seen": if is_seen { "no" } else { "yes" }}));
            }
            actors::deed(pod, "is labelled", Edit::Update(value))
        };
        actors::pods(snapshot).map(turned).collect()
    })
}

/// Whom a node rid itself of goes before others that are older.
fn evicted(world: World) -> World {
    let reason = |name: &str| if name == "b" { "Evicted" } else { "" };
    holding(called(world, "evicted"), &["a", "b"]).with(node("Failed", reason)).with(labelling()).always(
        "the older one stays for the evicted one",
        |snapshot, _| match actors::pods(snapshot).any(|pod| *pod.key().name == *"a") {
            true => Ok(()),
            false => Err("a is gone".into()),
        },
    )
}

/// One that is deleted and held by somebody does not count, and nobody goes for it.
fn held(world: World) -> World {
    called(world, "held")
        .holding(pod("a", &json!(["example.com/hold"])))
        .holding(pod("b", &json!([])))
        .with(node("Succeeded", |_| ""))
        .with(actors::rare(1, "holder", |snapshot, _| {
            let going = actors::pods(snapshot).filter(|pod| pod.metadata().is_terminating());
            let released = |pod: &Arc<Object>| {
                let mut value = pod.value();
                if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                    metadata.remove("finalizers");
                }
                Deed { what: format!("{} is let go", pod.key().name), edit: Edit::Update(value) }
            };
            going.map(released).collect()
        }))
        .always("the younger one stays", |snapshot, _| {
            match actors::pods(snapshot).any(|pod| *pod.key().name == *"b") {
                true => Ok(()),
                false => Err("b is gone".into()),
            }
        })
}

/// Refuses that the pods of these names are deleted.
struct Keeping(&'static [&'static str]);

impl Admission for Keeping {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let target = &request.mutation.target;
        let is_kept = target.name.as_deref().is_some_and(|name| self.0.contains(&name));
        request.operation == Operation::Delete && target.resource() == PODS && is_kept
    }

    fn validate(&self, _request: &AdmissionRequest<'_>, _object: &Value) -> Result<Verdict, Unprepared> {
        Err(Status::forbidden("it is kept").into())
    }
}

/// Somebody refuses that the oldest is deleted: it stays, and all others go.
fn refused(world: World) -> World {
    let mut world = holding(called(world, "refused"), &["a", "b", "c"]).with(node("Succeeded", |_| ""));
    world.admissions = || vec![Box::new(Keeping(&["a"]))];
    world
}

fn no_more_are_left_than_are_kept(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let left = actors::pods(snapshot).filter(|pod| has_ended(pod) && !pod.metadata().is_terminating()).count();
    match left <= KEPT {
        true => Ok(()),
        false => Err(format!("{left} are left, and {KEPT} are kept")),
    }
}

fn who_has_not_ended_stays(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    match actors::pods(snapshot).find(|pod| !has_ended(pod) && pod.metadata().is_terminating()) {
        Some(pod) => Err(format!("{} goes, and is {}", pod.key(), phase(pod))),
        None => Ok(()),
    }
}
