//! What must hold at every revision of pods that have a role: an identity, a node, an end that counts, an endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use sampan_core::object::{Object, ObjectKey, Uid};
use sampan_core::store::{Event, Origin, WatchChange};
use serde_json::Value;

use super::kinds::{DAEMON_SETS, JOBS, SLICES};
use super::laws::PODS;

type Verdict = Result<(), String>;

/// What is remembered of pods for it.
#[derive(Default)]
pub(super) struct Roles {
    /// Since which revision each pod is ready, and the spans of revisions before in which it was.
    ready: BTreeMap<Uid, (Option<u64>, Vec<(u64, u64)>)>,
    /// The living pods of DaemonSets, with the set and the node of each.
    daemons: BTreeMap<ObjectKey, (Uid, String)>,
    /// The DaemonSets that ever allowed a pod of a new template beside the one of the old.
    surging: BTreeSet<Uid>,
    /// The pods each Job ever had, and those of them that ended well.
    tasks: BTreeMap<Uid, (BTreeSet<Uid>, BTreeSet<Uid>)>,
    /// What each Job has told of pods that ended: well, and not.
    told: BTreeMap<Uid, (i32, i32)>,
}

impl Roles {
    /// Looks at the next change.
    ///
    /// # Errors
    /// The law that is broken, and by what.
    pub(super) fn judge(&mut self, event: &Event) -> Verdict {
        match event.key.resource {
            PODS => self.pod(event),
            JOBS => self.job(event),
            DAEMON_SETS => self.daemon_set(event),
            SLICES => self.slice(event),
            _ => Ok(()),
        }
    }

    fn pod(&mut self, event: &Event) -> Verdict {
        let object = event.change.object();
        let is_gone = matches!(event.change, WatchChange::Removed(_));
        let Ok(pod) = object.decode::<Pod>() else { return Err(format!("pods decode: {} does not", event.key)) };
        let uid = &object.metadata().uid;
        self.see_readiness(uid, !is_gone && is_ready(object, &pod), event.revision.0);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let lives = !is_gone && !object.metadata().is_terminating() && !matches!(phase, Some("Succeeded" | "Failed"));
        let owner = object.metadata().controller();
        if let Some(owner) = owner.filter(|owner| &*owner.kind == "Job") {
            let (all, well) = self.tasks.entry(owner.uid.clone()).or_default();
            all.insert(uid.clone());
            if phase == Some("Succeeded") {
                well.insert(uid.clone());
            }
        }
        let set = owner.filter(|owner| lives && &*owner.kind == "DaemonSet").map(|owner| owner.uid.clone());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        self.see_daemon(&event.key, set.zip(node))
    }

    fn see_readiness(&mut self, uid: &Uid, is_ready: bool, revision: u64) {
        let (since, spans) = self.ready.entry(uid.clone()).or_default();
        match (*since, is_ready) {
            (None, true) => *since = Some(revision),
            (Some(from), false) => {
                spans.push((from, revision));
                *since = None;
            }
            _ => {}
        }
    }

    fn daemon_set(&mut self, event: &Event) -> Verdict {
        let object = event.change.object();
        let surge = object.value().pointer("/spec/updateStrategy/rollingUpdate/maxSurge").cloned().unwrap_or_default();
        if !matches!(surge, Value::Null) && surge != 0 && surge != "0%" {
            self.surging.insert(object.metadata().uid.clone());
        }
        Ok(())
    }

    /// A pod that was let go of, has ended or is on its way out is nobody's any more.
    fn see_daemon(&mut self, key: &ObjectKey, place: Option<(Uid, String)>) -> Verdict {
        let Some(place) = place else {
            self.daemons.remove(key);
            return Ok(());
        };
        let most = 1 + usize::from(self.surging.contains(&place.0));
        let others = self.daemons.iter().filter(|(other, at)| *other != key && **at == place);
        let others: Vec<ObjectKey> = others.map(|(other, _)| other.clone()).collect();
        let on = place.1.clone();
        self.daemons.insert(key.clone(), place);
        match others.first() {
            None => Ok(()),
            Some(_) if others.len() < most => Ok(()),
            Some(other) => Err(format!("at most one pod of a DaemonSet on a node: {key} and {other} on {on}")),
        }
    }

    /// A pod's end is counted once, and never taken back.
    fn job(&mut self, event: &Event) -> Verdict {
        let object = event.change.object();
        let Ok(job) = object.decode::<Job>() else { return Err(format!("jobs decode: {} does not", event.key)) };
        let uid = &object.metadata().uid;
        let status = job.status.clone().unwrap_or_default();
        let told = (status.succeeded.unwrap_or_default(), status.failed.unwrap_or_default());
        let before = self.told.insert(uid.clone(), told).unwrap_or_default();
        if told.0 < before.0 || told.1 < before.1 {
            return Err(format!("ends stay counted: {} went from {before:?} to {told:?}", event.key));
        }
        let (all, well) = self.tasks.get(uid).map_or((0, 0), |(all, well)| (all.len(), well.len()));
        let count = |number: i32| usize::try_from(number).unwrap_or_default();
        if count(told.0) > well || count(told.0) + count(told.1) > all {
            let of = format!("{told:?} of {all} pods, {well} of which ended well");
            return Err(format!("an end is counted once: {} tells {of}", event.key));
        }
        Ok(())
    }

