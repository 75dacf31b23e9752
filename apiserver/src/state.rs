//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sampan_core::Timestamp;
use sampan_core::gateway::{Attributes, Cluster};
use sampan_core::resource::Registry;
use sampan_core::status::Status;
use sampan_core::store::Snapshot;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::aggregator::Aggregator;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::node::NodeConnector;
use crate::pins::Pins;
use crate::turns::Turns;

/// Streams at once between clients and containers (exec, attach, port-forward): each is two connections.
const STREAMS_MAX: usize = 512;

/// What all requests share.
pub(crate) struct State {
    pub(crate) cluster: Cluster,
    pub(crate) aggregator: Aggregator,
    pub(crate) nodes: Arc<dyn NodeConnector>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) pins: Pins,
    pub(crate) turns: Turns,
    pub(crate) streams: Arc<Semaphore>,
    watches: AtomicU64,
    proxied: AtomicUsize,
}

impl State {
    pub(crate) fn new(cluster: Cluster, nodes: Arc<dyn NodeConnector>, shutdown: CancellationToken) -> Self {
        Self {
            cluster,
            aggregator: Aggregator::default(),
            nodes,
            shutdown,
            health: Health::default(),
            metrics: Metrics::default(),
            pins: Pins::default(),
            turns: Turns::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            watches: AtomicU64::new(0),
            proxied: AtomicUsize::new(0),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.cluster.now()
    }

    /// The resource types served.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.cluster.registry()
    }

    /// The cluster as it is.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.cluster.snapshot()
    }

    /// Whether the caller may do that.
    pub(crate) fn authorize(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        self.cluster.gateway().authorize(&self.snapshot(), attributes)
    }

    /// Everything `/metrics` shows.
    pub(crate) fn metrics_text(&self) -> String {
        let mut text = self.metrics.text(&self.cluster);
        for part in self.health.parts() {
            part.write_metrics(&mut text);
        }
        text
    }

    /// One of so many servers, each in its turn.
    pub(crate) fn turn_among(&self, servers: usize) -> usize {
        self.proxied.fetch_add(1, Ordering::Relaxed) % servers.max(1)
    }

    /// A number that no other watch has.
    pub(crate) fn next_watch(&self) -> u64 {
        self.watches.fetch_add(1, Ordering::Relaxed)
    }
}
