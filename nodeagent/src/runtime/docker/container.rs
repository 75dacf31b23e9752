//! One run of a container: created, started, stopped, removed.

use std::collections::HashMap;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerUpdateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};

use super::observe::{self, Seen};
use super::sandbox::{Progress, blocking};
use super::{Docker, binds, names};
use crate::host::PodRef;
use crate::pod::resize::Bounds;
use crate::pod::{ContainerRecord, ContainerSpec, Hook, Outcome, Refusal, Sandbox};

/// Bytes of log kept in one file, and how many files: the kubelet's defaults.
const LOG_FILE_SIZE: &str = "10m";
/// See [`LOG_FILE_SIZE`].
const LOG_FILES: &str = "5";
/// The period of CPU quotas, in microseconds.
const QUOTA_PERIOD_US: i64 = 100_000;
/// What SIGTERM is given at least when the hook used up the grace, in seconds.
const LEAST_GRACE_SECONDS: i64 = 2;

/// How logs are rotated.
pub(super) fn log_config() -> HostConfigLogConfig {
    let pairs = [("max-size", LOG_FILE_SIZE), ("max-file", LOG_FILES)];
    let config = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config) }
}

impl Docker {
    /// Creates and starts a container. It is created as soon as its sandbox exists and started as soon as that runs.
    pub(super) async fn start_container(&self, pod: &PodRef, spec: &ContainerSpec) -> Outcome {
        let id = match self.create_container(pod, spec).await {
            Ok(id) => id,
            Err(message) => {
                return Outcome::StartFailed(Refusal { reason: "CreateContainerError".to_owned(), message }, None);
            }
        };
        let sandbox = match self.running_sandbox(pod, spec.sandbox_attempt).await {
            Ok(sandbox) => sandbox,
            Err(message) => return self.start_failed(&id, "RunContainerError", message).await,
        };
        let permit = self.permit().await;
        self.own_starts().insert(id.clone());
        let started = self.api.start_container(&id, None).await;
        drop(permit);
        if let Err(error) = started {
            self.own_starts().remove(&id);
            let message = match error {
                Error::DockerResponseServerError { message, .. } => message,
                other => other.to_string(),
            };
            return self.start_failed(&id, "RunContainerError", message).await;
        }
        if let Some(hook) = &spec.post_start
            && let Err(message) = self.run_hook(&id, sandbox.address.as_deref(), hook).await
        {
            let grace = StopContainerOptionsBuilder::new().t(2).build();
            let _ = self.patient.stop_container(&id, Some(grace)).await;
            let message = format!("PostStartHookError: {message}");
            return self.start_failed(&id, "PostStartHookError", message).await;
        }
        let ((), record) = futures::join!(self.collect_log(&id), self.record_of(&id));
        match record {
            Some(record) => Outcome::Started(record),
            None => self.start_failed(&id, "RunContainerError", "the container vanished".to_owned()).await,
        }
    }

    async fn start_failed(&self, id: &str, reason: &str, message: String) -> Outcome {
        let record = self.record_of(id).await.filter(|record| record.exit().is_some());
        Outcome::StartFailed(Refusal { reason: reason.to_owned(), message }, record)
    }

    async fn record_of(&self, id: &str) -> Option<ContainerRecord> {
        match observe::look(&self.api, &self.files, id).await {
            Ok(Some(Seen::Container(_, record))) => Some(record),
            _ => None,
        }
    }

    async fn create_container(&self, pod: &PodRef, spec: &ContainerSpec) -> Result<String, String> {
        let (files, uid, prepared) = (self.files.clone(), pod.uid.clone(), spec.clone());
        let binds = blocking(move || binds::prepare(&files, &uid, &prepared)).await?;
        if let Some(message) = self.root_refusal(spec).await {
            return Err(message);
        }
        let body = self.container_body(pod, spec, binds);
        self.created_sandbox(pod, spec.sandbox_attempt).await?;
        let name = names::container(pod, &spec.name, spec.attempt);
        self.create(&name, body).await.map_err(|error| match error {
            Error::DockerResponseServerError { message, .. } => message,
            other => other.to_string(),
        })
    }

