//! Statuses and deletions, sent to the API server.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Semaphore, mpsc};

use super::lean::LeanPod;
use crate::host::{Answer, Message, PodRef, StatusPost};
use crate::requests::{self, ApiRequest};

/// Requests under way at one time.
const REQUESTS_AT_ONCE: usize = 64;

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
        tracing::debug!(pod = %post.pod.name, patch = %post.patch, "telling the status");
        self.send(requests::status(post), move |answer| Message::Posted(uid, answer));
    }

    /// Deletes an object of which nothing is left here.
    pub(super) fn delete(&self, pod: PodRef) {
        self.send(requests::deletion(&pod), move |answer| Message::Deleted(pod.uid, answer));
    }

    fn send(&self, request: Result<ApiRequest, http::Error>, message: impl FnOnce(Answer) -> Message + Send + 'static) {
        let (client, messages, requests) = (self.client.clone(), self.messages.clone(), self.requests.clone());
        tokio::spawn(async move {
            let _permit = requests.acquire_owned().await;
            let answer = match request {
                Ok(request) => answer(client.request_text(request).await),
                Err(error) => Answer::Failed(error.to_string()),
            };
            if let Answer::Failed(message) = &answer {
                tracing::warn!(%message, "the API server refused a request of the node");
            }
            let _ = messages.send(message(answer)).await;
        });
    }
}

fn answer(result: Result<String, kube::Error>) -> Answer {
    match result {
        Ok(text) => {
            // A deletion that is final is answered with a Status, which is no pod.
            let pod = serde_json::from_str::<LeanPod>(&text).ok().map(Pod::from);
            Answer::Accepted(pod.filter(|pod| pod.metadata.name.is_some()).map(Arc::new))
        }
        Err(kube::Error::Api(status)) => requests::refused(status.code, status.message.clone()),
        Err(error) => Answer::Failed(error.to_string()),
    }
}
