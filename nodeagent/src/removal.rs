//! Removing folders pods could write to.
//!
//! A pod with mount propagation may have mounted something in its volumes, and the mount outlives it: what is seen there is
//! somebody else's data, perhaps the machine's. Nothing that is mounted is ever gone into.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// What this process sees mounted, as proc(5) describes it.
const MOUNTS: &str = "/proc/self/mountinfo";
/// Where a line of it has the mount's path.
const MOUNT_POINT: usize = 4;

/// Removes a folder with everything in it; links are removed, not followed. A folder that is not there is removed already.
///
/// # Errors
/// Where something is mounted in it, named in the error, nothing is removed.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    remove_seeing(&fs::read(MOUNTS)?, path)
}

fn remove_seeing(mounts: &[u8], path: &Path) -> io::Result<()> {
    let removed = place(path).and_then(|place| match mounted_in(mounts, &place) {
        Some(mount) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{} is kept: something is mounted at {}; unmount it first", place.display(), mount.display()),
        )),
        None => fs::remove_dir_all(&place),
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The path as mounts are named: without links, but for the last part of it, which may be one.
fn place(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => Ok(parent.canonicalize()?.join(name)),
        _ => path.canonicalize(),
    }
}

/// The first mount at a path or below it.
fn mounted_in(mounts: &[u8], path: &Path) -> Option<PathBuf> {
    let points =
        mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(MOUNT_POINT));
    points.map(unescaped).find(|point| point.starts_with(path))
}

/// A path as the kernel writes it: what would end a field is written as a backslash and three octal digits.
fn unescaped(mut field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                path.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                field = after;
            }
            _ => {
                path.push(*first);
                field = rest;
            }
        }
    }
    OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(points: &[&Path]) -> Vec<u8> {
        let line = |point: &&Path| {
            let point = point.to_str().unwrap().replace(' ', "\\040");
            format!("36 35 98:0 / {point} rw,noatime shared:1 - ext4 /dev/root rw\n")
        };
        points.iter().map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn a_folder_in_which_something_is_mounted_is_kept_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().canonicalize().unwrap().join("a volume");
        fs::create_dir_all(folder.join("inner/mount")).unwrap();
        fs::write(folder.join("file"), "data").unwrap();
        for point in [folder.join("inner/mount"), folder.clone()] {
            let error = remove_seeing(&mounts(&[Path::new("/"), &point]), &folder).unwrap_err().to_string();
            assert!(error.contains(point.to_str().unwrap()), "{error}");
            assert!(folder.join("file").exists());
        }
        let elsewhere = parent.path().join("a volume beside");
        remove_seeing(&mounts(&[Path::new("/"), parent.path(), &elsewhere]), &folder).unwrap();
        assert!(!folder.exists());
        remove_seeing(&mounts(&[]), &folder).unwrap();
    }

    #[test]
    fn a_path_through_a_link_is_known_by_the_mount_it_leads_to() {
        let parent = tempfile::tempdir().unwrap();
        let real = parent.path().canonicalize().unwrap().join("real");
        fs::create_dir_all(real.join("volume")).unwrap();
        std::os::unix::fs::symlink(&real, parent.path().join("link")).unwrap();
        let named = parent.path().join("link/volume");
        assert!(remove_seeing(&mounts(&[&real.join("volume/mount")]), &named).is_err());
        assert!(real.join("volume").exists());
    }

    #[test]
    fn the_kernels_own_list_is_read() {
        assert_eq!(mounted_in(&fs::read(MOUNTS).unwrap(), Path::new("/proc")), Some(PathBuf::from("/proc")));
    }
}
