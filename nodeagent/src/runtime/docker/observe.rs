//! Docker's containers as the pod machine sees them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerState, HostConfig};
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use jiff::Timestamp;

use super::files::PodFiles;
use super::names;
use super::sandbox::blocking;
use crate::host::PodRef;
use crate::pod::resize::Bounds;
use crate::pod::{ContainerRecord, Exit, RunState, Sandbox};

/// Lines taken from a failed container's log in place of last words.
const LAST_LINES: &str = "80";
/// Bytes of last words kept.
const LAST_BYTES: u64 = 4096;
/// Bytes kept of last words taken from the log.
const LAST_LOG_BYTES: usize = 2048;
/// The exit code shown of a container that could not be run at all.
const CANNOT_RUN: i64 = 128;

/// A container of ours as Docker shows it.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// A pod's sandbox, and its process.
    Sandbox(PodRef, Sandbox, i64),
    /// A run of a container.
    Container(PodRef, ContainerRecord),
}

/// Looks at one container. Nothing when it is gone or not ours.
pub(super) async fn look(docker: &Docker, files: &PodFiles, id: &str) -> Result<Option<Seen>, Error> {
    let shown = match docker.inspect_container(id, None).await {
        Ok(shown) => shown,
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let labels = shown.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let Some(pod) = names::pod(&labels) else { return Ok(None) };
    if labels.get(names::KIND).map(String::as_str) == Some("sandbox") {
        let process = shown.state.as_ref().and_then(|state| state.pid).unwrap_or(0);
        let sandbox = sandbox(&shown, &labels);
        return Ok(Some(Seen::Sandbox(pod, sandbox, process)));
    }
    let mut record = record(&shown, &labels);
    if let RunState::Exited(exit) = &mut record.state {
        exit.message = last_words(docker, files, &pod, &labels, id, record.attempt, exit.code).await;
    }
    Ok(Some(Seen::Container(pod, record)))
}

fn number(labels: &HashMap<String, String>, key: &str) -> u32 {
    labels.get(key).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn sandbox(shown: &ContainerInspectResponse, labels: &HashMap<String, String>) -> Sandbox {
    let running = shown.state.as_ref().and_then(|state| state.running).unwrap_or(false);
    let networks = shown.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let addresses = networks.into_iter().flat_map(HashMap::values).filter_map(|network| network.ip_address.clone());
    let address = addresses.filter(|address| !address.is_empty()).min().or_else(|| labels.get(names::ADDRESS).cloned());
    let id = shown.id.clone().unwrap_or_default();
    Sandbox { id, attempt: number(labels, names::ATTEMPT), running, address }
}

fn record(shown: &ContainerInspectResponse, labels: &HashMap<String, String>) -> ContainerRecord {
    let state = shown.state.clone().unwrap_or_default();
    ContainerRecord {
        id: shown.id.clone().unwrap_or_default(),
        name: labels.get(names::CONTAINER).cloned().unwrap_or_default(),
        attempt: number(labels, names::ATTEMPT),
        sandbox_attempt: number(labels, names::SANDBOX_ATTEMPT),
        backoff_seconds: number(labels, names::BACKOFF),
        image: shown.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default(),
        image_id: shown.image.clone().unwrap_or_default(),
        bounds: bounds(shown.host_config.as_ref()),
        started_at: moment(state.started_at.as_deref()),
        state: run_state(&state),
    }
}

fn bounds(config: Option<&HostConfig>) -> Bounds {
    let of = |field: fn(&HostConfig) -> Option<i64>| config.and_then(field).unwrap_or(0);
    Bounds { cpu_shares: of(|it| it.cpu_shares), cpu_quota: of(|it| it.cpu_quota), memory_limit: of(|it| it.memory) }
}

/// Docker writes year 1 where nothing has happened.
fn moment(text: Option<&str>) -> Option<Timestamp> {
    text?.parse::<Timestamp>().ok().filter(|moment| moment.as_second() > 0)
}

fn run_state(state: &ContainerState) -> RunState {
    if state.running == Some(true) {
        return RunState::Running;
    }
    let error = state.error.clone().unwrap_or_default();
    let code = state.exit_code.unwrap_or(0);
    let finished_at = moment(state.finished_at.as_deref());
    let never_started = moment(state.started_at.as_deref()).is_none();
    if never_started && finished_at.is_none() && code == 0 && error.is_empty() {
        return RunState::Created;
    }
    let code = if never_started && code == 0 { CANNOT_RUN } else { code };
    let code = i32::try_from(code).unwrap_or(i32::MAX);
    RunState::Exited(Exit {
        out_of_memory: state.oom_killed == Some(true),
        refusal: if never_started { error } else { String::new() },
        ..Exit::of(code, finished_at.unwrap_or_else(super::now))
    })
}

async fn last_words(
    docker: &Docker,
    files: &PodFiles,
    pod: &PodRef,
    labels: &HashMap<String, String>,
    id: &str,
    attempt: u32,
    code: i32,
) -> String {
    let name = labels.get(names::CONTAINER).map(String::as_str).unwrap_or_default();
    let path = files.last_words(&pod.uid, name, attempt);
    let read = blocking(move || read_end(&path, LAST_BYTES).map_err(|error| error.to_string()));
    let words = read.await.unwrap_or_default();
    if !words.is_empty() || code == 0 || !labels.contains_key(names::LAST_WORDS) {
        return String::from_utf8_lossy(&words).into_owned();
    }
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LAST_LINES).build();
    let lines: Vec<u8> = docker
        .logs(id, Some(options))
        .filter_map(|chunk| async { chunk.ok() })
        .map(bollard::container::LogOutput::into_bytes)
        .fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            all.drain(..all.len().saturating_sub(LAST_LOG_BYTES));
            all
        })
        .await;
    String::from_utf8_lossy(&lines).into_owned()
}

/// The end of a file. A container may have written as much as the disk takes.
fn read_end(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(most)))?;
    let mut end = Vec::new();
    file.take(most).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_is_all_that_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words");
        for (written, end) in [("", ""), ("abc", "abc"), ("abcdef", "cdef")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(read_end(&path, 4).unwrap(), end.as_bytes());
        }
        assert!(read_end(&directory.path().join("none"), 4).is_err());
    }
}
