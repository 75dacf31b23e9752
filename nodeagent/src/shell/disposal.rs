//! The end of volumes this node keeps: the data is removed where their policy says so, then the object is let go.
//!
//! What is removed is a folder named as the volume below the one folder the node keeps volumes in, and never what a path in
//! an object says: so nothing else can be. A removal that was broken off is found again by the finalizer.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use tokio_util::sync::CancellationToken;

use crate::pod::claim::is_folder_name;
use crate::removal::remove_folder;
use crate::requests::{Fate, fate, letting_go};

/// The first and the longest wait after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Who removes the data of volumes.
#[derive(Debug, Clone)]
pub(crate) struct Disposal {
    /// The node whose volumes they are; every node's where there is none.
    node: Option<String>,
    /// The folder with their data; `None` where there is no data.
    folder: Option<PathBuf>,
}

/// Why a volume is still there.
#[derive(Debug, thiserror::Error)]
enum DisposalError {
    /// The API server refused, or was not there.
    #[error("failed to let go of the volume: {0}")]
    Request(#[from] kube::Error),
    /// The disk refused.
    #[error("failed to remove its data: {0}")]
    Disk(#[from] io::Error),
}

impl Disposal {
    /// Of a node's volumes below a folder.
    pub(crate) fn of(node: &str, folder: PathBuf) -> Self {
        Self { node: Some(node.to_owned()), folder: Some(folder) }
    }

    /// Of the volumes of simulated nodes: there is nothing but the objects.
    pub(crate) fn of_nothing() -> Self {
        Self { node: None, folder: None }
    }

    /// Follows the volumes until `shutdown`.
    pub(crate) async fn run(self, client: kube::Client, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow(client) => {}
        }
    }

    async fn follow(self, client: kube::Client) {
        let volumes = Api::<PersistentVolume>::all(client);
        let config = match &self.node {
            Some(node) => Config::default().fields(&format!("spec.nodeName={node}")),
            None => Config::default(),
        };
        let under_way = Arc::new(Mutex::new(BTreeSet::new()));
        let mut seen = std::pin::pin!(watcher(volumes.clone(), config).default_backoff().applied_objects());
        while let Some(result) = seen.next().await {
            let volume = match result {
                Ok(volume) => volume,
                Err(error) => {
                    tracing::debug!(%error, "the watch of volumes broke; asking again");
                    continue;
                }
            };
            let name = volume.metadata.name.clone().unwrap_or_default();
            let is_new = || under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
            if fate(&volume) == Fate::Stays || !is_new() {
                continue;
            }
            let (this, volumes, under_way) = (self.clone(), volumes.clone(), under_way.clone());
            tokio::spawn(async move {
                this.dispose(&volumes, &name).await;
                under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            });
        }
    }

    /// Tries until the volume is gone, or is to stay after all.
    async fn dispose(&self, volumes: &Api<PersistentVolume>, name: &str) {
        let mut pause = FIRST_RETRY;
        loop {
            match self.attempt(volumes, name).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(volume = %name, %error, "failed to remove a volume; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn attempt(&self, volumes: &Api<PersistentVolume>, name: &str) -> Result<(), DisposalError> {
        let Some(volume) = volumes.get_opt(name).await? else { return Ok(()) };
        match (fate(&volume), self.folder.clone()) {
            (Fate::Stays, _) => return Ok(()),
            (Fate::GoesWithData, Some(folder)) => {
                let name = name.to_owned();
                tokio::task::spawn_blocking(move || remove_data(&folder, &name)).await.map_err(io::Error::from)??;
            }
            _ => {}
        }
        match volumes.patch(name, &PatchParams::default(), &Patch::Merge(letting_go(&volume))).await {
            Ok(_) => Ok(()),
            // The last finalizer takes the object along: what comes back need not be one.
            Err(kube::Error::SerdeError(_)) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Removes a volume's folder: the one of its name and no other. Links in it are removed, not followed.
fn remove_data(folder: &Path, name: &str) -> io::Result<()> {
    if !is_folder_name(name) {
        return Err(io::Error::other(format!("{name:?} names no folder of a volume")));
    }
    let path = folder.join(name);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.is_dir() => std::fs::remove_file(&path),
        _ => remove_folder(&path),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, outside) = (parent.path().join("volumes"), parent.path().join("outside"));
        for path in [&folder, &outside, &folder.join("pvc-1"), &folder.join("pvc-2")] {
            fs::create_dir(path).unwrap();
        }
        fs::write(outside.join("precious"), "data").unwrap();
        symlink(&outside, folder.join("pvc-1/link")).unwrap();
        symlink(&outside, folder.join("pvc-link")).unwrap();
        for name in ["..", ".", "", "../outside", "/etc/x", "pvc-1/link"] {
            assert!(remove_data(&folder, name).is_err(), "{name:?}");
        }
        for name in ["pvc-1", "pvc-link", "pvc-1"] {
            remove_data(&folder, name).unwrap();
        }
        assert!(outside.join("precious").exists() && folder.join("pvc-2").exists());
        assert!(!folder.join("pvc-1").exists() && fs::symlink_metadata(folder.join("pvc-link")).is_err());
    }
}