    /// Why an image that would run as root must not, where the pod says so.
    async fn root_refusal(&self, spec: &ContainerSpec) -> Option<String> {
        if spec.security.run_as_non_root != Some(true) || spec.security.run_as_user.is_some() {
            return None;
        }
        let shown = self.api.inspect_image(&spec.image).await.ok()?;
        let user = shown.config.and_then(|config| config.user).unwrap_or_default();
        let is_root = matches!(user.split(':').next(), Some("" | "0" | "root") | None);
        is_root.then(|| "container has runAsNonRoot and image will run as root".to_owned())
    }

    fn container_body(&self, pod: &PodRef, spec: &ContainerSpec, binds: Vec<String>) -> ContainerCreateBody {
        let user = spec.security.run_as_user.map(|user| match spec.security.run_as_group {
            Some(group) => format!("{user}:{group}"),
            None => user.to_string(),
        });
        let words = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
        ContainerCreateBody {
            image: Some(spec.image.clone()),
            entrypoint: words(&spec.command),
            cmd: words(&spec.arguments),
            env: Some(spec.environment.clone()),
            working_dir: spec.working_dir.clone(),
            user,
            labels: Some(self.container_labels(pod, spec)),
            open_stdin: Some(spec.stdin),
            stdin_once: Some(spec.stdin_once),
            tty: Some(spec.tty),
            host_config: Some(self.host_config(pod, spec, binds)),
            ..ContainerCreateBody::default()
        }
    }

    fn container_labels(&self, pod: &PodRef, spec: &ContainerSpec) -> HashMap<String, String> {
        let mut labels = names::labels(&self.cluster, pod, "container", spec.attempt);
        labels.insert(names::CONTAINER.to_owned(), spec.name.clone());
        labels.insert(names::SANDBOX_ATTEMPT.to_owned(), spec.sandbox_attempt.to_string());
        labels.insert(names::BACKOFF.to_owned(), spec.backoff_seconds.to_string());
        if !spec.pod_labels.is_empty() {
            let text = serde_json::to_string(&spec.pod_labels).expect("a map of texts is JSON");
            labels.insert(names::POD_LABELS.to_owned(), text);
        }
        if spec.last_words_from_logs {
            labels.insert(names::LAST_WORDS.to_owned(), String::new());
        }
        labels
    }

    fn host_config(&self, pod: &PodRef, spec: &ContainerSpec, binds: Vec<String>) -> HostConfig {
        let sandbox = format!("container:{}", names::sandbox(pod, spec.sandbox_attempt));
        let capabilities = spec.security.capabilities.clone().unwrap_or_default();
        let pid_mode = match &spec.processes_of {
            _ if spec.host_pid => Some("host".to_owned()),
            _ if spec.share_processes => Some(sandbox.clone()),
            target => target.as_ref().map(|id| format!("container:{id}")),
        };
        let (quota, memory) = limits(spec.bounds);
        HostConfig {
            binds: Some(binds),
            network_mode: Some(sandbox.clone()),
            ipc_mode: Some(sandbox),
            pid_mode,
            cpu_shares: Some(spec.bounds.cpu_shares),
            cpu_quota: quota,
            cpu_period: quota.map(|_| QUOTA_PERIOD_US),
            memory,
            memory_swap: memory,
            oom_score_adj: Some(spec.oom_score_adjustment.max(self.least_oom_score)),
            group_add: Some(spec.groups.clone()),
            privileged: spec.security.privileged,
            readonly_rootfs: spec.security.read_only_root_filesystem,
            cap_add: capabilities.add,
            cap_drop: capabilities.drop,
            security_opt: Some(security_options(spec)),
            log_config: Some(log_config()),
            ..HostConfig::default()
        }
    }

    /// Runs the hook, sends SIGTERM, and lets Docker send SIGKILL when the grace has passed.
    pub(super) async fn stop_container(
        &self,
        pod: &PodRef,
        id: &str,
        grace_seconds: i64,
        hook: Option<&Hook>,
    ) -> Outcome {
        let began = tokio::time::Instant::now();
        if let Some(hook) = hook {
            let address = self.known_address(pod);
            let limit = std::time::Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
            let run = tokio::time::timeout(limit, self.run_hook(id, address.as_deref(), hook)).await;
            if let Ok(Err(message)) = run {
                tracing::warn!(pod = %pod.name, %message, "preStop hook failed");
            }
        }
        let used = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
        let least = if hook.is_some() { LEAST_GRACE_SECONDS } else { 0 };
        let left = i32::try_from((grace_seconds - used).max(least)).unwrap_or(i32::MAX);
        let stopped = self.patient.stop_container(id, Some(StopContainerOptionsBuilder::new().t(left).build())).await;
        self.after(id, stopped).await
    }

