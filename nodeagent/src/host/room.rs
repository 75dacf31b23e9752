//! What a node has room for: whom it takes, and who may grow.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::Host;
use super::message::Effect;
use crate::pod::rejection::Rejection;
use crate::pod::resize::{self, Pending};
use crate::pod::{NodeFacts, Situation, Uid};

impl Host {
    /// Every pod of `node` that was seen.
    pub fn pods_of(&self, node: &str) -> impl Iterator<Item = &Situation> {
        let uids = self.on_node.get(node).into_iter().flatten();
        uids.filter_map(|uid| self.pods.get(uid)).filter(|entry| entry.seen).map(|entry| &entry.situation)
    }

    /// Why a node does not take a pod it was not told of before.
    pub(super) fn rejection(&self, pod: &Arc<Pod>, node: &NodeFacts) -> Option<Rejection> {
        let others: Vec<&Situation> = self.pods_of(&node.name).collect();
        Rejection::of(&Situation::new(pod.clone()), node, &others)
    }

    /// Grants a pod the resources it wishes for, or notes why not. Says whether that is news.
    pub(super) fn weigh(&mut self, uid: &Uid, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        self.deferred.remove(uid);
        let Some(entry) = self.pods.get(uid).filter(|entry| !entry.situation.is_terminating()) else { return false };
        let Some(wish) = &entry.situation.wish else { return false };
        let others = self.pods_of(&entry.node.name).filter(|other| Uid::of(&other.pod) != *uid);
        let refusal = resize::refusal(&entry.node, &wish.pod, entry.situation.spec(), others);
        if refusal.as_ref().is_some_and(Pending::is_deferred) {
            self.deferred.insert(uid.clone());
        }
        self.pods.get_mut(uid).is_some_and(|entry| entry.answer_wish(refusal, now, effects))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::running;
    use super::*;
    use crate::host::Message;
    use crate::pod::plan::Class;
    use crate::pod::status;

    /// What is told of a pod that asks for port 80 of the node, and whether an Event says so.
    fn told(host: &mut Host, name: &str, status: serde_json::Value) -> (Option<String>, bool) {
        let port = json!([{"containerPort": 80, "hostPort": 80}]);
        let pod = json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "status": status,
            "spec": {"nodeName": "node", "containers": [{"name": "app", "image": "app", "ports": port}]}});
        let pod: Arc<Pod> = Arc::new(serde_json::from_value(pod).unwrap());
        let effects = host.receive(Message::Pod(pod.clone()), Timestamp::UNIX_EPOCH);
        let entry = host.pods.get(&Uid::of(&pod)).unwrap();
        let status = status::status(&entry.scene(&host.sources, Timestamp::UNIX_EPOCH), Class::Failed);
        (
            status.reason,
            effects.iter().any(|effect| matches!(effect, Effect::Event(_, note) if note.reason == "NodePorts")),
        )
    }

    #[test]
    fn a_pod_whose_port_another_has_is_turned_away_at_first_sight() {
        let mut host = running(Timestamp::UNIX_EPOCH);
        assert_eq!(told(&mut host, "first", json!({})), (None, false));
        assert_eq!(told(&mut host, "second", json!({})), (Some("NodePorts".to_owned()), true));
        // Nobody who was taken before is turned away, and who was turned away takes nothing.
        assert_eq!(told(&mut host, "third", json!({"startTime": "2026-01-01T00:00:00Z"})), (None, false));
        for name in ["first", "third"] {
            host.pods.get_mut(&Uid(name.into())).unwrap().situation.swept = true;
        }
        assert_eq!(told(&mut host, "fourth", json!({})), (None, false));
    }

    #[test]
    fn a_pod_that_asks_for_more_than_is_left_is_turned_away() {
        let now = Timestamp::UNIX_EPOCH;
        let mut host = running(now);
        let refused = |host: &Host, name: &str| {
            host.pods.get(&Uid(name.into())).unwrap().situation.rejection.clone().map(|it| (it.reason, it.message))
        };
        for (name, cpu) in [("a", "700m"), ("b", "400m"), ("c", "300m")] {
            host.receive(asking(name, cpu, 1, &json!({})), now);
        }
        let why = "Pod was rejected: Node didn't have enough resource: cpu, requested: 400, used: 700, capacity: 1000";
        assert_eq!(refused(&host, "b"), Some(("OutOfcpu", why.to_owned())));
        assert_eq!((refused(&host, "a"), refused(&host, "c")), (None, None), "who was turned away takes nothing");
    }

    /// A pod of one container that asks for as much CPU, as an API server holds it in that revision.
    fn asking(name: &str, cpu: &str, revision: u64, status: &serde_json::Value) -> Message {
        let resources = json!({"requests": {"cpu": cpu}});
        let pod = json!({
            "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": revision.to_string()},
            "spec": {"nodeName": "node", "containers": [{"name": "app", "image": "app", "resources": resources}]},
            "status": status});
        Message::Pod(Arc::new(serde_json::from_value(pod).unwrap()))
    }

    /// What the node grants a pod, and why it grants no more.
    fn granted(host: &Host, name: &str) -> (i64, Option<&'static str>) {
        let situation = &host.pods.get(&Uid(name.into())).unwrap().situation;
        let pending = situation.wish.as_ref().and_then(|wish| wish.pending.as_ref());
        (crate::pod::quantity::Requests::of(situation.spec()).milli_cpu, pending.map(|pending| pending.reason))
    }

    fn resize_events(effects: &[Effect]) -> Vec<&'static str> {
        let notes = effects.iter().filter_map(|effect| match effect {
            Effect::Event(_, note) => Some(note.reason),
            _ => None,
        });
        notes.filter(|reason| reason.starts_with("Resize")).collect()
    }

    #[test]
    fn a_pod_grows_when_there_is_room_and_is_told_once_why_not() {
        let now = Timestamp::UNIX_EPOCH;
        let mut host = running(now);
        let see = |host: &mut Host, message: Message| {
            host.receive(message, now);
            resize_events(&host.advance(now))
        };
        let none = json!({});
        assert!(see(&mut host, asking("a", "400m", 1, &none)).is_empty());
        assert!(see(&mut host, asking("b", "400m", 1, &none)).is_empty());
        assert_eq!(see(&mut host, asking("a", "2", 2, &none)), ["ResizeInfeasible"]);
        assert_eq!(granted(&host, "a"), (400, Some("Infeasible")));
        assert_eq!(see(&mut host, asking("a", "700m", 3, &none)), ["ResizeDeferred"]);
        assert_eq!(granted(&host, "a"), (400, Some("Deferred")));
        assert!(see(&mut host, asking("a", "700m", 4, &none)).is_empty(), "it was told");
        assert_eq!(
            see(&mut host, asking("b", "300m", 2, &none)),
            ["ResizeStarted", "ResizeCompleted", "ResizeStarted", "ResizeCompleted"]
        );
        assert_eq!((granted(&host, "a"), granted(&host, "b")), ((700, None), (300, None)));
    }

    #[test]
    fn an_agent_started_anew_knows_what_was_granted_by_what_was_told() {
        let now = Timestamp::UNIX_EPOCH;
        let mut host = running(now);
        let told = json!({"name": "app", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "resources": {"requests": {"cpu": "400m"}}});
        host.receive(asking("a", "2", 1, &json!({"containerStatuses": [told]})), now);
        host.advance(now);
        assert_eq!(granted(&host, "a"), (400, Some("Infeasible")));
    }
}
