//! `sampan down`

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_nodeagent::{DockerEndpoint, remove_everything};

use crate::args::Down;
use crate::control::{Question, ask, is_running};
use crate::data::DataFolder;

/// How long a running cluster may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn run(arguments: &Down) -> Result<()> {
    let folder = DataFolder::open(&arguments.folder.data)?;
    stop_running(&folder)?;
    if let Some(cluster) = folder.cluster_id()? {
        let kept_in = (!arguments.purge).then(|| folder.node()).filter(|node| node.exists());
        remove_containers(&cluster, kept_in.as_deref())?;
        sampan_pluginhost::remove_folders(&cluster);
    }
    if arguments.purge {
        let path = folder.path().display().to_string();
        folder.remove()?;
        println!("stopped, and removed {path}");
    } else {
        println!("stopped; the data stays in {}", folder.path().display());
    }
    Ok(())
}

fn stop_running(folder: &DataFolder) -> Result<()> {
    if !is_running(folder) {
        return Ok(());
    }
    ask(folder, &Question::Stop).context("failed to stop the running cluster")?;
    let asked = Instant::now();
    while is_running(folder) {
        ensure!(asked.elapsed() < ENDS_WITHIN, "the cluster did not end within {} s", ENDS_WITHIN.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// A cluster of simulated nodes has no containers, and may run where there is no Docker.
fn remove_containers(cluster: &str, kept_in: Option<&Path>) -> Result<()> {
    let docker = DockerEndpoint::from_environment();
    if !docker.socket.exists() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(remove_everything(&docker, cluster, kept_in)).context("failed to remove the cluster's containers")
}
