//! A node's object and its Lease, kept at the API server.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{now, until};
use crate::requests::{NodeDescription, Registration};

/// A file's text without its end of line; nothing where it cannot be read.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Registers a node and keeps its Lease and status alive until `shutdown`.
pub(crate) async fn register(client: kube::Client, node: NodeDescription, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keep(&client, node) => {}
    }
}

async fn keep(client: &kube::Client, node: NodeDescription) {
    let name = node.name.clone();
    let mut registration = Registration::new(node, now());
    loop {
        until(registration.wake_at()).await;
        let Some(request) = registration.begin(now()) else {
            // The clock was set back: its next moment is not far.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let outcome = client.request_text(request).await;
        if let Err(error) = &outcome {
            tracing::debug!(node = %name, %error, "the API server refused a request of the node");
        }
        registration.answered(outcome.map(drop).map_err(|error| code(&error)), now());
    }
}

/// The code of a refusal; 0 where nobody answered.
fn code(error: &kube::Error) -> u16 {
    if let kube::Error::Api(status) = error { status.code } else { 0 }
}
