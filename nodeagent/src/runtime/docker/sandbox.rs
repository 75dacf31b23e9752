//! The sandbox of a pod: the container that holds its namespaces.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};

use super::observe::{self, Seen};
use super::{Docker, image, names};
use crate::host::PodRef;
use crate::pod::{Outcome, Refusal, Sandbox, SandboxSpec};

/// A sandbox is spared when memory runs out: its end would be every container's.
const SANDBOX_OOM_SCORE: i64 = -998;

/// How far a sandbox has come.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// It does not exist yet.
    Awaited,
    /// It exists: containers may be created that join it.
    Created,
    /// It runs: they may be started.
    Running(Sandbox),
    /// It could not be made.
    Failed(String),
}

impl Docker {
    /// Makes the sandbox and tells those who wait how far it has come.
    pub(super) async fn start_sandbox(&self, pod: &PodRef, spec: &SandboxSpec) -> Outcome {
        match self.make_sandbox(pod, spec).await {
            Ok(sandbox) => {
                self.tell_progress(pod, spec.attempt, Progress::Running(sandbox.clone()));
                Outcome::SandboxRunning(sandbox)
            }
            Err(message) => {
                self.tell_progress(pod, spec.attempt, Progress::Failed(message.clone()));
                Outcome::Refused(Refusal { reason: "CreatePodSandboxError".to_owned(), message })
            }
        }
    }

    async fn make_sandbox(&self, pod: &PodRef, spec: &SandboxSpec) -> Result<Sandbox, String> {
        let text = |error: Error| error.to_string();
        if spec.attempt > 0 {
            self.remove_earlier_sandboxes(pod, spec.attempt).await;
        }
        let (files, uid, server, shared) =
            (self.files.clone(), pod.uid.clone(), self.resolver.get().copied(), spec.clone());
        blocking(move || files.write_shared(&uid, &shared, server, None).map_err(|error| error.to_string())).await?;
        let leased = self.leased(pod, spec);
        let body = self.sandbox_body(pod, spec, leased);
        let id = self.create(&names::sandbox(pod, spec.attempt), body).await.map_err(text)?;
        self.tell_progress(pod, spec.attempt, Progress::Created);
        let permit = self.permit().await;
        self.api.start_container(&id, None).await.map_err(text)?;
        drop(permit);
        let seen = observe::look(&self.api, &self.files, &id).await.map_err(text)?;
        let Some(Seen::Sandbox(_, mut sandbox, process)) = seen else {
            return Err("the sandbox vanished as it was started".to_owned());
        };
        if let (Some(network), Some(address)) = (&self.plugs, leased) {
            network.plug(&id, process, address).await?;
        }
        if spec.host_network {
            sandbox.address = Some(self.host_ip.clone());
        }
        let address = sandbox.address.clone();
        let (files, uid, server, shared) =
            (self.files.clone(), pod.uid.clone(), self.resolver.get().copied(), spec.clone());
        let write = move || files.write_shared(&uid, &shared, server, address.as_deref());
        blocking(move || write().map_err(|error| error.to_string())).await?;
        Ok(sandbox)
    }

    /// The address of a pod the node gives its network itself.
    fn leased(&self, pod: &PodRef, spec: &SandboxSpec) -> Option<Ipv4Addr> {
        let is_plain = !spec.host_network && spec.ports.is_empty();
        self.plugs.as_ref().filter(|_| is_plain)?.lease(&pod.uid)
    }

    async fn remove_earlier_sandboxes(&self, pod: &PodRef, attempt: u32) {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        for earlier in (0..attempt).rev().take(2) {
            let _ = self.api.remove_container(&names::sandbox(pod, earlier), Some(options.clone())).await;
        }
    }

    fn sandbox_body(&self, pod: &PodRef, spec: &SandboxSpec, leased: Option<Ipv4Addr>) -> ContainerCreateBody {
        let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
        for port in &spec.ports {
            let key = format!("{}/{}", port.container_port, port.protocol);
            let binding = PortBinding { host_ip: port.host_ip.clone(), host_port: Some(port.host_port.to_string()) };
            bindings.entry(key).or_insert_with(|| Some(Vec::new())).get_or_insert_default().push(binding);
        }
        let network = match leased {
            _ if spec.host_network => "host".to_owned(),
            Some(_) => "none".to_owned(),
            None => self.network.clone(),
        };
        let mut labels = names::labels(&self.cluster, pod, "sandbox", spec.attempt);
        labels.extend(leased.map(|address| (names::ADDRESS.to_owned(), address.to_string())));
        let sysctls: HashMap<String, String> = spec.sysctls.clone().into_iter().collect();
        ContainerCreateBody {
            image: Some(self.pause_image.clone()),
            entrypoint: Some(vec![image::PAUSE_PATH.to_owned()]),
            hostname: (!spec.host_network).then(|| spec.hostname.clone()),
            exposed_ports: Some(bindings.keys().cloned().collect()),
            labels: Some(labels),
            host_config: Some(HostConfig {
                network_mode: Some(network),
                ipc_mode: Some("shareable".to_owned()),
                port_bindings: Some(bindings),
                sysctls: (!sysctls.is_empty()).then_some(sysctls),
                oom_score_adj: Some(SANDBOX_OOM_SCORE.max(self.least_oom_score)),
                cpu_shares: Some(2),
                log_config: Some(super::container::log_config()),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// Creates a container; one left of the same name by an attempt that was cut short is removed first.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Error> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let permit = self.permit().await;
        let made = self.api.create_container(Some(options.clone()), body.clone()).await;
        let made = match made {
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => {
                let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                self.api.remove_container(name, Some(force)).await?;
                self.api.create_container(Some(options), body).await
            }
            made => made,
        };
        drop(permit);
        made.map(|response| response.id)
    }

    /// Ends the sandbox of a pod that has ended.
    pub(super) async fn stop_sandbox(&self, pod: &PodRef) -> Outcome {
        let filter =
            names::filter(&[(names::CLUSTER, &self.cluster), (names::POD_UID, &pod.uid.0), (names::KIND, "sandbox")]);
        let kill = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        for summary in self.list(&filter).await.unwrap_or_default() {
            let Some(id) = summary.id else { continue };
            let _ = self.api.kill_container(&id, Some(kill.clone())).await;
        }
        Outcome::Done(None)
    }
}

/// Runs file work beside the event loop.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("the node's file work was interrupted".to_owned()))
}
