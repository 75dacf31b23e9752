//! The private folder a program runs in: its files and nothing else, anew at each start.
//!
//! It is below the system's folder for temporary files and not in the cluster's data: that is for its owner alone, and a
//! program that runs as another user would not get there.

use std::borrow::Cow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::group::Group;
use crate::source::Files;

/// Everybody may pass, nobody may look: the folders below are each program's own.
const PASSAGE: u32 = 0o711;
/// Its owner alone.
const PRIVATE: u32 = 0o700;
const FILE: u32 = 0o700;

/// Where a cluster's programs run.
#[derive(Debug, Clone)]
pub(crate) struct Folders(PathBuf);

impl Folders {
    /// The folders of the cluster of that id.
    pub(crate) fn of(cluster_id: &str) -> Self {
        Self(std::env::temp_dir().join(format!("sampan-plugins-{cluster_id}")))
    }

    /// Where they are.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What the cluster's programs are found by, here and among control groups.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        self.0.file_name().unwrap_or_default().to_string_lossy()
    }

    /// A folder that holds these files, for that user alone.
    pub(crate) fn make(&self, name: &str, files: &Files, user: Option<u32>) -> std::io::Result<PathBuf> {
        self.make_passage()?;
        let path = self.0.join(name);
        self.remove(name)?;
        make(&path, PRIVATE)?;
        for (file, content) in files {
            let target = path.join(file);
            let below = target.strip_prefix(&path).unwrap_or(Path::new("")).parent();
            make_all(&path, below.unwrap_or(Path::new("")), user)?;
            std::fs::write(&target, content)?;
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(FILE))?;
            give(&target, user)?;
        }
        give(&path, user)?;
        Ok(path)
    }

    /// Removes a folder, where it is there.
    pub(crate) fn remove(&self, name: &str) -> std::io::Result<()> {
        match std::fs::remove_dir_all(self.0.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what is left when no program runs any more, control groups too.
    pub(crate) fn remove_all(&self) {
        Group::remove_of(&self.name());
        let _ = std::fs::remove_dir_all(&self.0);
    }

    /// Others may write where this is made: what is there already must be ours.
    fn make_passage(&self) -> std::io::Result<()> {
        match make(&self.0, PASSAGE) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let found = std::fs::symlink_metadata(&self.0)?;
                if found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() {
                    return Ok(());
                }
                let what = format!("{} belongs to somebody else", self.0.display());
                Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, what))
            }
            made => made,
        }
    }
}

/// Removes the folders of the programs of a cluster that does not run.
pub fn remove_folders(cluster_id: &str) {
    Folders::of(cluster_id).remove_all();
}

fn make(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path)
}

fn make_all(folder: &Path, below: &Path, user: Option<u32>) -> std::io::Result<()> {
    let mut path = folder.to_owned();
    for part in below {
        path.push(part);
        if !path.is_dir() {
            make(&path, PRIVATE)?;
            give(&path, user)?;
        }
    }
    Ok(())
}

fn give(path: &Path, user: Option<u32>) -> std::io::Result<()> {
    user.map_or(Ok(()), |user| chown(path, Some(user), Some(user)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_the_files_of_now_and_nothing_of_before() {
        let parent = tempfile::tempdir().unwrap();
        let folders = Folders(parent.path().join("plugins"));
        let files = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), b"it".to_vec())).collect::<Files>();
        let path = folders.make("a", &files(&["one", "lib/two"]), None).unwrap();
        std::fs::write(path.join("left"), "behind").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
        assert_eq!(std::fs::read(path.join("lib/two")).unwrap(), b"it");
        folders.make("a", &files(&["one"]), None).unwrap();
        let names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["one"]);
    }

    #[test]
    fn a_folder_that_is_somebody_elses_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let folders = Folders(parent.path().join("plugins"));
        std::os::unix::fs::symlink(parent.path(), &folders.0).unwrap();
        let refused = folders.make("a", &Files::new(), None).unwrap_err().to_string();
        assert!(refused.contains("belongs to somebody else"), "{refused}");
    }
}
