//! Containers' logs: which there are, and when each is collected.

use std::collections::HashMap;

use sampan_logs::Run;

use super::{Docker, names};
use crate::logs::{Logs, Source};

impl Docker {
    /// The logs of this node.
    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Collects the logs of every container there is: of those that ended, what is left.
    pub(crate) async fn collect_logs(&self) {
        let filter =
            names::filter(&[(names::CLUSTER, &self.cluster), (names::NODE, &self.node), (names::KIND, "container")]);
        match self.list(&filter).await {
            Ok(containers) => {
                for id in containers.into_iter().filter_map(|container| container.id) {
                    self.collect_log(&id).await;
                }
            }
            Err(error) => tracing::warn!(%error, "failed to list containers; logs of before are not collected"),
        }
    }

    /// Collects the log of a container: on and on while it runs, to its end where it has ended.
    pub(super) async fn collect_log(&self, id: &str) {
        match self.log_of(id).await {
            Some((source, true)) => self.logs.follow(source),
            Some((source, false)) => self.logs.finish(source).await,
            None => {}
        }
    }

    /// Collects what is left of the log of a container that is about to be removed.
    pub(super) async fn finish_log(&self, id: &str) {
        if let Some((source, _)) = self.log_of(id).await {
            self.logs.finish(source).await;
        }
    }

    /// Where a container's log is, and whether it still runs. Nothing of sandboxes, of others' containers, and of those that
    /// never ran.
    async fn log_of(&self, id: &str) -> Option<(Source, bool)> {
        log_of(&self.api, id).await
    }
}

/// See [`Docker::log_of`].
pub(super) async fn log_of(api: &bollard::Docker, id: &str) -> Option<(Source, bool)> {
    let shown = api.inspect_container(id, None).await.ok()?;
    let path = shown.log_path.filter(|path| !path.is_empty())?;
    let run = run(id, &shown.config?.labels?)?;
    let is_running = shown.state.and_then(|state| state.running).unwrap_or(false);
    Some((Source { run, path: path.into() }, is_running))
}

/// Whose log it is, by the labels of its container.
fn run(id: &str, labels: &HashMap<String, String>) -> Option<Run> {
    let pod = names::pod(labels)?;
    if labels.get(names::KIND).map(String::as_str) != Some("container") {
        return None;
    }
    let pod_labels = labels.get(names::POD_LABELS).and_then(|text| serde_json::from_str(text).ok());
    Some(Run {
        id: id.to_owned(),
        namespace: pod.namespace,
        pod: pod.name,
        uid: pod.uid.0.to_string(),
        container: labels.get(names::CONTAINER)?.clone(),
        attempt: labels.get(names::ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0),
        node: pod.node,
        labels: pod_labels.unwrap_or_default(),
    })
}
