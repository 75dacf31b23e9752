//! Reading the directory. A thin shell: it remembers what it has read, so that a scan reads changed files alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::names::{is_manifest, is_searched};
use super::way::Way;
use super::{Observation, Scan};
use crate::object::Name;

/// How deep directories are searched: nobody keeps manifests deeper.
const DEPTH_MAX: usize = 16;

/// The directory on disk.
pub(super) struct Disk {
    root: PathBuf,
    seen: BTreeMap<Name, Stamp>,
}

/// What tells that a file has not changed since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Disk {
    /// A directory nothing was read of.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, seen: BTreeMap::new() }
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What the root is now; it changes when another directory takes its place.
    pub(super) fn root_identity(&self) -> Option<(u64, u64)> {
        identity(&self.root)
    }

    /// The path below the root, where it is one of a manifest: the one a scan finds it by, however many loops of links it was
    /// heard of through.
    pub(super) fn manifest_at(&self, path: &Path) -> Option<Name> {
        let below = path.strip_prefix(&self.root).ok()?;
        let (folders, file) = match below.to_str()?.rsplit_once('/') {
            Some((folders, file)) => (folders, file),
            None => ("", below.to_str()?),
        };
        let folders = || folders.split('/').filter(|folder| !folder.is_empty());
        if !folders().all(is_searched) || !is_manifest(file) {
            return None;
        }
        let mut way = Way::from(&self.root);
        folders().for_each(|folder| way.go(folder));
        Some(way.below().into_iter().chain([file]).collect::<Vec<_>>().join("/").into())
    }

    /// Reads everything that has changed since it was read last.
    pub(super) fn scan(&mut self) -> Result<Scan, String> {
        let mut scan = Scan::default();
        let root = self.root.clone();
        self.scan_folder(&root, "", &mut Way::from(&root), &mut scan)
            .map_err(|error| format!("failed to read the directory {}: {error}", self.root.display()))?;
        self.seen.retain(|path, _| scan.files.contains_key(path));
        Ok(scan)
    }

    fn scan_folder(&mut self, folder: &Path, below: &str, way: &mut Way, scan: &mut Scan) -> std::io::Result<()> {
        let entries: BTreeSet<PathBuf> =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        for path in entries {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if is_folder(&path) {
                if is_searched(name) && way.len() <= DEPTH_MAX && way.enter(&path) {
                    scan.directories.insert(below.as_str().into());
                    self.scan_subfolder(&path, &below, way, scan);
                    way.leave();
                }
            } else if is_manifest(name)
                && let Some(observation) = self.read(&below.as_str().into())
            {
                scan.files.insert(below.into(), observation);
            }
        }
        Ok(())
    }

    /// A folder that cannot be read speaks for none of its files: what was in it stays as it was.
    fn scan_subfolder(&mut self, path: &Path, below: &str, way: &mut Way, scan: &mut Scan) {
        let Err(error) = self.scan_folder(path, below, way, scan) else { return };
        if error.kind() == ErrorKind::NotFound {
            return;
        }
        scan.unreadable.insert(below.into(), error.to_string());
    }

    /// Reads a file; `None` where there is none.
    pub(super) fn read(&mut self, below: &Name) -> Option<Observation> {
        let path = self.root.join(&**below);
        match self.read_changed(below, &path) {
            Ok(observation) => Some(observation),
            Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => None,
            Err(error) => {
                self.seen.remove(below);
                Some(Observation::Unreadable(unreadable(&path, &error)))
            }
        }
    }

    fn read_changed(&mut self, below: &Name, path: &Path) -> std::io::Result<Observation> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let stamp = Stamp::of(&metadata);
        if self.seen.get(below) == Some(&stamp) {
            return Ok(Observation::Same);
        }
        // Over the limit by a byte is enough to be refused, and a larger file is not read into memory whole.
        let bytes = read_at_most(path, super::FILE_BYTES_MAX + 1)?;
        self.seen.insert(below.clone(), stamp);
        Ok(Observation::Bytes(bytes))
    }
}

/// Why a file cannot be read. A link that leads nowhere is not gone itself.
fn unreadable(path: &Path, error: &std::io::Error) -> String {
    match fs::read_link(path) {
        Ok(target) if error.kind() == ErrorKind::NotFound => {
            format!("it is a link to {}, which is not there", target.display())
        }
        _ => error.to_string(),
    }
}

/// What a file or folder is, by whatever path; `None` where it cannot be looked at.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// What cannot be looked at counts as a folder: it may hold files, and must not pass for one without any.
fn is_folder(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => error.kind() != ErrorKind::NotFound && !path.to_str().is_some_and(is_manifest),
    }
}

fn read_at_most(path: &Path, limit: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_read_is_told_from_one_that_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        // A link to itself is there, and nobody can look into it, not even root.
        std::os::unix::fs::symlink("apps", root.join("apps")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("gone")).unwrap();
        let mut disk = Disk::new(root);
        let scan = disk.scan().unwrap();
        assert_eq!(scan.unreadable.keys().map(|folder| &**folder).collect::<Vec<_>>(), ["apps"]);
        assert!(scan.directories.contains("apps") && !scan.directories.contains("gone"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told_and_is_gone_when_it_is_gone_itself() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        std::os::unix::fs::symlink("nowhere.txt", root.join("x.yaml")).unwrap();
        let mut disk = Disk::new(root.clone());
        let told = Observation::Unreadable("it is a link to nowhere.txt, which is not there".to_owned());
        assert_eq!(disk.scan().unwrap().files, BTreeMap::from([("x.yaml".into(), told)]));
        std::fs::remove_file(root.join("x.yaml")).unwrap();
        assert_eq!(disk.read(&"x.yaml".into()), None);
    }

    #[test]
    fn a_loop_of_links_holds_each_manifest_once_and_an_event_through_it_is_of_that_one() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        std::fs::create_dir(root.join("odd")).unwrap();
        std::fs::write(root.join("odd/web.yaml"), "a: 1\n").unwrap();
        for (to, link) in [(".", "odd/loop"), ("..", "odd/up"), ("odd", "other")] {
            std::os::unix::fs::symlink(to, root.join(link)).unwrap();
        }
        let mut disk = Disk::new(root.clone());
        let scan = disk.scan().unwrap();
        // A folder that is linked beside itself is no loop: it is there twice, as whoever linked it said.
        assert_eq!(scan.files.keys().map(|file| &**file).collect::<Vec<_>>(), ["odd/web.yaml", "other/web.yaml"]);
        for path in ["odd/web.yaml", "odd/loop/web.yaml", "odd/loop/loop/web.yaml", "odd/up/odd/web.yaml"] {
            assert_eq!(disk.manifest_at(&root.join(path)).as_deref(), Some("odd/web.yaml"), "{path}");
        }
        assert_eq!(disk.manifest_at(&root.join("odd/up/a.yaml")).as_deref(), Some("a.yaml"));
    }
}
