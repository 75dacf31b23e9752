//! Pods on Docker.
//!
//! Each pod has a sandbox, a container that does nothing but hold the network, IPC and host name; the pod's containers join
//! it. Everything a restarted node must know of a container is in its name and labels.

mod ask;
mod binds;
mod container;
mod files;
mod grpc;
mod image;
mod logs;
mod names;
mod network;
mod observe;
mod sandbox;
mod setup;
mod subpath;
mod tls;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch as channel};

use self::files::PodFiles;
pub use self::files::host_address;
use self::network::PodNetwork;
use self::sandbox::{Progress, blocking};
pub use self::setup::{clusters, remove_everything};
pub use self::watch::Holding;
use super::Runtime;
use crate::host::PodRef;
use crate::logs::Logs;
use crate::pod::probe::ProbeOrder;
use crate::pod::{Command, Exit, Outcome, Refusal, Sandbox, Uid};

/// Calls that create, start or remove containers at one time: more only make Docker slower.
pub const CALLS_AT_ONCE: usize = 8;
/// How long a container may wait for its sandbox.
const SANDBOX_LIMIT: Duration = Duration::from_secs(120);

/// Pods on Docker.
pub struct Docker {
    api: bollard::Docker,
    /// The same for calls that take as long as a container takes to stop.
    patient: bollard::Docker,
    cluster: String,
    node: String,
    /// Docker's name of the pod network.
    network: String,
    /// The same, where the node plugs pods in itself.
    plugs: Option<PodNetwork>,
    host_ip: String,
    /// The pods' network, where it is one of IPv4.
    shown: Option<network::Shown>,
    /// Whether other nodes lead to its pods.
    is_routed: bool,
    pause_image: String,
    files: PodFiles,
    /// The cluster's name server, once it is open.
    resolver: OnceLock<IpAddr>,
    volumes: PathBuf,
    logs: Logs,
    least_oom_score: i64,
    calls: Arc<Semaphore>,
    /// Containers this node is starting: Docker tells of it, and there is nothing to learn.
    own_starts: Mutex<BTreeSet<String>>,
    sandboxes: Mutex<BTreeMap<Uid, (u32, channel::Sender<Progress>)>>,
    pulls: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Itself, for the futures it hands out.
    this: std::sync::Weak<Docker>,
}

/// The wall clock, read in the shell only.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// How a run ended that Docker no longer knows.
fn lost() -> Exit {
    Exit::of(137, now())
}

impl Docker {
    /// The client for logs, exec, attach and statistics.
    pub fn client(&self) -> &bollard::Docker {
        &self.patient
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.calls.clone().acquire_owned().await.ok()
    }

