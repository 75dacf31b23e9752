//! Those who act beside Jobs: nodes whose pods come to an end, and whoever cuts pods off.

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, actors, read};
use sampan_core::object::Object;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use super::work;

/// A node whose pods run and succeed.
pub(super) fn worker() -> Actor {
    actors::helper("worker", |snapshot, now| {
        let running = actors::pods(snapshot).filter(|pod| actors::is_alive(pod) && actors::is_ready(&read(pod)));
        let ended = running.map(|pod| ends(pod, "Succeeded", 0, now));
        actors::become_ready(snapshot, now).into_iter().chain(ended).chain(leave(snapshot, now)).collect()
    })
}

/// A node whose pods run until they are stopped.
pub(super) fn sleeper() -> Actor {
    actors::helper("sleeper", |snapshot, now| [actors::become_ready(snapshot, now), leave(snapshot, now)].concat())
}

/// Pods that are deleted fail, and are gone once nobody holds them.
fn leave(snapshot: &Snapshot, now: Timestamp) -> Vec<Deed> {
    let going = actors::pods(snapshot).filter(|pod| pod.metadata().is_terminating());
    let deed = |pod: &Object| {
        let phase = read(pod)["status"]["phase"].as_str().unwrap_or_default().to_owned();
        if phase != "Failed" && phase != "Succeeded" {
            return Some(ends(pod, "Failed", 143, now));
        }
        let is_free = pod.metadata().finalizers.is_empty();
        is_free.then(|| actors::deed(pod, "is gone", Edit::Remove(pod.key().clone())))
    };
    going.filter_map(|pod| deed(pod)).collect()
}

/// Pods that fail with that code, so many times.
pub(super) fn failing(times: usize, code: i32) -> Actor {
    actors::rare(times, "failure", move |snapshot, now| {
        let alive = actors::pods(snapshot).filter(|pod| actors::is_alive(pod));
        alive.map(|pod| ends(pod, "Failed", code, now)).collect()
    })
}

/// The garbage collector's part in a foreground deletion: pods first, then the Job.
pub(super) fn foreground() -> Actor {
    actors::helper("foreground", |snapshot, _| {
        let Some(job) = snapshot.get(&work()).filter(|job| job.metadata().is_terminating()) else { return Vec::new() };
        let own = actors::pods(snapshot)
            .filter(|pod| pod.metadata().controller().is_some_and(|it| it.uid == job.metadata().uid));
        let pods: Vec<_> = own.collect();
        if pods.is_empty() {
            let mut free = job.value();
            free["metadata"]["finalizers"] = json!([]);
            return vec![actors::deed(job, "has no pod left", Edit::Update(free))];
        }
        let there = pods.into_iter().filter(|pod| !pod.metadata().is_terminating());
        there.map(|pod| actors::deed(pod, "is deleted first", Edit::Delete(pod.key().clone()))).collect()
    })
}

/// Pods of a Job that is being deleted are cut off, as by a deletion that leaves them, so many times.
pub(super) fn untying(times: usize) -> Actor {
    actors::rare(times, "untying", |snapshot, _| {
        if snapshot.get(&work()).is_none_or(|job| !job.metadata().is_terminating()) {
            return Vec::new();
        }
        let owned = actors::pods(snapshot).filter(|pod| pod.metadata().controller().is_some());
        owned
            .map(|pod| {
                let mut value = pod.value();
                value["metadata"]["ownerReferences"] = json!([]);
                actors::deed(pod, "is cut off", Edit::Update(value))
            })
            .collect()
    })
}

fn ends(pod: &Object, phase: &str, code: i32, now: Timestamp) -> Deed {
    let container = json!([{
        "name": "work", "image": "work:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code}},
    }]);
    let conditions = json!([{"type": "Ready", "status": "False", "lastTransitionTime": now.to_string()}]);
    let fields: [(&str, Value); 3] =
        [("phase", json!(phase)), ("conditions", conditions), ("containerStatuses", container)];
    let value = actors::with_status(pod, &fields);
    actors::deed(pod, &format!("is {phase}"), Edit::UpdateStatus(value))
}
