//! What Docker itself knows of the containers, asked past everything of ours.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run;

/// Runs docker, which must succeed, and gives what it printed.
///
/// # Errors
/// When it fails.
pub fn docker(arguments: &[&str]) -> Result<String> {
    Ok(run(Command::new("docker").args(arguments), "")?.succeeded()?.stdout)
}

/// A container's identity and the time it started: equal before and after means that nobody touched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The container's id.
    pub id: String,
    /// When it started, as Docker prints it.
    pub at: String,
}

/// When a container started, asked of Docker.
///
/// # Errors
/// When there is no such container.
pub fn started(container: &str) -> Result<Started> {
    let at = docker(&["inspect", "--format", "{{.State.StartedAt}}", container])?;
    Ok(Started { id: container.to_owned(), at: at.trim().to_owned() })
}

/// The ids of a pod's running containers, from its status.
///
/// # Errors
/// When the status has none.
pub fn containers_of(pod: &Value) -> Result<Vec<String>> {
    let statuses =
        pod.pointer("/status/containerStatuses").and_then(Value::as_array).context("no container statuses")?;
    let ids = statuses.iter().map(|status| {
        let id = status.get("containerID").and_then(Value::as_str).context("a container without an id")?;
        Ok(id.trim_start_matches("docker://").to_owned())
    });
    ids.collect()
}

/// The containers Docker runs whose names or labels hold `text`, with all that `docker ps` tells.
///
/// # Errors
/// When Docker does not answer.
pub fn listed(filter: &str) -> Result<Vec<String>> {
    let out = docker(&["ps", "--all", "--no-trunc", "--quiet", "--filter", filter])?;
    Ok(out.lines().map(str::to_owned).collect())
}
