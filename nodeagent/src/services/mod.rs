//! The Services of the cluster and their endpoints, as this node knows them: watched once, for all who ask.
//!
//! ```text
//!                           ┌──► proxy: rules in the kernel
//! API server ──► Directory ─┼──► dns: names
//!                           └──► environment variables of containers
//! ```

pub mod known;
pub mod links;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

pub use self::known::{Changed, Known, News};

/// Namespace and name of a Service.
pub type ServiceKey = (String, String);

/// Events taken in at one time.
const EVENTS_AT_ONCE: usize = 256;

/// What is known, and who wants to be told of changes.
#[derive(Debug, Default)]
pub struct Directory {
    known: RwLock<Known>,
    followers: Mutex<Vec<UnboundedSender<Arc<Changed>>>>,
}

impl Directory {
    /// Looks something up.
    pub fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known already, as one change, and every change after it. An empty one tells that everything has been shown.
    pub fn follow(&self) -> UnboundedReceiver<Arc<Changed>> {
        let (sender, receiver) = unbounded_channel();
        let mut followers = self.followers();
        // The receiver is at hand: it takes everything.
        let _ = sender.send(Arc::new(self.read(Known::everything)));
        followers.push(sender);
        receiver
    }

    fn followers(&self) -> MutexGuard<'_, Vec<UnboundedSender<Arc<Changed>>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was told, and tells whoever follows.
    pub fn take(&self, news: impl IntoIterator<Item = News>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let was_complete = known.is_complete();
        news.into_iter().for_each(|news| known.take(news));
        let (changed, is_complete) = (known.take_changes(), known.is_complete());
        drop(known);
        if !changed.is_empty() || is_complete != was_complete {
            let changed = Arc::new(changed);
            self.followers().retain(|follower| follower.send(changed.clone()).is_ok());
        }
    }

    /// Keeps it up to date until `shutdown`.
    pub async fn keep(&self, client: kube::Client, shutdown: CancellationToken) {
        let services = watcher(Api::<Service>::all(client.clone()), Config::default());
        let services = told(services, |event| News::Service(Box::new(event)));
        let slices = watcher(Api::<EndpointSlice>::all(client), Config::default());
        let slices = told(slices, |event| News::Slice(Box::new(event)));
        let mut news = futures::stream::select(services, slices).ready_chunks(EVENTS_AT_ONCE);
        while let Some(Some(news)) = shutdown.run_until_cancelled(news.next()).await {
            self.take(news);
        }
    }
}

/// The objects of a watch, as news; the watch asks again by itself when it breaks.
fn told<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    news: fn(Event<K>) -> News,
) -> impl Stream<Item = News> + Send + Unpin {
    let told = events.default_backoff().filter_map(move |event| async move {
        match event {
            Ok(event) => Some(news(event)),
            Err(error) => {
                tracing::debug!(%error, "the watch of Services broke; asking again");
                None
            }
        }
    });
    Box::pin(told)
}
