//! The pods bound to our nodes, watched.

use futures::StreamExt;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::lean::LeanPod;
use crate::host::{Listing, Message};

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
    let mut events = std::pin::pin!(watcher(Api::<LeanPod>::all(client), config).default_backoff());
    let mut listing = Listing::default();
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
            Some(Ok(event)) => listing.take(event),
        };
        let Some(message) = message else { continue };
        if messages.send(message).await.is_err() {
            return;
        }
    }
}
