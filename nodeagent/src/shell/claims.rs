//! The claims our pods mount: followed until they are bound, each told with what its volume says of where the data is.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use tokio::sync::mpsc;

use crate::host::Message;
use crate::pod::claim;
use crate::pod::source::{Data, SourceKey};

/// How long to wait before a volume is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Tells of a claim and its volume until nobody listens.
pub(super) async fn follow_claim(client: kube::Client, key: SourceKey, messages: mpsc::Sender<Message>) {
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &key.namespace);
    let mut seen = std::pin::pin!(watch_object(claims, &key.name).default_backoff());
    while let Some(result) = seen.next().await {
        let data = match result {
            Ok(None) => None,
            Ok(Some(claim)) => Some(Arc::new(resolve(&client, &claim).await)),
            Err(error) => {
                tracing::debug!(%error, name = %key.name, "the watch of a claim broke");
                continue;
            }
        };
        if messages.send(Message::Source(key.clone(), data)).await.is_err() {
            return;
        }
    }
}

/// What the claim leads to. Which volume it has never changes, nor where that is: it is asked for once.
async fn resolve(client: &kube::Client, claim: &PersistentVolumeClaim) -> Data {
    let Some(name) = claim::volume_of(claim) else { return claim::data(claim, None) };
    loop {
        match Api::<PersistentVolume>::all(client.clone()).get_opt(name).await {
            Ok(volume) => return claim::data(claim, volume.as_ref()),
            Err(error) => tracing::debug!(%error, volume = %name, "the API server did not tell of a volume"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
