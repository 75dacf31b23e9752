//! What the runtime is told, computed from the pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodSpec, SecurityContext, VolumeMount};

use super::command::{ContainerSpec, Hook, HostPort, Mount, Refusal, Resolver, SandboxSpec};
use super::environment::{environment, expand};
use super::probe::{Target, http_target};
use super::quantity::QualityOfService;
use super::resize::Bounds;
use super::situation::{Scene, Situation};
use super::volume::{self, Missing};
use crate::dns::CLUSTER_DOMAIN;

/// The longest hostname the kernel takes.
const LONGEST_HOSTNAME: usize = 63;

/// The pod's hostname: its own, else its name, cut to what the kernel takes.
pub fn hostname(pod: &Pod) -> String {
    let asked = pod.spec.as_ref().and_then(|spec| spec.hostname.as_deref());
    let name = asked.or(pod.metadata.name.as_deref()).unwrap_or_default();
    let cut: String = name.chars().take(LONGEST_HOSTNAME).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// How to make the pod's sandbox.
pub fn sandbox(scene: &Scene<'_>, attempt: u32) -> SandboxSpec {
    let (namespace, _) = scene.situation.identity();
    let spec = scene.situation.spec();
    let hostname = hostname(&scene.situation.pod);
    let domain_name =
        spec.subdomain.as_ref().map(|subdomain| format!("{hostname}.{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}"));
    let sysctls = spec.security_context.as_ref().and_then(|security| security.sysctls.as_ref());
    let aliases = spec.host_aliases.iter().flatten();
    SandboxSpec {
        attempt,
        hostname,
        domain_name,
        ports: if spec.host_network == Some(true) { Vec::new() } else { host_ports(spec) },
        host_network: spec.host_network == Some(true),
        share_processes: spec.share_process_namespace == Some(true),
        sysctls: sysctls.into_iter().flatten().map(|entry| (entry.name.clone(), entry.value.clone())).collect(),
        resolver: resolver(namespace, spec),
        host_aliases: aliases.map(|alias| (alias.ip.clone(), alias.hostnames.clone().unwrap_or_default())).collect(),
    }
}

/// The ports of its node the pod asks for.
pub(super) fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let ports = sidecars.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(HostPort {
                container_port: port.container_port,
                host_port: port.host_port.filter(|port| *port > 0)?,
                host_ip: port.host_ip.clone().filter(|address| !address.is_empty()),
                protocol: port.protocol.as_deref().unwrap_or("TCP").to_lowercase(),
            })
        })
        .collect()
}

fn resolver(namespace: &str, spec: &PodSpec) -> Resolver {
    let config = spec.dns_config.as_ref();
    let options = config.and_then(|config| config.options.as_ref()).into_iter().flatten();
    Resolver {
        policy: spec.dns_policy.clone().unwrap_or_else(|| "ClusterFirst".to_owned()),
        namespace: namespace.to_owned(),
        nameservers: config.and_then(|config| config.nameservers.clone()).unwrap_or_default(),
        searches: config.and_then(|config| config.searches.clone()).unwrap_or_default(),
        options: options
            .filter_map(|option| {
                let name = option.name.as_deref()?;
                Some(option.value.as_ref().map_or_else(|| name.to_owned(), |value| format!("{name}:{value}")))
            })
            .collect(),
    }
}

/// Whether an init container keeps running beside the pod's own.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Which run of a container is to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Counts the runs of this container from 0.
    pub attempt: u32,
    /// The sandbox it joins.
    pub sandbox_attempt: u32,
    /// How long to wait after this run before the next, in seconds.
    pub backoff_seconds: u32,
}

/// How to create and start one run of a container.
///
/// # Errors
/// A `CreateContainerConfigError` when what the container refers to is not there.
pub fn container(scene: &Scene<'_>, container: &Container, is_init: bool, run: Run) -> Result<ContainerSpec, Refusal> {
    let spec = scene.situation.spec();
    let variables = environment(scene, container)?;
    let values: BTreeMap<String, String> = variables.iter().cloned().collect();
    let expanded = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| expand(word, &values)).collect();
    let class = QualityOfService::of(spec);
    let security = security(spec, container);
    if security.run_as_non_root == Some(true) && security.run_as_user == Some(0) {
        let message = "container's runAsUser breaks non-root policy".to_owned();
        return Err(Refusal { reason: "CreateContainerConfigError".to_owned(), message });
    }
    Ok(ContainerSpec {
        name: container.name.clone(),
        attempt: run.attempt,
        sandbox_attempt: run.sandbox_attempt,
        backoff_seconds: run.backoff_seconds,
        is_init,
        image: container.image.clone().unwrap_or_default(),
        command: expanded(&container.command),
        arguments: expanded(&container.args),
        environment: variables.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        working_dir: container.working_dir.clone().filter(|path| !path.is_empty()),
        mounts: mounts(scene, container, &values)?,
        bounds: Bounds::of(container),
        oom_score_adjustment: class.oom_score_adjustment(container, scene.node),
        security,
        groups: groups(spec),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        host_network: spec.host_network == Some(true),
        share_processes: spec.share_process_namespace == Some(true),
        host_pid: spec.host_pid == Some(true),
        processes_of: target(scene.situation, &container.name),
        post_start: container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.as_ref())
            .map(|handler| hook(scene.situation, container, handler)),
        termination_message_path: container
            .termination_message_path
            .clone()
            .unwrap_or_else(|| "/dev/termination-log".to_owned()),
        last_words_from_logs: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
        pod_labels: scene.situation.pod.metadata.labels.clone().unwrap_or_default(),
    })
}

