//! Jobs under proof: their specs, their neighbours, and the worlds where something goes wrong.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

mod actors;
mod laws;

use sampan_conformance::{Deed, Edit, Suite, World, actors as common, read};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Operator;
use sampan_core::resource::{JOBS, PODS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::JobOperator;

/// What of a status no look at the pods could tell.
const REMEMBERED: &[&str] =
    &["/succeeded", "/failed", "/completedIndexes", "/failedIndexes", "/conditions", "/startTime", "/completionTime"];

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(JobOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    Suite::of(operator)
        .spec("one by one", job(json!({"completions": 2})))
        .spec("two at once", job(json!({"completions": 2, "parallelism": 2})))
        .neighbour(actors::worker())
        .incidental(is_told)
        .remembering(REMEMBERED)
        .at_rest("the status tells what is", laws::status_tells_what_is)
        .at_rest("no pod is held for nothing", laws::no_pod_is_held_for_nothing)
        .at_rest("a Job that goes on has the pods it needs", laws::needed_pods_exist)
        .touching(|object, key| {
            let owner = object.metadata().controller();
            object.key().resource == PODS && owner.is_none_or(|owner| owner.name == key.name)
        })
        .letting_go(|object| object.key().resource == PODS && !is_matching(object))
        .world(failing)
        .world(deleted)
        .world(replaced)
        .world(stopped)
        .world(shrunk)
        .world(first_success)
        .world(indexed)
        .world(limited_per_index)
        .world(ruled)
        .world(good_enough)
        .world(hurried)
        .world(expiring)
        .world(claimed)
        .world(held)
        .world(managed_elsewhere)
}

/// A status that says nothing is none.
fn is_told(object: &mut Value) -> bool {
    if object["status"] == json!({}) {
        object.as_object_mut().map(|fields| fields.remove("status"));
    }
    true
}

/// A Job of these fields, whose pods are labelled by hand: so their labels are the same each time it is made.
pub fn job(fields: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "namespace": "default"},
        "spec": {
            "manualSelector": true, "selector": {"matchLabels": {"app": "work"}},
            "template": {
                "metadata": {"labels": {"app": "work"}},
                "spec": {
                    "containers": [{"name": "work", "image": "work:1"}], "nodeName": "here", "restartPolicy": "Never",
                },
            },
        },
    });
    if let (Some(spec), Value::Object(fields)) = (job["spec"].as_object_mut(), fields) {
        spec.extend(fields);
    }
    job
}

pub(crate) fn work() -> ObjectKey {
    ObjectKey::namespaced(JOBS, "default", "work")
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// Told apart by so many seconds: what its waits need.
fn aged(mut world: World, seconds: i64) -> World {
    world.ages_seconds = seconds;
    world
}

/// Explored with a large budget alone: it takes more seconds than a change should wait.
fn large(mut world: World) -> World {
    world.is_large = true;
    world
}

/// Pods fail, more often than they may.
fn failing(world: World) -> World {
    aged(named(world, "failing"), 11)
        .holding(job(json!({"backoffLimit": 1})))
        .with(actors::worker())
        .with(actors::failing(2, 1))
        .always("successes are counted once", laws::successes_are_counted_once)
        .at_rest("it fails by the second failure", laws::fails_by_the_second_failure)
}

/// Somebody deletes pods, which counts as a failure.
fn deleted(world: World) -> World {
    large(named(world, "deleted"))
        .holding(job(json!({"completions": 2, "parallelism": 2})))
        .with(actors::worker())
        .with(common::user_who_deletes_pods(1))
        .always("no success is lost", laws::no_success_is_lost)
}

/// Somebody deletes pods, which are replaced once they have failed.
fn replaced(world: World) -> World {
    named(world, "replaced")
        .holding(job(json!({"podReplacementPolicy": "Failed"})))
        .with(actors::worker())
        .with(common::user_who_deletes_pods(1))
        .always("no two pods run side by side", laws::no_two_pods)
}

/// It is suspended and resumed.
fn stopped(world: World) -> World {
    aged(named(world, "stopped"), 1)
        .holding(job(json!({})))
        .with(actors::worker())
        .with(common::rare(2, "user", |snapshot, _| {
            let suspend = snapshot.get(&work()).is_some_and(|job| read(job)["spec"]["suspend"] == true);
            let what = if suspend { "work is resumed" } else { "work is suspended" };
            changed(snapshot, what, |spec| spec["suspend"] = json!(!suspend))
        }))
        .at_rest("no pod runs of a Job that is suspended", laws::suspended_pods_are_gone)
}

/// Fewer pods are to run at once.
fn shrunk(world: World) -> World {
    large(named(world, "shrunk")).holding(job(json!({"completions": 3, "parallelism": 2}))).with(actors::worker()).with(
        common::rare(1, "user", |snapshot, _| {
            changed(snapshot, "work runs one by one", |spec| spec["parallelism"] = json!(1))
        }),
    )
}

/// Without a number of completions the first success says that the work is done.
fn first_success(world: World) -> World {
    named(world, "first success")
        .holding(job(json!({"parallelism": 2})))
        .with(actors::worker())
        .always("successes are counted once", laws::successes_are_counted_once)
}

/// Each index has its pod.
fn indexed(world: World) -> World {
    aged(large(named(world, "indexed")), 11)
        .holding(job(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2})))
        .with(actors::worker())
        .with(actors::failing(1, 1))
        .always("no index has two pods", laws::no_index_has_two_pods)
        .at_rest("every index succeeds", laws::every_index_succeeds)
}