    /// Who is led to was ready in what the operator had looked at.
    fn slice(&self, event: &Event) -> Verdict {
        let (
            WatchChange::Added(object) | WatchChange::Modified { after: object, .. },
            Origin::Decision { snapshot, .. },
        ) = (&event.change, &*event.origin)
        else {
            return Ok(());
        };
        let Ok(slice) = object.decode::<EndpointSlice>() else {
            return Err(format!("slices decode: {} does not", event.key));
        };
        for endpoint in &slice.endpoints {
            let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref());
            let Some(uid) = uid.filter(|_| is_ready) else { continue };
            if !self.was_ready(&Uid(uid.into()), *snapshot) {
                return Err(format!(
                    "endpoints ⊆ ready pods: {} leads to {uid}, which was not at {snapshot}",
                    event.key
                ));
            }
        }
        Ok(())
    }

    fn was_ready(&self, uid: &Uid, at: u64) -> bool {
        self.ready.get(uid).is_some_and(|(since, spans)| {
            since.is_some_and(|since| since <= at) || spans.iter().any(|(from, to)| (*from..*to).contains(&at))
        })
    }
}

/// Whether a pod is to be led to.
pub(super) fn is_ready(object: &Arc<Object>, pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let says = conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True");
    says && !object.metadata().is_terminating()
}

/// The identity a pod takes by being created, where it has one: what its StatefulSet calls it.
pub(super) fn identity_taken(event: &Event) -> Option<&ObjectKey> {
    let WatchChange::Added(object) = &event.change else { return None };
    let is_stateful = object.metadata().controller().is_some_and(|owner| &*owner.kind == "StatefulSet");
    (event.key.resource == PODS && is_stateful).then_some(&event.key)
}

#[cfg(test)]
mod tests {
    use sampan_core::object::{Draft, ResourceType, Revision};
    use serde_json::json;

    use super::*;

    /// A change that leaves an object like this, by a step that looked at revision `snapshot`.
    fn event(resource: ResourceType, name: &str, revision: u64, snapshot: u64, mut value: Value) -> Event {
        value["metadata"]["name"] = name.into();
        value["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        value["metadata"]["uid"] = value["metadata"]["uid"].as_str().unwrap_or(name).into();
        let key = ObjectKey::namespaced(resource, "default", name);
        let object = Draft::new(key.clone(), value, Vec::new()).expect("an object").at(Revision(revision));
        let origin = Origin::Decision { operator: "service".into(), object: String::new(), snapshot };
        let change = WatchChange::Added(Arc::new(object));
        Event { revision: Revision(revision), key, change, origin: Arc::new(origin), changed_at: None }
    }

    fn pod(name: &str, revision: u64, owner: (&str, &str), node: &str, status: Value) -> Event {
        let (kind, uid) = owner;
        let owners = json!([{"apiVersion": "v1", "kind": kind, "name": uid, "uid": uid, "controller": true}]);
        let value = json!({"metadata": {"ownerReferences": owners}, "spec": {"nodeName": node, "containers": []},
            "status": status});
        event(PODS, name, revision, 0, value)
    }

    #[track_caller]
    fn breaks(verdict: Verdict, law: &str) {
        let why = verdict.expect_err("a law is broken");
        assert!(why.starts_with(law), "{why}");
    }

    #[test]
    fn two_pods_of_a_daemon_set_on_one_node_break_a_law() {
        let mut roles = Roles::default();
        let ended = json!({"phase": "Failed"});
        roles.judge(&pod("a", 1, ("DaemonSet", "d"), "here", json!({}))).expect("one is right");
        roles.judge(&pod("b", 2, ("DaemonSet", "d"), "there", json!({}))).expect("and one elsewhere");
        roles.judge(&pod("c", 3, ("DaemonSet", "d"), "here", ended)).expect("one that has ended is none");
        let second = roles.judge(&pod("e", 4, ("DaemonSet", "d"), "here", json!({})));
        breaks(second, "at most one pod of a DaemonSet on a node");
    }

    #[test]
    fn ends_that_are_counted_twice_or_taken_back_break_a_law() {
        let job = |revision, succeeded| {
            event(JOBS, "j", revision, 0, json!({"metadata": {}, "status": {"succeeded": succeeded}}))
        };
        let mut roles = Roles::default();
        roles.judge(&pod("a", 1, ("Job", "j"), "here", json!({"phase": "Succeeded"}))).expect("a pod ends");
        roles.judge(&job(2, 1)).expect("it is counted");
        breaks(roles.judge(&job(3, 2)), "an end is counted once");
        breaks(roles.judge(&job(4, 0)), "ends stay counted");
    }

    #[test]
    fn an_endpoint_that_was_not_ready_when_it_was_looked_at_breaks_a_law() {
        let ready = |is_ready: &str| json!({"conditions": [{"type": "Ready", "status": is_ready}]});
        let slice = |revision, snapshot| {
            let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": {"uid": "a"}});
            event(
                SLICES,
                "s",
                revision,
                snapshot,
                json!({"metadata": {}, "addressType": "IPv4", "endpoints": [endpoint]}),
            )
        };
        let mut roles = Roles::default();
        for (revision, is_ready) in [(1, "False"), (3, "True"), (6, "False")] {
            roles.judge(&pod("a", revision, ("ReplicaSet", "r"), "here", ready(is_ready))).expect("pods come and go");
        }
        roles.judge(&slice(7, 5)).expect("it was ready at 5, and the slice lags");
        breaks(roles.judge(&slice(8, 2)), "endpoints ⊆ ready pods");
        breaks(roles.judge(&slice(9, 6)), "endpoints ⊆ ready pods");
    }
}