/// The run whose processes the container sees, where it names one that lives.
fn target(situation: &Situation, container: &str) -> Option<String> {
    let run = situation.latest(situation.target_of(container)?)?;
    run.is_running().then(|| run.id.clone())
}

/// What a hook does.
pub fn hook(situation: &Situation, container: &Container, handler: &LifecycleHandler) -> Hook {
    if let Some(exec) = &handler.exec {
        return Hook::Ask(Target::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(http) = &handler.http_get {
        return Hook::Ask(http_target(situation, container, http));
    }
    if let Some(sleep) = &handler.sleep {
        return Hook::Sleep(u64::try_from(sleep.seconds).unwrap_or(0));
    }
    Hook::Ask(Target::Unusable("this node knows exec, httpGet and sleep hooks only".to_owned()))
}

/// The container's security settings, the pod's where it has none of its own.
fn security(spec: &PodSpec, container: &Container) -> SecurityContext {
    let mut merged = container.security_context.clone().unwrap_or_default();
    if let Some(pod) = &spec.security_context {
        merged.run_as_user = merged.run_as_user.or(pod.run_as_user);
        merged.run_as_group = merged.run_as_group.or(pod.run_as_group);
        merged.run_as_non_root = merged.run_as_non_root.or(pod.run_as_non_root);
        merged.seccomp_profile = merged.seccomp_profile.or_else(|| pod.seccomp_profile.clone());
    }
    merged
}

fn groups(spec: &PodSpec) -> Vec<String> {
    let Some(security) = &spec.security_context else { return Vec::new() };
    let supplemental = security.supplemental_groups.iter().flatten();
    supplemental.chain(&security.fs_group).map(ToString::to_string).collect()
}

fn mounts(scene: &Scene<'_>, container: &Container, values: &BTreeMap<String, String>) -> Result<Vec<Mount>, Refusal> {
    container.volume_mounts.iter().flatten().map(|mount| one_mount(scene, mount, values)).collect()
}

fn one_mount(scene: &Scene<'_>, mount: &VolumeMount, values: &BTreeMap<String, String>) -> Result<Mount, Refusal> {
    let refuse = |message: String| Refusal { reason: "CreateContainerConfigError".to_owned(), message };
    let volume = scene.situation.spec().volumes.iter().flatten().find(|volume| volume.name == mount.name);
    let volume = volume.ok_or_else(|| refuse(format!("no volume named {:?} in the pod", mount.name)))?;
    let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
        (Some(path), _) if !path.is_empty() => Some(path.clone()),
        (_, Some(expression)) if !expression.is_empty() => Some(expand(expression, values)),
        _ => None,
    };
    if let Some(path) =
        sub_path.as_ref().filter(|path| path.starts_with('/') || path.split('/').any(|part| part == ".."))
    {
        return Err(refuse(format!("unable to provide mount {:?}: invalid subPath {path:?}", mount.name)));
    }
    let holds_files = volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some();
    let is_read_only_claim = volume.persistent_volume_claim.as_ref().is_some_and(|it| it.read_only == Some(true));
    let host_path = volume::host_path(scene, volume).map_err(|missing| match missing {
        Missing::Refused(refusal) => refuse(refusal.message),
        Missing::NotLookedAt => refuse(format!("the claim of volume {:?} has not been looked at yet", mount.name)),
    })?;
    Ok(Mount {
        volume: mount.name.clone(),
        host_path,
        in_memory: volume.empty_dir.as_ref().is_some_and(|empty| empty.medium.as_deref() == Some("Memory")),
        sub_path,
        container_path: mount.mount_path.clone(),
        read_only: mount.read_only == Some(true) || holds_files || is_read_only_claim,
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Some("rslave"),
            Some("Bidirectional") => Some("rshared"),
            _ => None,
        },
    })
}