    /// Sends SIGKILL.
    pub(super) async fn kill_container(&self, id: &str) -> Outcome {
        let kill = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        let killed = self.api.kill_container(id, Some(kill)).await;
        let wait = self.patient.stop_container(id, Some(StopContainerOptionsBuilder::new().t(1).build())).await;
        self.after(id, killed.and(wait)).await
    }

    /// What is to be seen after a stop: not running, or not there, is as good as stopped.
    async fn after(&self, id: &str, stopped: Result<(), Error>) -> Outcome {
        match (observe::look(&self.api, &self.files, id).await, stopped) {
            (Ok(Some(Seen::Container(_, record))), _) if !record.is_running() => Outcome::Done(Some(record)),
            (Ok(None), _) => Outcome::Ended { id: id.to_owned(), exit: super::lost() },
            (_, Err(error)) => {
                Outcome::Refused(Refusal { reason: "KillContainerError".to_owned(), message: error.to_string() })
            }
            (_, Ok(())) => Outcome::Refused(Refusal {
                reason: "KillContainerError".to_owned(),
                message: "the container still runs".to_owned(),
            }),
        }
    }

    /// Gives a container that runs other bounds.
    pub(super) async fn resize_container(&self, id: &str, bounds: Bounds) -> Outcome {
        let refused = |message| Outcome::Refused(Refusal { reason: "ResizeError".to_owned(), message });
        let (quota, memory) = limits(bounds);
        let update = ContainerUpdateBody {
            cpu_shares: Some(bounds.cpu_shares),
            cpu_quota: quota,
            cpu_period: quota.map(|_| QUOTA_PERIOD_US),
            memory,
            memory_swap: memory,
            ..ContainerUpdateBody::default()
        };
        if let Err(error) = self.api.update_container(id, update).await {
            return refused(error.to_string());
        }
        match self.record_of(id).await {
            Some(record) if record.bounds != bounds => refused("the runtime took no notice".to_owned()),
            record => Outcome::Done(record),
        }
    }

    /// Removes a dead run.
    pub(super) async fn remove_container(&self, id: &str) -> Outcome {
        self.finish_log(id).await;
        let options = RemoveContainerOptionsBuilder::new().v(true).build();
        match self.api.remove_container(id, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Outcome::Done(None),
            Err(error) => {
                Outcome::Refused(Refusal { reason: "RemoveContainerError".to_owned(), message: error.to_string() })
            }
        }
    }

    async fn created_sandbox(&self, pod: &PodRef, attempt: u32) -> Result<(), String> {
        self.await_sandbox(pod, attempt, |progress| matches!(progress, Progress::Created | Progress::Running(_)))
            .await
            .map(|_| ())
    }

    async fn running_sandbox(&self, pod: &PodRef, attempt: u32) -> Result<Sandbox, String> {
        let progress = self.await_sandbox(pod, attempt, |progress| matches!(progress, Progress::Running(_))).await?;
        match progress {
            Progress::Running(sandbox) => Ok(sandbox),
            _ => Err("the pod's sandbox is not running".to_owned()),
        }
    }
}

/// The quota of CPU and the most memory, where there is one.
fn limits(bounds: Bounds) -> (Option<i64>, Option<i64>) {
    let [quota, memory] = [bounds.cpu_quota, bounds.memory_limit].map(|limit| (limit > 0).then_some(limit));
    (quota, memory)
}

fn security_options(spec: &ContainerSpec) -> Vec<String> {
    let mut options = Vec::new();
    if spec.security.allow_privilege_escalation == Some(false) {
        options.push("no-new-privileges".to_owned());
    }
    if spec.security.seccomp_profile.as_ref().is_some_and(|profile| profile.type_ == "Unconfined") {
        options.push("seccomp=unconfined".to_owned());
    }
    options
}
