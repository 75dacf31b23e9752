//! What a pod asks of the runtime, and what the runtime answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, SecurityContext};

use super::probe::Target;
use super::resize::Bounds;
use super::situation::{ContainerRecord, Exit, Sandbox};
use super::volume::VolumePlan;

/// What a container does right after its start or before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// Run a command in it, or send a request to it.
    Ask(Target),
    /// Wait this many seconds.
    Sleep(u64),
}

/// What is at most once under way for a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Writing the volumes.
    Volumes,
    /// Making the sandbox.
    Sandbox,
    /// Finding or pulling an image.
    Image {
        /// The container that needs it.
        container: String,
        /// The image's reference: by the time it is answered the container may name another.
        image: String,
    },
    /// Creating and starting the container named.
    Start(String),
    /// Stopping the container named.
    Stop(String),
    /// Killing the container named, whose time is up.
    Kill(String),
    /// Giving the container named other bounds.
    Resize(String),
    /// Removing the dead run with this identifier.
    Remove(String),
    /// Stopping the sandbox of a pod that has ended.
    StopSandbox,
    /// Removing all there is.
    Clear,
}

impl Operation {
    /// Finding or pulling the image `container` names now.
    pub fn image_of(container: &Container) -> Self {
        Self::Image { container: container.name.clone(), image: container.image.clone().unwrap_or_default() }
    }
}

/// An order to the runtime.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Write the volumes' directories and files.
    PrepareVolumes {
        /// What to write, by volume.
        volumes: Vec<VolumePlan>,
        /// The digest of `volumes`.
        digest: u64,
    },
    /// Make the sandbox, replacing a dead one.
    StartSandbox(Box<SandboxSpec>),
    /// See that an image is present, pulling by policy.
    EnsureImage {
        /// The container that needs it.
        container: String,
        /// The image's reference.
        image: String,
        /// `Always`, `IfNotPresent` or `Never`.
        policy: String,
        /// The run it is needed for.
        attempt: u32,
    },
    /// Create and start a container.
    StartContainer(Box<ContainerSpec>),
    /// Run the hook, send SIGTERM, and SIGKILL after the grace.
    StopContainer {
        /// The container's name.
        container: String,
        /// The runtime's identifier.
        id: String,
        /// Seconds from now until SIGKILL, the hook included.
        grace_seconds: i64,
        /// Runs before SIGTERM.
        hook: Option<Hook>,
        /// What a reader of the events is told.
        because: String,
    },
    /// Send SIGKILL.
    KillContainer {
        /// The container's name.
        container: String,
        /// The runtime's identifier.
        id: String,
    },
    /// Change what a container that runs gets of its node.
    ResizeContainer {
        /// The container's name.
        container: String,
        /// The runtime's identifier.
        id: String,
        /// What it is to get.
        bounds: Bounds,
    },
    /// Remove a dead run.
    RemoveContainer {
        /// The container's name.
        container: String,
        /// The runtime's identifier.
        id: String,
    },
    /// Stop the sandbox; the dead containers stay for their logs.
    StopSandbox,
    /// Remove containers, sandbox, volumes.
    Clear,
}

impl Command {
    /// What is under way while this is carried out.
    pub fn operation(&self) -> Operation {
        match self {
            Self::PrepareVolumes { .. } => Operation::Volumes,
            Self::StartSandbox(_) => Operation::Sandbox,
            Self::EnsureImage { container, image, .. } => {
                Operation::Image { container: container.clone(), image: image.clone() }
            }
            Self::StartContainer(spec) => Operation::Start(spec.name.clone()),
            Self::StopContainer { container, .. } => Operation::Stop(container.clone()),
            Self::KillContainer { container, .. } => Operation::Kill(container.clone()),
            Self::ResizeContainer { container, .. } => Operation::Resize(container.clone()),
            Self::RemoveContainer { id, .. } => Operation::Remove(id.clone()),
            Self::StopSandbox => Operation::StopSandbox,
            Self::Clear => Operation::Clear,
        }
    }

    /// The verb and the object, for a decision.
    pub fn describe(&self) -> (&'static str, String) {
        match self {
            Self::PrepareVolumes { .. } => ("prepare volumes", String::new()),
            Self::StartSandbox(_) => ("start sandbox", String::new()),
            Self::EnsureImage { image, .. } => ("ensure image", image.clone()),
            Self::StartContainer(spec) => ("start container", spec.name.clone()),
            Self::StopContainer { container, .. } => ("stop container", container.clone()),
            Self::KillContainer { container, .. } => ("kill container", container.clone()),
            Self::ResizeContainer { container, .. } => ("resize container", container.clone()),
            Self::RemoveContainer { container, .. } => ("remove dead container", container.clone()),
            Self::StopSandbox => ("stop sandbox", String::new()),
            Self::Clear => ("remove everything", String::new()),
        }
    }
}

