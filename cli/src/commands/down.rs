//! `sampan down`

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sampan_nodeagent::{DockerEndpoint, clusters, remove_everything};

use crate::args::Down;
use crate::control::{Question, ask, is_running};
use crate::data::DataFolder;
use crate::say::say;

/// How long a running cluster may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn run(arguments: &Down) -> Result<()> {
    if let Some(cluster) = &arguments.cluster {
        return remove_lost(cluster);
    }
    let lost = |error: anyhow::Error| anyhow!("{error:#}{}", others());
    let folder = DataFolder::open(&arguments.folder.data).map_err(lost)?;
    stop_running(&folder)?;
    match folder.cluster_id()? {
        Some(cluster) => {
            let kept_in = (!arguments.purge).then(|| folder.node()).filter(|node| node.exists());
            remove_containers(&cluster, kept_in.as_deref())?;
            sampan_pluginhost::remove_folders(&cluster);
        }
        // A first start that failed leaves the beginnings of a cluster that never was.
        None if arguments.purge && (folder.certificates().exists() || folder.store().exists()) => {}
        None => bail!("{} does not say whose it is{}", folder.path().display(), others()),
    }
    if arguments.purge {
        let path = folder.path().display().to_string();
        folder.remove()?;
        say!("stopped, and removed {path}");
    } else {
        say!("stopped; the data stays in {}", folder.path().display());
    }
    Ok(())
}

/// Removes what is left of a cluster whose data folder is lost. One that still runs makes it all again.
fn remove_lost(cluster: &str) -> Result<()> {
    ensure!(known()?.contains(cluster), "there is no cluster {cluster} on this Docker{}", others());
    remove_containers(cluster, None)?;
    sampan_pluginhost::remove_folders(cluster);
    say!("removed what the cluster {cluster} had on this machine");
    Ok(())
}

/// What to do where a folder tells of no cluster: names those there are.
fn others() -> String {
    let known: Vec<String> = known().unwrap_or_default().into_iter().collect();
    match known.as_slice() {
        [] => String::new(),
        known => format!(
            "\non this Docker there is something of {}, which may run; what one has that does not is removed by `sampan down --cluster <id>`",
            known.join(", ")
        ),
    }
}

/// The clusters that have something on this machine's Docker.
fn known() -> Result<BTreeSet<String>> {
    block_on(clusters(&DockerEndpoint::from_environment()))?.context("failed to ask Docker")
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
    block_on(remove_everything(&docker, cluster, kept_in))?.context("failed to remove the cluster's containers")
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