/// Each index may fail once, and none for good.
fn limited_per_index(world: World) -> World {
    let fields = json!({
        "completionMode": "Indexed", "completions": 2, "parallelism": 1, "backoffLimitPerIndex": 1, "maxFailedIndexes": 0,
    });
    aged(large(named(world, "limited per index")), 11)
        .holding(job(fields))
        .with(actors::worker())
        .with(actors::failing(2, 1))
        .always("no index has two pods", laws::no_index_has_two_pods)
}

/// One exit code fails the Job, another is passed over.
fn ruled(world: World) -> World {
    let rules = json!({"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
    ]});
    aged(named(world, "ruled"), 11)
        .holding(job(json!({"backoffLimit": 0, "podFailurePolicy": rules, "completions": 2})))
        .with(actors::worker())
        .with(actors::failing(1, 42))
        .with(actors::failing(1, 7))
        .at_rest("what is passed over is not counted", laws::fails_by_its_rule_alone)
}

/// The first index is enough.
fn good_enough(world: World) -> World {
    let rules = json!({"rules": [{"succeededIndexes": "0"}]});
    let fields = json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2, "successPolicy": rules});
    named(world, "good enough")
        .holding(job(fields))
        .with(actors::worker())
        .always("no index has two pods", laws::no_index_has_two_pods)
}

/// It may take thirty seconds, and its pods never end.
fn hurried(world: World) -> World {
    aged(named(world, "hurried"), 31)
        .holding(job(json!({"activeDeadlineSeconds": 30})))
        .with(actors::sleeper())
        .at_rest("it fails when its time is up", laws::fails_by_its_deadline)
}

/// It goes ten seconds after its end.
fn expiring(world: World) -> World {
    aged(named(world, "expiring"), 11)
        .holding(job(json!({"ttlSecondsAfterFinished": 10, "backoffLimit": 0})))
        .with(actors::worker())
        .with(actors::failing(1, 1))
        .with(actors::foreground())
        .at_rest("nothing is left of it", laws::nothing_is_left)
}

/// An orphan appears, and pods get other labels.
fn claimed(world: World) -> World {
    large(named(world, "claimed"))
        .holding(job(json!({"parallelism": 1})))
        .with(actors::worker())
        .with(common::rare(1, "stranger", |_, _| vec![orphan()]))
        .with(common::rare(1, "user", |snapshot, _| common::pods(snapshot).map(|pod| relabelled(pod)).collect()))
}

/// It is deleted while somebody's finalizer holds it, and its pods may be cut off.
fn held(world: World) -> World {
    let mut held = job(json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    named(world, "held")
        .holding(held)
        .with(common::rare(1, "user", |_, _| vec![Deed { what: "work is deleted".into(), edit: Edit::Delete(work()) }]))
        .with(actors::sleeper())
        .with(actors::untying(1))
        .always("no pod is created once deletion was asked for", laws::nothing_is_created_for_the_dying)
}

/// Somebody else looks after it.
fn managed_elsewhere(world: World) -> World {
    named(world, "managed elsewhere")
        .holding(job(json!({"managedBy": "example.com/queue"})))
        .always("nothing is done", laws::nothing_is_done)
}

fn changed(snapshot: &Snapshot, what: &str, change: impl FnOnce(&mut Value)) -> Vec<Deed> {
    let Some(mut job) = snapshot.get(&work()).map(|job| job.value()) else { return Vec::new() };
    let before = job.clone();
    change(&mut job["spec"]);
    if job == before { Vec::new() } else { vec![Deed { what: what.into(), edit: Edit::Update(job) }] }
}

fn orphan() -> Deed {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "orphan-", "namespace": "default", "labels": {"app": "work"}},
        "spec": {"containers": [{"name": "work", "image": "work:1"}], "nodeName": "here", "restartPolicy": "Never"},
    });
    Deed { what: "an orphan appears".into(), edit: Edit::Create(object) }
}

fn relabelled(pod: &Object) -> Deed {
    let mut value = pod.value();
    value["metadata"]["labels"]["app"] = json!("other");
    common::deed(pod, "is relabelled", Edit::Update(value))
}

fn is_matching(pod: &Object) -> bool {
    pod.metadata().labels.get("app").is_some_and(|app| &**app == "work")
}
