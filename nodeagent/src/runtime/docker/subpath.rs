//! Parts of volumes seen in containers (`subPath`).
//!
//! Whoever writes to a volume may put a link in the place of a part of it, while its path is looked at or after: it must never
//! lead out of the volume. So the part is opened below the volume, and what was opened is mounted where nobody else writes; Docker is
//! given that place.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::geteuid;

use crate::pod::Uid;

/// Where parts are mounted: nothing is kept there over a restart of the machine, as mounts are not.
const ROOT: &str = "/run/sampan/subpaths";

/// The parts of a pod's volumes.
#[derive(Debug, Clone)]
pub(super) struct Subpaths(PathBuf);

impl Subpaths {
    /// Those of a pod.
    pub(super) fn of(uid: &Uid) -> Self {
        Self(Path::new(ROOT).join(&*uid.0))
    }

    /// Where they are mounted.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The path Docker is given for a part of a volume, made as a directory where it is missing. `place` tells it from the other
    /// parts of the pod's containers.
    pub(super) fn prepare(&self, volume: &Path, inner: &str, place: &str) -> io::Result<PathBuf> {
        let part = open_or_make(volume, Path::new(inner))?;
        let itself = PathBuf::from(format!("/proc/self/fd/{}", part.as_raw_fd()));
        if !geteuid().is_root() {
            // Only root mounts. The path as it is now is in the volume; whoever may write there may still change it.
            return fs::read_link(itself);
        }
        let target = self.0.join(place);
        release(&target)?;
        fs::create_dir_all(&self.0)?;
        match FileType::from_raw_mode(fstat(&part)?.st_mode) {
            FileType::Directory => fs::create_dir(&target)?,
            _ => drop(fs::File::create_new(&target)?),
        }
        mount_bind(itself, &target)?;
        Ok(target)
    }

    /// Lets all of them go. What is still mounted is never gone into: what is there is the volume's.
    pub(super) fn remove(&self) -> io::Result<()> {
        let parts = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            parts => parts?,
        };
        for part in parts {
            release(&part?.path())?;
        }
        fs::remove_dir(&self.0)
    }
}

/// Unmounts what is mounted at a path, and removes the empty file or directory below it.
fn release(target: &Path) -> io::Result<()> {
    match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if target.is_dir() { fs::remove_dir(target) } else { fs::remove_file(target) }
}

/// Opens what is at `inner` below `volume`, whatever links are there; what is missing is made, as directories.
fn open_or_make(volume: &Path, inner: &Path) -> io::Result<OwnedFd> {
    let root = open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut reached = PathBuf::new();
    for part in inner.components() {
        let parent = below(&root, &reached)?;
        reached.push(part);
        match below(&root, &reached) {
            Err(Errno::NOENT) => match mkdirat(&parent, part.as_os_str(), Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            },
            found => drop(found?),
        }
    }
    Ok(below(&root, &reached)?)
}

fn below(root: &OwnedFd, inner: &Path) -> rustix::io::Result<OwnedFd> {
    let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { inner };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(root, inner, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// A volume, what is outside of it, and a place for parts. No link leads out of the ground: whoever breaks what is tested here
    /// breaks nothing else.
    struct Ground {
        directory: Option<tempfile::TempDir>,
        volume: PathBuf,
        outside: PathBuf,
        parts: Subpaths,
    }

    impl Ground {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let [volume, outside, parts] = ["volume", "outside", "parts"].map(|name| directory.path().join(name));
            fs::create_dir_all(volume.join("there/deep")).unwrap();
            fs::create_dir_all(outside.join("etc")).unwrap();
            fs::write(volume.join("file"), "text").unwrap();
            let absolute = outside.to_str().unwrap();
            let links = [("near", "there"), ("far", "../outside"), ("root", absolute), ("there/up", "../../outside")];
            links.iter().for_each(|(link, to)| symlink(to, volume.join(link)).unwrap());
            Self { directory: Some(directory), volume, outside, parts: Subpaths(parts) }
        }
    }

    impl Drop for Ground {
        /// What is still mounted when a test fails would be gone into when the folder is removed: it stays then.
        fn drop(&mut self) {
            if self.parts.remove().is_err() {
                self.directory.take().map(tempfile::TempDir::keep);
            }
        }
    }

    #[test]
    fn no_link_leads_out_of_a_volume() {
        let ground = Ground::new();
        let volume = &ground.volume;
        let inode = |path: &str| fs::metadata(volume.join(path)).unwrap().ino();
        for inner in ["there", "there/deep", "near/deep", "file", "new/deep", "near/new"] {
            let opened = open_or_make(volume, Path::new(inner)).unwrap();
            assert_eq!(fstat(&opened).unwrap().st_ino, inode(inner), "{inner}");
        }
        for inner in ["far", "far/new", "root", "root/etc", "root/new", "there/up/new", "near/up", "file/new"] {
            assert!(open_or_make(volume, Path::new(inner)).is_err(), "{inner}");
        }
        assert_eq!(fs::read_dir(&ground.outside).unwrap().count(), 1, "nothing is made outside");
    }

    #[test]
    fn a_part_is_mounted_and_let_go_with_its_content_kept() {
        if !geteuid().is_root() {
            return;
        }
        let ground = Ground::new();
        let Ground { volume, outside, parts, .. } = &ground;
        let first = parts.prepare(volume, "there", "main-0").unwrap();
        // A link in its place leads nowhere: what was opened is what is mounted.
        fs::rename(volume.join("there"), volume.join("elsewhere")).unwrap();
        symlink(outside, volume.join("there")).unwrap();
        assert!(first.join("deep").is_dir());
        assert!(parts.prepare(volume, "there", "main-0").is_err(), "it leads out now");
        let again = parts.prepare(volume, "elsewhere", "main-0").unwrap();
        assert_eq!((&first, again.join("deep").is_dir()), (&again, true));
        let file = parts.prepare(volume, "file", "main-1").unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "text");
        parts.remove().unwrap();
        assert!(!parts.path().exists());
        assert!(volume.join("elsewhere/deep").is_dir() && volume.join("file").is_file());
        parts.remove().unwrap();
    }
}