/// How to make a pod's sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSpec {
    /// Counts the sandboxes of this pod from 0.
    pub attempt: u32,
    /// The pod's hostname.
    pub hostname: String,
    /// The fully qualified name, where the pod has a subdomain.
    pub domain_name: Option<String>,
    /// Ports of the host that lead to ports of the pod.
    pub ports: Vec<HostPort>,
    /// The pod lives in the host's network.
    pub host_network: bool,
    /// Containers see each other's processes.
    pub share_processes: bool,
    /// Kernel parameters of the pod's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Lines of `resolv.conf` the pod asks for, and whether the node's own come first.
    pub resolver: Resolver,
    /// Lines added to `/etc/hosts`: address and names.
    pub host_aliases: Vec<(String, Vec<String>)>,
}

/// What a pod's `resolv.conf` is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// `ClusterFirst`, `Default`, `None`, `ClusterFirstWithHostNet`.
    pub policy: String,
    /// The namespace, for the cluster's search domains.
    pub namespace: String,
    /// Name servers the pod adds.
    pub nameservers: Vec<String>,
    /// Search domains the pod adds.
    pub searches: Vec<String>,
    /// Options the pod adds, as `name` or `name:value`.
    pub options: Vec<String>,
}

/// A port of the host that leads to a port of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The pod's port.
    pub container_port: i32,
    /// The host's port.
    pub host_port: i32,
    /// The host's address; all when absent.
    pub host_ip: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl HostPort {
    /// Whether only one of the two can be had.
    pub fn clashes(&self, other: &Self) -> bool {
        let everywhere = |port: &Self| port.host_ip.as_deref().is_none_or(|address| address == "0.0.0.0");
        let address = everywhere(self) || everywhere(other) || self.host_ip == other.host_ip;
        address && self.host_port == other.host_port && self.protocol == other.protocol
    }
}

/// A file or directory of the host seen in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// The path on the host where it is not the node's own directory of the volume.
    pub host_path: Option<PathBuf>,
    /// The volume lives in memory.
    pub in_memory: bool,
    /// A path inside the volume.
    pub sub_path: Option<String>,
    /// The path in the container.
    pub container_path: String,
    /// Writes are refused.
    pub read_only: bool,
    /// `rslave` or `rshared`, where asked for.
    pub propagation: Option<&'static str>,
}

/// How to create and start one run of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// The container's name in the pod.
    pub name: String,
    /// Counts the runs of this container from 0.
    pub attempt: u32,
    /// The sandbox it joins.
    pub sandbox_attempt: u32,
    /// How long to wait after this run before the next, in seconds.
    pub backoff_seconds: u32,
    /// It runs before the pod's own containers.
    pub is_init: bool,
    /// The image's reference.
    pub image: String,
    /// Replaces the image's entry point where not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments where not empty.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// What it sees of the host.
    pub mounts: Vec<Mount>,
    /// What it gets of its node.
    pub bounds: Bounds,
    /// Who is killed first when memory runs out.
    pub oom_score_adjustment: i64,
    /// Who it runs as and what it may do, the pod's settings merged in.
    pub security: SecurityContext,
    /// Groups of the container's process.
    pub groups: Vec<String>,
    /// Keep standard input open.
    pub stdin: bool,
    /// Close standard input after the first attach.
    pub stdin_once: bool,
    /// Allocate a terminal.
    pub tty: bool,
    /// The pod shares the host's network.
    pub host_network: bool,
    /// Containers see each other's processes.
    pub share_processes: bool,
    /// The container sees the host's processes.
    pub host_pid: bool,
    /// The id of the container whose processes it sees.
    pub processes_of: Option<String>,
    /// Runs right after the start.
    pub post_start: Option<Hook>,
    /// Where the container leaves its last words.
    pub termination_message_path: String,
    /// Without last words, a failed container's last log lines are taken.
    pub last_words_from_logs: bool,
    /// The pod's labels, by which its logs are found.
    pub pod_labels: std::collections::BTreeMap<String, String>,
}

/// Why the runtime did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A one-word reason, such as `ErrImagePull`.
    pub reason: String,
    /// What was said.
    pub message: String,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The volumes are as planned; the plan's digest.
    VolumesReady(u64),
    /// The sandbox runs.
    SandboxRunning(Sandbox),
    /// The image is there.
    ImagePresent {
        /// The run it was looked for.
        attempt: u32,
        /// How long the pull took in milliseconds and how many bytes it is, if it was pulled.
        pulled: Option<(u64, i64)>,
    },
    /// The container was started.
    Started(ContainerRecord),
    /// The container could not be kept running; what there is of it.
    StartFailed(Refusal, Option<ContainerRecord>),
    /// The run with this identifier ended; all else of it is as it was.
    Ended {
        /// The run's identifier.
        id: String,
        /// How it ended.
        exit: Exit,
    },
    /// The run with this identifier gets this now; all else of it is as it was.
    Resized {
        /// The run's identifier.
        id: String,
        /// What it gets.
        bounds: Bounds,
    },
    /// Nothing further to tell: what the runtime shows says the rest.
    Done(Option<ContainerRecord>),
    /// It could not be done.
    Refused(Refusal),
}

/// Something worth telling the user, as an Event on the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNote {
    /// Nothing to worry about.
    pub normal: bool,
    /// A one-word reason.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// The container it is about, and whether that is an init container.
    pub container: Option<(String, bool)>,
    /// When.
    pub at: Timestamp,
}
