//! Events on pods, as the kubelet writes them. One that repeats is counted, not written again.

use std::collections::BTreeMap;

use http::{Method, Request};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::host::PodRef;
use crate::pod::moment::time;
use crate::pod::{EventNote, Uid};

/// Events that may wait to be written; more are dropped, for they are only told, never relied on.
const EVENTS_WAITING: usize = 4096;
/// Events remembered for counting.
const EVENTS_REMEMBERED: usize = 2048;
/// Who writes them.
const COMPONENT: &str = "kubelet";

/// What makes two events the same.
type Likeness = (Uid, Option<(String, bool)>, &'static str, String);

/// An event that was written.
struct Written {
    name: String,
    count: i32,
    order: u64,
}

/// Takes events to be written.
pub(super) struct Recorder {
    notes: mpsc::Sender<(PodRef, EventNote)>,
}

impl Recorder {
    /// Starts writing events until `shutdown`.
    pub(super) fn start(client: kube::Client, shutdown: CancellationToken) -> Self {
        let (notes, mut queue) = mpsc::channel(EVENTS_WAITING);
        tokio::spawn(async move {
            let mut scribe = Scribe { client, written: BTreeMap::new(), order: 0 };
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    next = queue.recv() => match next {
                        Some((pod, note)) => scribe.write(&pod, note).await,
                        None => return,
                    },
                }
            }
        });
        Self { notes }
    }

    /// Has an event written.
    pub(super) fn record(&self, pod: PodRef, note: EventNote) {
        if self.notes.try_send((pod, note)).is_err() {
            tracing::warn!("an event was dropped: too many wait to be written");
        }
    }
}

struct Scribe {
    client: kube::Client,
    written: BTreeMap<Likeness, Written>,
    order: u64,
}

impl Scribe {
    async fn write(&mut self, pod: &PodRef, note: EventNote) {
        self.order += 1;
        let likeness = (pod.uid.clone(), note.container.clone(), note.reason, note.message.clone());
        if let Some(known) = self.written.get_mut(&likeness) {
            known.count += 1;
            known.order = self.order;
            let patch = json!({ "count": known.count, "lastTimestamp": time(note.at) });
            let path = format!("/api/v1/namespaces/{}/events/{}", pod.namespace, known.name);
            if self.send(Method::PATCH, path, "application/merge-patch+json", &patch).await {
                return;
            }
        }
        let name = format!("{}.{:x}", pod.name, note.at.as_nanosecond() + i128::from(self.order % 1000));
        let event = event(pod, &note, &name);
        let path = format!("/api/v1/namespaces/{}/events", pod.namespace);
        let body = serde_json::to_value(event).unwrap_or_default();
        if self.send(Method::POST, path, "application/json", &body).await {
            self.written.insert(likeness, Written { name, count: 1, order: self.order });
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if self.written.len() <= EVENTS_REMEMBERED {
            return;
        }
        let mut orders: Vec<u64> = self.written.values().map(|written| written.order).collect();
        orders.sort_unstable();
        let middle = orders.get(orders.len() / 2).copied().unwrap_or(0);
        self.written.retain(|_, written| written.order >= middle);
    }

    async fn send(&self, method: Method, path: String, kind: &str, body: &Value) -> bool {
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        let Ok(request) = Request::builder().method(method).uri(path).header("Content-Type", kind).body(bytes) else {
            return false;
        };
        match self.client.request_text(request).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "an event was not written");
                false
            }
        }
    }
}

fn event(pod: &PodRef, note: &EventNote, name: &str) -> Event {
    let field_path = note.container.as_ref().map(|(container, is_init)| {
        let list = if *is_init { "initContainers" } else { "containers" };
        format!("spec.{list}{{{container}}}")
    });
    Event {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(pod.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.to_string()),
            field_path,
            resource_version: None,
        },
        type_: Some(if note.normal { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(note.reason.to_owned()),
        message: Some(note.message.clone()),
        first_timestamp: Some(time(note.at)),
        last_timestamp: Some(time(note.at)),
        count: Some(1),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: Some(pod.node.clone()) }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(pod.node.clone()),
        ..Event::default()
    }
}
