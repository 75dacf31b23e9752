//! Statuses and deletions, sent to the API server.

use std::sync::Arc;

use http::{Method, Request};
use k8s_openapi::api::core::v1::Pod;
use sampan_machine::Decision;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use crate::host::{Answer, Message, PodRef, StatusPost};

/// Requests under way at one time.
const REQUESTS_AT_ONCE: usize = 64;
/// The header that carries a decision. A server that does not know it ignores it.
const DECISION_HEADER: &str = "Sampan-Decision";
/// Bytes of a decision at most; a longer one loses its details first.
const DECISION_BYTES: usize = 12 * 1024;
/// Unmet guards and commands kept of a decision that is too long.
const DETAILS_KEPT: usize = 8;

/// Sends statuses and deletions.
pub(super) struct Writer {
    client: kube::Client,
    messages: mpsc::Sender<Message>,
    requests: Arc<Semaphore>,
}

impl Writer {
    pub(super) fn new(client: kube::Client, messages: mpsc::Sender<Message>) -> Self {
        Self { client, messages, requests: Arc::new(Semaphore::new(REQUESTS_AT_ONCE)) }
    }

    /// Sends a status; the answer comes as a message.
    pub(super) fn post(&self, post: StatusPost) {
        let uid = post.pod.uid.clone();
        let path = format!("{}/status?fieldManager=kubelet", path(&post.pod));
        let mut request = Request::builder()
            .method(Method::PATCH)
            .uri(&path)
            .header("Content-Type", "application/strategic-merge-patch+json");
        if let Some(decision) = post.decision {
            request = request.header(DECISION_HEADER, header_text(*decision));
        }
        tracing::debug!(pod = %path, patch = %post.patch, "telling the status");
        let body = serde_json::to_vec(&post.patch).unwrap_or_default();
        self.send(request.body(body), move |answer| Message::Posted(uid, answer));
    }

    /// Deletes an object of which nothing is left here, provided it is still the same object.
    pub(super) fn delete(&self, pod: PodRef) {
        let uid = pod.uid.clone();
        let options = json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": { "uid": &*pod.uid.0 },
        });
        let request = Request::builder()
            .method(Method::DELETE)
            .uri(path(&pod))
            .header("Content-Type", "application/json")
            .body(serde_json::to_vec(&options).unwrap_or_default());
        self.send(request, move |answer| Message::Deleted(uid, answer));
    }

    fn send(
        &self,
        request: Result<Request<Vec<u8>>, http::Error>,
        message: impl FnOnce(Answer) -> Message + Send + 'static,
    ) {
        let (client, messages, requests) = (self.client.clone(), self.messages.clone(), self.requests.clone());
        tokio::spawn(async move {
            let _permit = requests.acquire_owned().await;
            let answer = match request {
                Ok(request) => answer(client.request::<Pod>(request).await),
                Err(error) => Answer::Failed(error.to_string()),
            };
            if let Answer::Failed(message) = &answer {
                tracing::warn!(%message, "the API server refused a request of the node");
            }
            let _ = messages.send(message(answer)).await;
        });
    }
}

fn path(pod: &PodRef) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
}

fn answer(result: Result<Pod, kube::Error>) -> Answer {
    match result {
        // A deletion that is final is answered with a Status, which reads as a pod without a name.
        Ok(pod) if pod.metadata.name.is_some() => Answer::Accepted(Some(Arc::new(pod))),
        Ok(_) => Answer::Accepted(None),
        Err(kube::Error::Api(status)) if status.code == 404 => Answer::Missing,
        Err(kube::Error::SerdeError(_)) => Answer::Accepted(None),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

/// The decision in the bytes a header may hold.
fn header_text(mut decision: Decision) -> String {
    let mut text = ascii(&decision);
    if text.len() > DECISION_BYTES {
        decision.wake.truncate(1);
        decision.unmet.truncate(DETAILS_KEPT);
        decision.commands.truncate(DETAILS_KEPT);
        decision.unmet.iter_mut().for_each(|unmet| unmet.detail = unmet.detail.chars().take(256).collect());
        text = ascii(&decision);
    }
    text
}

/// JSON in ASCII alone: every other character escaped as JSON allows.
fn ascii(decision: &Decision) -> String {
    let text = serde_json::to_string(decision).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            escaped.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_crosses_a_header_unharmed() {
        let decision = Decision {
            operator: "node/小舟".to_owned(),
            object: "pods/default/🚣".to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            wake: Vec::new(),
            snapshot: 7,
            from: "Starting".to_owned(),
            to: "Ready".to_owned(),
            guards: vec!["every container is ready".to_owned()],
            unmet: Vec::new(),
            commands: Vec::new(),
            reads: Vec::new(),
        };
        let text = header_text(decision.clone());
        assert!(http::HeaderValue::from_str(&text).is_ok_and(|value| value.to_str().is_ok()));
        assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    }
}
