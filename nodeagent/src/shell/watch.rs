//! The pods bound to our nodes, watched.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::host::Message;
use crate::pod::Uid;

/// Whose pods are watched.
pub(crate) enum Scope {
    /// Those of one node.
    Node(String),
    /// Those of every node: many simulated nodes share one watch.
    EveryNode,
}

/// Tells of every pod of `scope` until `shutdown`.
pub(super) async fn pods(
    client: kube::Client,
    scope: Scope,
    messages: mpsc::Sender<Message>,
    shutdown: CancellationToken,
) {
    let config = match scope {
        Scope::Node(name) => Config::default().fields(&format!("spec.nodeName={name}")),
        Scope::EveryNode => Config::default(),
    };
    let mut events = std::pin::pin!(watcher(Api::<Pod>::all(client), config).default_backoff());
    let mut listed = BTreeSet::new();
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        let message = match event {
            None => return,
            Some(Err(error)) => {
                tracing::debug!(%error, "the watch of pods broke; asking again");
                continue;
            }
            Some(Ok(Event::Init)) => {
                listed.clear();
                continue;
            }
            Some(Ok(Event::InitApply(pod))) => {
                listed.insert(Uid::of(&pod));
                Message::Pod(Arc::new(pod))
            }
            Some(Ok(Event::Apply(pod))) => Message::Pod(Arc::new(pod)),
            Some(Ok(Event::Delete(pod))) => Message::PodGone(Uid::of(&pod)),
            Some(Ok(Event::InitDone)) => Message::Listed(std::mem::take(&mut listed)),
        };
        if messages.send(message).await.is_err() {
            return;
        }
    }
}
