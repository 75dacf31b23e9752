//! Events on pods, as the kubelet writes them. One that repeats is counted, not written again.

use std::collections::{BTreeMap, VecDeque};

use http::Method;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::{ApiRequest, request};
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
#[derive(Debug)]
struct Written {
    name: String,
    count: i32,
    order: u64,
}

/// A request under way.
#[derive(Debug)]
enum Writing {
    /// One more of an event that was written before.
    Count(PodRef, EventNote),
    /// A new event of this name.
    New(Likeness, String),
}

/// Writes events, one request at a time.
#[derive(Debug, Default)]
pub struct Scribe {
    waiting: VecDeque<(PodRef, EventNote)>,
    under_way: Option<Writing>,
    written: BTreeMap<Likeness, Written>,
    order: u64,
}

impl Scribe {
    /// Has an event written. One too many is dropped.
    pub fn record(&mut self, pod: PodRef, note: EventNote) {
        if self.waiting.len() < EVENTS_WAITING {
            self.waiting.push_back((pod, note));
        } else {
            tracing::warn!("an event was dropped: too many wait to be written");
        }
    }

    /// Whether [`begin`](Self::begin) has a request.
    pub fn has_work(&self) -> bool {
        self.under_way.is_none() && !self.waiting.is_empty()
    }

    /// The next request, unless one is under way.
    pub fn begin(&mut self) -> Option<ApiRequest> {
        while self.under_way.is_none() {
            let (pod, note) = self.waiting.pop_front()?;
            self.order += 1;
            // An event whose pod's name makes no path is none.
            let request = self.count(&pod, &note).unwrap_or_else(|| self.create(&pod, &note)).ok();
            if let Some((request, writing)) = request {
                self.under_way = Some(writing);
                return Some(request);
            }
        }
        None
    }

    /// Hears whether the request under way was accepted. What cannot be counted is written anew.
    pub fn answered(&mut self, accepted: bool) {
        match self.under_way.take() {
            Some(Writing::Count(pod, note)) if !accepted => {
                self.written.remove(&likeness(&pod, &note));
                self.waiting.push_front((pod, note));
            }
            Some(Writing::New(likeness, name)) if accepted => {
                self.written.insert(likeness, Written { name, count: 1, order: self.order });
                self.forget_oldest();
            }
            Some(Writing::Count(..) | Writing::New(..)) | None => {}
        }
    }

    fn count(&mut self, pod: &PodRef, note: &EventNote) -> Option<Result<(ApiRequest, Writing), http::Error>> {
        let known = self.written.get_mut(&likeness(pod, note))?;
        known.count += 1;
        known.order = self.order;
        let patch = json!({ "count": known.count, "lastTimestamp": time(note.at) });
        let path = format!("/api/v1/namespaces/{}/events/{}", pod.namespace, known.name);
        let request = request(Method::PATCH, &path, "application/merge-patch+json", &patch);
        Some(request.map(|request| (request, Writing::Count(pod.clone(), note.clone()))))
    }

    fn create(&self, pod: &PodRef, note: &EventNote) -> Result<(ApiRequest, Writing), http::Error> {
        let name = format!("{}.{:x}", pod.name, note.at.as_nanosecond() + i128::from(self.order % 1000));
        let body = serde_json::to_value(event(pod, note, &name)).unwrap_or_default();
        let path = format!("/api/v1/namespaces/{}/events", pod.namespace);
        let request = request(Method::POST, &path, "application/json", &body)?;
        Ok((request, Writing::New(likeness(pod, note), name)))
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
}

fn likeness(pod: &PodRef, note: &EventNote) -> Likeness {
    (pod.uid.clone(), note.container.clone(), note.reason, note.message.clone())
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn note() -> (PodRef, EventNote) {
        let text = |text: &str| text.to_owned();
        let pod = PodRef { uid: Uid("u".into()), namespace: text("default"), name: text("web"), node: text("here") };
        let at = Timestamp::UNIX_EPOCH;
        (pod, EventNote { normal: false, reason: "BackOff", message: text("again"), container: None, at })
    }

    fn next(scribe: &mut Scribe) -> Option<String> {
        scribe.begin().map(|request| request.method().to_string())
    }

    #[test]
    fn an_event_that_repeats_is_counted_and_one_that_cannot_be_counted_is_written_anew() {
        let mut scribe = Scribe::default();
        for expect in ["POST", "PATCH", "PATCH"] {
            let (pod, note) = note();
            scribe.record(pod, note);
            assert_eq!(next(&mut scribe).as_deref(), Some(expect));
            assert_eq!(next(&mut scribe), None, "one request at a time");
            scribe.answered(true);
        }
        let (pod, note) = note();
        scribe.record(pod, note);
        assert_eq!(next(&mut scribe).as_deref(), Some("PATCH"));
        scribe.answered(false);
        assert_eq!(next(&mut scribe).as_deref(), Some("POST"));
        scribe.answered(false);
        assert_eq!(next(&mut scribe), None, "an event nobody takes is dropped");
    }
}
