//! What happens to our containers, as Docker tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::observe::{self, Seen};
use super::sandbox::Progress;
use super::{CALLS_AT_ONCE, Docker, names};
use crate::NodeError;
use crate::host::{Message, PodRef};
use crate::pod::{ContainerRecord, Sandbox, Uid};

/// How long to wait before asking for events again after the stream broke.
const RECONNECT: Duration = Duration::from_secs(1);
/// The events that change what a pod is. That a container was killed for want of memory is known to Docker by `oom` alone, which
/// it hears of apart from the end: as often as not after it.
const ACTIONS: [&str; 4] = ["die", "destroy", "start", "oom"];

/// What Docker holds of one pod.
#[derive(Debug)]
pub struct Holding {
    /// The pod by its labels.
    pub pod: PodRef,
    /// Its sandbox.
    pub sandbox: Option<Sandbox>,
    /// Every run of its containers.
    pub containers: Vec<ContainerRecord>,
}

impl Docker {
    /// What Docker holds of this node's pods: what a restarted node takes over.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub async fn holdings(&self) -> Result<Vec<Holding>, NodeError> {
        let filter = names::filter(&[(names::CLUSTER, &self.cluster), (names::NODE, &self.node)]);
        let containers = self.list(&filter).await.map_err(NodeError::docker("list the node's containers"))?;
        let ids = containers.into_iter().filter_map(|container| container.id);
        let looks =
            futures::stream::iter(ids).map(|id| async move { observe::look(&self.api, &self.files, &id).await });
        let seen: Vec<_> = looks.buffer_unordered(CALLS_AT_ONCE).collect().await;
        let mut holdings: BTreeMap<Uid, Holding> = BTreeMap::new();
        for seen in seen {
            let Some(seen) = seen.map_err(NodeError::docker("inspect the node's containers"))? else { continue };
            let pod = match &seen {
                Seen::Sandbox(pod, ..) | Seen::Container(pod, _) => pod.clone(),
            };
            let holding = holdings.entry(pod.uid.clone()).or_insert_with(|| Holding {
                pod: pod.clone(),
                sandbox: None,
                containers: Vec::new(),
            });
            match seen {
                Seen::Container(_, record) => holding.containers.push(record),
                Seen::Sandbox(_, sandbox, process) => {
                    self.take_over(&pod, &sandbox, process).await;
                    let newest = holding.sandbox.as_ref().is_none_or(|known| known.attempt <= sandbox.attempt);
                    if newest {
                        self.remember(&pod, &sandbox);
                        holding.sandbox = Some(sandbox);
                    }
                }
            }
        }
        Ok(holdings.into_values().collect())
    }

    /// A pod the node gave its network keeps its address, and gets what an agent that was killed did not come to.
    async fn take_over(&self, pod: &PodRef, sandbox: &Sandbox, process: i64) {
        let address = sandbox.address.as_deref().and_then(|address| address.parse().ok());
        let (Some(network), Some(address)) = (&self.plugs, address) else { return };
        if !network.gives(address) {
            return;
        }
        network.hold(&pod.uid, address);
        if sandbox.running
            && let Err(message) = network.plug_again(&sandbox.id, process, address).await
        {
            tracing::warn!(pod = %pod.name, %message, "the pod has no network");
        }
    }

    fn remember(&self, pod: &PodRef, sandbox: &Sandbox) {
        if sandbox.running {
            self.tell_progress(pod, sandbox.attempt, Progress::Running(sandbox.clone()));
        }
    }

    /// Tells what happens to this node's containers until `shutdown`.
    ///
    /// The stream begins at `since`, seconds of the epoch; when it breaks it is taken up where it broke.
    pub async fn watch(&self, since: i64, messages: mpsc::Sender<Message>, shutdown: CancellationToken) {
        let mut since = since;
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.follow(&mut since, &messages) => {}
            }
            tracing::warn!("Docker's event stream broke; asking again");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RECONNECT) => {}
            }
        }
    }

    async fn follow(&self, since: &mut i64, messages: &mpsc::Sender<Message>) {
        let mut filter = names::filter(&[(names::CLUSTER, &self.cluster), (names::NODE, &self.node)]);
        filter.insert("type".to_owned(), vec!["container".to_owned()]);
        filter.insert("event".to_owned(), ACTIONS.iter().map(|action| (*action).to_owned()).collect());
        let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filter).build();
        let mut events = std::pin::pin!(self.patient.events(Some(options)));
        while let Some(Ok(event)) = events.next().await {
            if let Some(time) = event.time {
                *since = time;
            }
            let ended = ended(&event);
            if let Some(message) = self.message(event).await
                && messages.send(message).await.is_err()
            {
                return;
            }
            if let Some(id) = ended {
                self.finish_log(&id).await;
            }
        }
    }

    async fn message(&self, event: EventMessage) -> Option<Message> {
        let actor = event.actor?;
        let id = actor.id?;
        let labels = actor.attributes.unwrap_or_default();
        let pod = names::pod(&labels)?;
        let action = event.action.unwrap_or_default();
        if action == "destroy" {
            return Some(Message::Vanished(pod.uid, id));
        }
        // Whoever started it is told by the start itself.
        let is_own_start = action == "start" && self.own_starts().remove(&id);
        if is_own_start || (is_sandbox(&labels) && !changes_sandbox(&action)) {
            return None;
        }
        match observe::look(&self.api, &self.files, &id).await.ok()?? {
            // The kernel killed one of its processes, and it runs on. If it is still being started, that is not over yet.
            Seen::Container(_, record) if action == "oom" && record.is_running() => None,
            Seen::Container(pod, record) => Some(Message::Container(pod.uid, record)),
            Seen::Sandbox(pod, sandbox, _) if !sandbox.running => Some(Message::Sandbox(pod.uid, sandbox)),
            Seen::Sandbox(..) => None,
        }
    }
}

/// The container whose end is told: Docker has written its log to the end by then.
fn ended(event: &EventMessage) -> Option<String> {
    let is_end = event.action.as_deref() == Some("die");
    event.actor.as_ref().filter(|_| is_end)?.id.clone()
}

/// Whether an event that is no removal says anything new of a sandbox. Its start is told by who started it, and it has no exit
/// whose cause could be told: that it ended is all there is to say.
fn changes_sandbox(action: &str) -> bool {
    action == "die"
}

fn is_sandbox(labels: &std::collections::HashMap<String, String>) -> bool {
    labels.get(names::KIND).map(String::as_str) == Some("sandbox")
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    #[test]
    fn a_kill_for_want_of_memory_is_heard_and_is_no_end() {
        assert!(ACTIONS.contains(&"oom"), "Docker tells of it apart from the end");
        let of = |action: &str| EventMessage {
            action: Some(action.to_owned()),
            actor: Some(EventActor { id: Some("c".to_owned()), attributes: None }),
            ..EventMessage::default()
        };
        let ends: Vec<&str> = ACTIONS.into_iter().filter(|action| ended(&of(action)).is_some()).collect();
        assert_eq!(ends, ["die"], "its log is finished once");
        let changing: Vec<&str> = ACTIONS.into_iter().filter(|action| changes_sandbox(action)).collect();
        assert_eq!(changing, ["die"], "of a sandbox it says nothing");
    }
}
