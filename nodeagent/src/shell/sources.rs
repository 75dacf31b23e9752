//! The config maps, secrets, tokens and claims our pods refer to, each kept up to date while a pod refers to it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::claims::follow_claim;
use super::tokens::keep_token;
use crate::host::Message;
use crate::pod::source::{Data, SourceKey, SourceKind, config_map_data, secret_data};
use crate::services::{Directory, links};

/// The watches under way.
pub(super) struct SourceWatches {
    client: kube::Client,
    messages: mpsc::Sender<Message>,
    directory: Option<Arc<Directory>>,
    shutdown: CancellationToken,
    watches: BTreeMap<SourceKey, CancellationToken>,
}

impl SourceWatches {
    /// Without a directory pods are told of no Services.
    pub(super) fn new(
        client: kube::Client,
        messages: mpsc::Sender<Message>,
        directory: Option<Arc<Directory>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { client, messages, directory, shutdown, watches: BTreeMap::new() }
    }

    /// Tells of an object until it is no longer asked for; what is known already is told at once.
    pub(super) fn watch(&mut self, key: SourceKey) -> Option<Message> {
        let stop = self.shutdown.child_token();
        self.watches.insert(key.clone(), stop.clone());
        let (client, messages) = (self.client.clone(), self.messages.clone());
        let telling = match key.kind {
            SourceKind::ConfigMap => tell::<ConfigMap>(client, key, messages, config_map_data).boxed(),
            SourceKind::Secret => tell::<Secret>(client, key, messages, secret_data).boxed(),
            SourceKind::Claim => follow_claim(client, key, messages).boxed(),
            SourceKind::Token => keep_token(client, key, messages).boxed(),
            SourceKind::Services => return self.watch_services(key, stop),
        };
        tokio::spawn(stop.run_until_cancelled_owned(telling));
        None
    }

    fn watch_services(&self, key: SourceKey, stop: CancellationToken) -> Option<Message> {
        let Some(directory) = self.directory.clone() else { return Some(Message::Source(key, Some(Arc::default()))) };
        let told = variables(&directory, &key);
        let telling = tell_services(directory, key.clone(), told.clone(), self.messages.clone());
        tokio::spawn(stop.run_until_cancelled_owned(telling));
        told.map(|told| Message::Source(key, Some(told)))
    }

    /// No pod refers to the object any more.
    pub(super) fn unwatch(&mut self, key: &SourceKey) {
        if let Some(stop) = self.watches.remove(key) {
            stop.cancel();
        }
    }
}

/// The variables of the Services a key names, once every Service is known.
fn variables(directory: &Directory, key: &SourceKey) -> Option<Arc<Data>> {
    directory.read(|known| links::variables(known, &key.namespace, &key.name)).map(Arc::new)
}

/// Tells of them whenever they are others than those `told`.
async fn tell_services(
    directory: Arc<Directory>,
    key: SourceKey,
    mut told: Option<Arc<Data>>,
    messages: mpsc::Sender<Message>,
) {
    let mut changes = directory.follow();
    while let Some(changed) = changes.recv().await {
        let concerned = changed.services.iter().any(|(namespace, _)| *namespace == key.namespace);
        if told.is_some() && !concerned {
            continue;
        }
        let known = variables(&directory, &key);
        if known.is_none() || known == told {
            continue;
        }
        told.clone_from(&known);
        if messages.send(Message::Source(key.clone(), known)).await.is_err() {
            return;
        }
    }
}

async fn tell<K>(client: kube::Client, key: SourceKey, messages: mpsc::Sender<Message>, data: fn(&K) -> Data)
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let api = Api::<K>::namespaced(client, &key.namespace);
    let mut seen = std::pin::pin!(watch_object(api, &key.name).default_backoff());
    while let Some(result) = seen.next().await {
        match result {
            Ok(object) => {
                let data = object.as_ref().map(|object| Arc::new(data(object)));
                if messages.send(Message::Source(key.clone(), data)).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, name = %key.name, "the watch of a {} broke", key.kind.noun()),
        }
    }
}
