//! What lies where in a cluster's data folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The owner alone: the folder holds the keys of the cluster.
const OWNER_ALONE: u32 = 0o700;

/// A cluster's data folder.
#[derive(Debug, Clone)]
pub(crate) struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder, made where it is missing.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("failed to create the data folder {}", path.display()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ALONE))
            .with_context(|| format!("failed to protect the data folder {}", path.display()))?;
        Self::open(path)
    }

    /// The folder of a cluster that has run before.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        match path.canonicalize() {
            Ok(path) => Ok(Self(path)),
            Err(_) => bail!("there is no cluster in {}: start one with `sampan up --data {0}`", path.display()),
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The store's files.
    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The authority's and the server's certificates and keys.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// What the node keeps for its pods.
    pub(crate) fn node(&self) -> PathBuf {
        self.0.join("node")
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// Where a running cluster answers our own commands.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// The cluster's identity, which its containers carry: known without opening the store.
    pub(crate) fn cluster_id(&self) -> Result<Option<String>> {
        let path = self.cluster_id_file();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Notes the cluster's identity.
    pub(crate) fn note_cluster_id(&self, id: &str) -> Result<()> {
        let path = self.cluster_id_file();
        fs::write(&path, format!("{id}\n")).with_context(|| format!("failed to write {}", path.display()))
    }

    /// Removes the folder and everything in it, unless something is mounted there: pods' volumes are in it.
    pub(crate) fn remove(self) -> Result<()> {
        sampan_nodeagent::remove_folder(&self.0).with_context(|| format!("failed to remove {}", self.0.display()))
    }

    fn cluster_id_file(&self) -> PathBuf {
        self.0.join("cluster-id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_its_owner_alone_and_keeps_the_identity() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::create(&parent.path().join("data")).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, OWNER_ALONE);
        assert_eq!(folder.cluster_id().unwrap(), None);
        folder.note_cluster_id("abc").unwrap();
        assert_eq!(folder.cluster_id().unwrap().as_deref(), Some("abc"));
        let path = folder.path().to_owned();
        folder.remove().unwrap();
        let missing = DataFolder::open(&path).unwrap_err().to_string();
        assert!(missing.contains("sampan up"), "{missing}");
    }
}
