//! What must hold of a Deployment.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use jiff::Timestamp;
use sampan_core::store::Snapshot;
use serde_json::Value;

use super::{is_settled, number, sets, web};

type Verdict = Result<(), String>;

fn spec(snapshot: &Snapshot) -> Value {
    snapshot.get(&web()).map(|web| web.value()["spec"].clone()).unwrap_or_default()
}

pub(super) fn status(snapshot: &Snapshot) -> Value {
    snapshot.get(&web()).map(|web| web.value()["status"].clone()).unwrap_or_default()
}

fn replicas(snapshot: &Snapshot) -> i64 {
    spec(snapshot)["replicas"].as_i64().unwrap_or_default()
}

fn image(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["containers"][0]["image"]
}

fn owned(snapshot: &Snapshot) -> Vec<Value> {
    let uid = snapshot.get(&web()).map(|web| web.metadata().uid.clone());
    let owned = sets(snapshot).filter(|set| set.metadata().controller().map(|owner| &owner.uid) == uid.as_ref());
    owned.map(|set| set.value()).collect()
}

fn sum(sets: &[Value], field: &str) -> i64 {
    sets.iter().map(|set| number(set, field)).sum()
}

pub(super) fn no_more_pods_than_surge_allows(snapshot: &Snapshot, _: Timestamp) -> Verdict {
    let surge = spec(snapshot)["strategy"]["rollingUpdate"]["maxSurge"].as_i64().unwrap_or_default();
    let asked = |set: &Value| set["spec"]["replicas"].as_i64().unwrap_or_default().max(number(set, "replicas"));
    let pods: i64 = owned(snapshot).iter().map(asked).sum();
    let most = replicas(snapshot) + surge;
    if pods <= most { Ok(()) } else { Err(format!("{pods} pods, at most {most}")) }
}

/// Once a Deployment says it is available, a rollout alone never makes it less.
pub(super) fn no_fewer_available_than_promised(snapshot: &Snapshot, _: Timestamp) -> Verdict {
    let status = status(snapshot);
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let is_promised = conditions.any(|it| it["type"] == "Available" && it["status"] == "True");
    let unavailable = spec(snapshot)["strategy"]["rollingUpdate"]["maxUnavailable"].as_i64().unwrap_or_default();
    let serving = |set: &Value| number(set, "availableReplicas").min(set["spec"]["replicas"].as_i64().unwrap_or(1));
    let available: i64 = owned(snapshot).iter().map(serving).sum();
    let fewest = replicas(snapshot) - unavailable;
    if !is_promised || available >= fewest { Ok(()) } else { Err(format!("{available} available, at least {fewest}")) }
}

pub(super) fn no_pods_of_two_templates(snapshot: &Snapshot, _: Timestamp) -> Verdict {
    let pods = |set: &Value| number(set, "replicas") + number(set, "terminatingReplicas");
    let sets = owned(snapshot);
    let running: Vec<&Value> = sets.iter().filter(|set| pods(set) > 0).map(image).collect();
    if running.len() <= 1 { Ok(()) } else { Err(format!("pods of {running:?} run side by side")) }
}

pub(super) fn status_tells_what_is(snapshot: &Snapshot, _: Timestamp) -> Verdict {
    let Some(web) = snapshot.get(&web()) else { return Ok(()) };
    let (owned, status) = (owned(snapshot), status(snapshot));
    let present: Vec<Value> = owned.iter().filter(|set| image(set) == image(&web.value())).cloned().collect();
    let expected = [
        ("observedGeneration", web.metadata().generation),
        ("replicas", sum(&owned, "replicas")),
        ("updatedReplicas", sum(&present, "replicas")),
        ("readyReplicas", sum(&owned, "readyReplicas")),
        ("availableReplicas", sum(&owned, "availableReplicas")),
        ("terminatingReplicas", sum(&owned, "terminatingReplicas")),
    ];
    for (field, expect) in expected {
        let told = status[field].as_i64().unwrap_or_default();
        if told != expect {
            return Err(format!("status.{field} is {told}, should be {expect}"));
        }
    }
    Ok(())
}

/// Where no pod has anything left to do, a rollout has nothing left to wait for.
pub(super) fn what_can_be_finished_is(snapshot: &Snapshot, now: Timestamp) -> Verdict {
    let Some(web) = snapshot.get(&web()).map(|web| web.value()) else { return Ok(()) };
    if !is_settled(snapshot, now) {
        return Ok(());
    }
    let is_paused = web["spec"]["paused"] == true;
    let owned = owned(snapshot);
    let updated: i64 = owned.iter().filter(|set| image(set) == image(&web)).map(|set| number(set, "replicas")).sum();
    let (wanted, all) = (replicas(snapshot), sum(&owned, "replicas"));
    if is_paused && (owned.is_empty() || all >= wanted) {
        return Ok(());
    }
    if (updated, all) != (wanted, wanted) {
        return Err(format!("{updated} updated and {all} pods, wanted {wanted}"));
    }
    let revision = |object: &Value| object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone();
    let present = owned.iter().find(|set| image(set) == image(&web));
    if present.map(&revision) == Some(revision(&web)) || is_paused {
        Ok(())
    } else {
        Err("the Deployment does not carry the revision it is at".into())
    }
}

pub(super) fn no_history(snapshot: &Snapshot, now: Timestamp) -> Verdict {
    let found = owned(snapshot).len();
    if found <= 1 || !is_settled(snapshot, now) { Ok(()) } else { Err(format!("{found} ReplicaSets")) }
}

pub(super) fn what_matches_is_controlled(snapshot: &Snapshot, _: Timestamp) -> Verdict {
    let uid = snapshot.get(&web()).map(|web| web.metadata().uid.clone());
    for set in sets(snapshot) {
        let matches = set.metadata().labels.get("app").map(|app| &**app) == Some("web");
        let is_controlled = set.metadata().controller().map(|owner| &owner.uid) == uid.as_ref();
        if matches != is_controlled {
            return Err(format!("{}: matches {matches}, controlled {is_controlled}", set.key().name));
        }
    }
    Ok(())
}