    async fn list(&self, filter: &HashMap<String, Vec<String>>) -> Result<Vec<ContainerSummary>, Error> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(filter).build();
        self.api.list_containers(Some(options)).await
    }

    fn tell_progress(&self, pod: &PodRef, attempt: u32, progress: Progress) {
        let mut sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        match sandboxes.get(&pod.uid) {
            Some((known, sender)) if *known == attempt => {
                sender.send_replace(progress);
            }
            _ => {
                sandboxes.insert(pod.uid.clone(), (attempt, channel::Sender::new(progress)));
            }
        }
    }

    fn own_starts(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.own_starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_address(&self, pod: &PodRef) -> Option<String> {
        let sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = sandboxes.get(&pod.uid)?.1.borrow().clone();
        if let Progress::Running(Sandbox { address, .. }) = progress { address } else { None }
    }

    /// Waits until the sandbox has come far enough.
    async fn await_sandbox(
        &self,
        pod: &PodRef,
        attempt: u32,
        enough: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, String> {
        let known = {
            let sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
            sandboxes.get(&pod.uid).filter(|(known, _)| *known == attempt).map(|(_, sender)| sender.subscribe())
        };
        let mut receiver = known.ok_or_else(|| "the pod's sandbox is not there".to_owned())?;
        let settled = receiver.wait_for(|progress| enough(progress) || matches!(progress, Progress::Failed(_)));
        match tokio::time::timeout(SANDBOX_LIMIT, settled).await {
            Ok(Ok(progress)) => match progress.clone() {
                Progress::Failed(message) => Err(format!("the pod's sandbox failed: {message}")),
                progress => Ok(progress),
            },
            Ok(Err(_)) | Err(_) => Err("the pod's sandbox did not come up".to_owned()),
        }
    }

    async fn ensure_image(&self, image: &str, policy: &str, attempt: u32) -> Outcome {
        let turn = {
            let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
            pulls.retain(|_, turn| Arc::strong_count(turn) > 1);
            pulls.entry(image.to_owned()).or_default().clone()
        };
        let _turn = turn.lock().await;
        image::ensure(&self.api, image, policy, attempt).await
    }

    async fn clear(&self, pod: &PodRef) -> Outcome {
        let refused = |message: String| Outcome::Refused(Refusal { reason: "RemoveError".to_owned(), message });
        let containers =
            match self.list(&names::filter(&[(names::CLUSTER, &self.cluster), (names::POD_UID, &pod.uid.0)])).await {
                Ok(containers) => containers,
                Err(error) => return refused(error.to_string()),
            };
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let ids = containers.into_iter().filter_map(|container| container.id);
        let removals = futures::stream::iter(ids).map(|id| {
            let options = options.clone();
            async move {
                self.finish_log(&id).await;
                let _permit = self.permit().await;
                self.api.remove_container(&id, Some(options)).await
            }
        });
        let results: Vec<Result<(), Error>> = removals.buffer_unordered(CALLS_AT_ONCE).collect().await;
        for result in results {
            match result {
                Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
                Err(error) => return refused(error.to_string()),
            }
        }
        let (files, uid) = (self.files.clone(), pod.uid.clone());
        if let Err(message) =
            blocking(move || files.remove(&uid).map_err(|error| format!("failed to remove files: {error}"))).await
        {
            return refused(message);
        }
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&pod.uid);
        if let Some(network) = &self.plugs {
            network.release(&pod.uid);
        }
        Outcome::Done(None)
    }

    async fn carry_out(&self, pod: PodRef, command: Command) -> Outcome {
        match command {
            Command::PrepareVolumes { volumes, digest } => {
                let (files, uid) = (self.files.clone(), pod.uid.clone());
                match blocking(move || files.write_volumes(&uid, &volumes)).await {
                    Ok(()) => Outcome::VolumesReady(digest),
                    Err(message) => Outcome::Refused(Refusal { reason: "FailedMount".to_owned(), message }),
                }
            }
            Command::StartSandbox(spec) => self.start_sandbox(&pod, &spec).await,
            Command::EnsureImage { image, policy, attempt, .. } => self.ensure_image(&image, &policy, attempt).await,
            Command::StartContainer(spec) => self.start_container(&pod, &spec).await,
            Command::StopContainer { id, grace_seconds, hook, .. } => {
                self.stop_container(&pod, &id, grace_seconds, hook.as_ref()).await
            }
            Command::KillContainer { id, .. } => self.kill_container(&id).await,
            Command::ResizeContainer { id, bounds, .. } => self.resize_container(&id, bounds).await,
            Command::RemoveContainer { id, .. } => self.remove_container(&id).await,
            Command::StopSandbox => self.stop_sandbox(&pod).await,
            Command::Clear => self.clear(&pod).await,
        }
    }
}

impl Runtime for Docker {
    fn run(&self, pod: PodRef, command: Command) -> BoxFuture<'static, Outcome> {
        if let Command::StartSandbox(spec) = &command {
            // Noted before anything is awaited, so that a container started right after finds what to wait for.
            self.tell_progress(&pod, spec.attempt, Progress::Awaited);
        }
        let this = self.this.upgrade();
        async move {
            match this {
                Some(this) => this.carry_out(pod, command).await,
                None => {
                    Outcome::Refused(Refusal { reason: "Stopped".to_owned(), message: "the node stops".to_owned() })
                }
            }
        }
        .boxed()
    }

    fn probe(&self, _: PodRef, order: ProbeOrder) -> BoxFuture<'static, Result<(), String>> {
        let this = self.this.upgrade();
        async move {
            let Some(this) = this else { return Err("the node stops".to_owned()) };
            let limit = Duration::from_secs(u64::from(order.timeout_seconds));
            this.ask_within(&order.container_id, &order.target, limit).await
        }
        .boxed()
    }
}
