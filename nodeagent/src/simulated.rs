//! Nodes that run pods in memory only.

use std::sync::Arc;

use futures::StreamExt;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::NodeError;
use crate::host::Host;
use crate::kubelet::KubeletApi;
use crate::pod::NodeFacts;
use crate::requests::NodeDescription;
use crate::runtime::simulated::SimulatedRuntime;
use crate::shell::{self, Asker, Disposal, Scope, Shell};

/// CPUs of a simulated node.
const CPUS: i64 = 8;
/// Bytes of memory of a simulated node.
const MEMORY_BYTES: i64 = 32 << 30;
/// Bytes of disk of a simulated node.
const DISK_BYTES: i64 = 256 << 30;
/// Where a simulated node says it keeps volumes: nothing is ever written there.
const VOLUMES: &str = "/var/lib/sampan/volumes";
/// How often each Lease is renewed: the nodes spread theirs over this time.
const LEASE_PERIOD: SignedDuration = SignedDuration::from_secs(10);

/// Nodes that run pods in memory only: the same pod machine and the same HTTP path, another runtime.
///
/// They share one watch of pods, one set of timers and one queue of statuses.
pub struct SimulatedNodes {
    client: kube::Client,
    names: Vec<String>,
    shell: Shell,
    asker: Asker,
}

impl SimulatedNodes {
    /// `count` nodes named `sim-0` to `sim-<count-1>`.
    pub fn new(count: usize, client: kube::Client) -> Self {
        let names: Vec<String> = (0..count).map(|index| format!("sim-{index}")).collect();
        let facts = names.iter().map(|name| NodeFacts {
            name: name.clone(),
            host_ip: "127.0.0.1".to_owned(),
            allocatable_milli_cpu: CPUS * 1000,
            allocatable_memory: MEMORY_BYTES,
            volumes: VOLUMES.into(),
        });
        let runtime = Arc::new(SimulatedRuntime::new(shell::now));
        let (shell, _, asker) = Shell::new(Host::new(facts, false), runtime, client.clone(), None);
        Self { client, names, shell, asker }
    }

    /// The nodes' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What the API server talks to for logs and exec on one of these nodes: it says that there is nothing behind a pod.
    pub fn kubelet_api(&self, node: &str) -> Arc<KubeletApi> {
        Arc::new(KubeletApi::of_simulated(node.to_owned(), self.asker.clone()))
    }

    /// Registers the nodes and runs their pods until `shutdown`.
    ///
    /// # Errors
    /// None today; every request is retried.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), NodeError> {
        let stop = shutdown.child_token();
        let count = i32::try_from(self.names.len()).unwrap_or(i32::MAX).max(1);
        let keepers = self.names.iter().zip(0i32..).map(|(name, index)| {
            shell::register(self.client.clone(), describe(name, LEASE_PERIOD * index / count), stop.clone())
        });
        let keepers: futures::stream::FuturesUnordered<_> = keepers.collect();
        let leases = tokio::spawn(keepers.for_each(|()| async {}));
        let disposing = tokio::spawn(Disposal::of_nothing().run(self.client.clone(), stop.clone()));
        self.shell.run(Scope::EveryNode, shutdown).await;
        stop.cancel();
        let _ = tokio::join!(leases, disposing);
        Ok(())
    }
}

fn describe(name: &str, lease_offset: SignedDuration) -> NodeDescription {
    NodeDescription {
        name: name.to_owned(),
        host_ip: "127.0.0.1".to_owned(),
        cpus: CPUS,
        memory_bytes: MEMORY_BYTES,
        disk_bytes: DISK_BYTES,
        kubelet_port: None,
        runtime_version: "simulated://".to_owned() + env!("CARGO_PKG_VERSION"),
        os_image: "simulated".to_owned(),
        kernel_version: String::new(),
        machine_id: name.to_owned(),
        boot_id: name.to_owned(),
        simulated: true,
        volumes: VOLUMES.into(),
        lease_offset,
    }
}
