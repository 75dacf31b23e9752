//! CronJobs under proof: their specs, their neighbours, and the worlds where something goes wrong.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

mod laws;

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Operator;
use sampan_core::resource::{CRON_JOBS, JOBS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::CronJobOperator;

/// The annotation with the time a Job was made for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(CronJobOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    Suite::of(operator)
        .spec("at half past", cron_job(json!({})))
        .spec("at a quarter to", cron_job(json!({"schedule": "45 0 1 1 *"})))
        .incidental(|object| {
            without_times(object);
            true
        })
        .alike(without_times)
        .remembering(&["/lastScheduleTime", "/lastSuccessfulTime"])
        .always("no time has two Jobs, and no Job two times", laws::a_time_has_one_job)
        .always("no Job runs beside another that forbids it", laws::no_job_runs_beside_another)
        .at_rest("the status tells what is", laws::status_tells_what_is)
        .at_rest("history is no longer than it may be", laws::history_is_short)
        .world(finishing)
        .world(freed)
        .world(replacing)
        .world(failing)
        .world(stopped)
        .world(late)
        .world(never)
        .world(taken)
        .world(held)
}

/// A CronJob of these fields, due half an hour after the world begins, and then once a year: a day at rest is a quiet one.
pub fn cron_job(fields: Value) -> Value {
    let mut cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": "default"},
        "spec": {
            "schedule": "30 0 1 1 *", "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": {"spec": {
                "containers": [{"name": "work", "image": "work:1"}], "restartPolicy": "Never",
            }}}},
        },
    });
    if let (Some(spec), Value::Object(fields)) = (cron["spec"].as_object_mut(), fields) {
        spec.extend(fields);
    }
    cron
}

fn report() -> ObjectKey {
    ObjectKey::namespaced(CRON_JOBS, "default", "report")
}

/// Names made of the time, and what else tells which of all years it was.
fn without_times(object: &mut Value) {
    if object["kind"] == "Job" {
        for labels in ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector/matchLabels"] {
            if let Some(labels) = object.pointer_mut(labels).and_then(Value::as_object_mut) {
                labels.retain(|name, _| !name.ends_with("controller-uid") && !name.ends_with("job-name"));
            }
        }
        object["metadata"]["name"] = Value::Null;
        object["metadata"]["annotations"][SCHEDULED] = Value::Null;
    }
    for active in object.pointer_mut("/status/active").and_then(Value::as_array_mut).into_iter().flatten() {
        (active["name"], active["uid"]) = (Value::Null, Value::Null);
    }
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// Jobs end well, and the last one is kept.
fn finishing(world: World) -> World {
    named(world, "finishing").holding(cron_job(json!({"successfulJobsHistoryLimit": 1}))).with(ending(2, "Complete"))
}

/// A Job ends after the time of the next has come, which is made up for.
fn freed(world: World) -> World {
    named(world, "freed").holding(cron_job(json!({}))).with(ending(1, "Complete"))
}

/// A Job takes the place of the one before, year after year. It goes on so for ever, and looks the same but for the moment
/// when the new Job is not told yet.
fn replacing(mut world: World) -> World {
    world.incidental = |object| {
        without_times(object);
        object["status"]["active"] = Value::Null;
        true
    };
    named(world, "replacing").holding(cron_job(json!({"concurrencyPolicy": "Replace"}))).with(ending(1, "Complete"))
}

/// Jobs fail, and none of them is kept.
fn failing(world: World) -> World {
    named(world, "failing").holding(cron_job(json!({"failedJobsHistoryLimit": 0}))).with(ending(2, "Failed"))
}

/// It is suspended and resumed.
fn stopped(world: World) -> World {
    named(world, "stopped").holding(cron_job(json!({}))).with(actors::rare(2, "user", |snapshot, _| {
        let Some(mut cron) = snapshot.get(&report()).map(|cron| cron.value()) else { return Vec::new() };
        let suspend = cron["spec"]["suspend"] != true;
        cron["spec"]["suspend"] = json!(suspend);
        let what = if suspend { "report is suspended" } else { "report is resumed" };
        vec![Deed { what: what.into(), edit: Edit::Update(cron) }]
    }))
}

/// A start may be a minute late, and Jobs are deleted by hand.
fn late(world: World) -> World {
    named(world, "late")
        .holding(cron_job(json!({"startingDeadlineSeconds": 60, "timeZone": "Asia/Tokyo"})))
        .with(actors::rare(1, "user", |snapshot, _| {
            jobs(snapshot).map(|job| actors::deed(job, "is deleted", Edit::Delete(job.key().clone()))).collect()
        }))
        .always("no Job is made that is too late", laws::no_job_is_late)
}

/// There is no thirtieth of February.
fn never(world: World) -> World {
    named(world, "never").holding(cron_job(json!({"schedule": "0 0 30 2 *"}))).at_rest(
        "no Job is made",
        |snapshot, _| match jobs(snapshot).count() {
            0 => Ok(()),
            found => Err(format!("{found} Jobs")),
        },
    )
}

/// Somebody else's Job has the name of the next one.
fn taken(world: World) -> World {
    let first = "report-29453790";
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": first, "namespace": "default"},
        "spec": {"suspend": true, "template": {"spec": {
            "containers": [{"name": "work", "image": "work:1"}], "restartPolicy": "Never",
        }}},
    });
    named(world, "taken").holding(job).holding(cron_job(json!({}))).at_rest(
        "somebody else's Job stays",
        move |snapshot, _| {
            let key = ObjectKey::namespaced(JOBS, "default", first);
            match snapshot.get(&key).is_some_and(|job| job.metadata().controller().is_none()) {
                true => Ok(()),
                false => Err("it is gone, or has an owner".into()),
            }
        },
    )
}

/// It is deleted while somebody's finalizer holds it.
fn held(world: World) -> World {
    let mut held = cron_job(json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    named(world, "held")
        .holding(held)
        .with(actors::rare(1, "user", |_, _| {
            vec![Deed { what: "report is deleted".into(), edit: Edit::Delete(report()) }]
        }))
        .always("no Job is made once deletion was asked for", laws::nothing_is_created_for_the_dying)
}

fn jobs(snapshot: &Snapshot) -> impl Iterator<Item = &std::sync::Arc<Object>> {
    snapshot.list(JOBS, None, None)
}

fn condition(job: &Object) -> Option<String> {
    let value = job.value();
    let mut conditions = value["status"]["conditions"].as_array().into_iter().flatten();
    let end = conditions.find(|it| it["status"] == "True" && (it["type"] == "Complete" || it["type"] == "Failed"))?;
    end["type"].as_str().map(str::to_owned)
}

/// Jobs come to their end, so many times.
fn ending(times: usize, how: &'static str) -> Actor {
    actors::rare(times, "jobs", move |snapshot, now| {
        let running = jobs(snapshot).filter(|job| condition(job).is_none() && !job.metadata().is_terminating());
        running.map(|job| ends(job, how, now)).collect()
    })
}

fn ends(job: &Object, how: &str, now: Timestamp) -> Deed {
    let at = now.to_string();
    let target = if how == "Complete" { "SuccessCriteriaMet" } else { "FailureTarget" };
    let held = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at});
    let mut fields = vec![("startTime", json!(at)), ("conditions", json!([held(target), held(how)]))];
    if how == "Complete" {
        fields.push(("completionTime", json!(at)));
    }
    actors::deed(job, &format!("is {how}"), Edit::UpdateStatus(actors::with_status(job, &fields)))
}
