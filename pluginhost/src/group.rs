//! The control group that bounds the processor time of a plugin's processes together.
//!
//! Both hierarchies are served: version 1, and version 2 where it has the controller. Without root there is none to be had, and a
//! program yields to all others instead.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// How often the time is given anew, in microseconds: the kernel's own default.
const PERIOD_US: i64 = 100_000;

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// The group of a plugin of a cluster, which may use so many thousandths of a core; `None` where there is none to be had.
    pub(crate) fn make(cluster: &str, name: &str, cpu_millis: i64) -> Option<Self> {
        Self::make_below(Path::new(ROOT), &format!("{cluster}.{name}"), cpu_millis).ok()
    }

    /// Removes those of a cluster's plugins in which nothing runs any more: whoever is killed leaves them behind.
    pub(crate) fn remove_of(cluster: &str) {
        let prefix = format!("{cluster}.");
        for hierarchy in [Path::new(ROOT).join("cpu"), ROOT.into()] {
            let found = fs::read_dir(hierarchy).into_iter().flatten().flatten();
            let its = found.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
            its.for_each(|entry| Self(entry.path()).remove());
        }
    }

    fn make_below(root: &Path, name: &str, cpu_millis: i64) -> std::io::Result<Self> {
        let quota = cpu_millis * PERIOD_US / 1000;
        let first = root.join("cpu");
        let is_first = first.join("cgroup.procs").exists();
        let group = Self(if is_first { first } else { root.to_owned() }.join(name));
        fs::create_dir_all(&group.0)?;
        let bounded = match is_first {
            true => write(&group.0, "cpu.cfs_period_us", &PERIOD_US.to_string())
                .and_then(|()| write(&group.0, "cpu.cfs_quota_us", &quota.to_string())),
            false => write(root, "cgroup.subtree_control", "+cpu")
                .and_then(|()| write(&group.0, "cpu.max", &format!("{quota} {PERIOD_US}"))),
        };
        bounded.inspect_err(|_| group.remove())?;
        Ok(group)
    }

    /// What a process writes itself into to belong to it.
    pub(crate) fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Removes it, once nothing of it runs any more.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Writes a file the kernel has made: one that is not there is not made.
fn write(folder: &Path, file: &str, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new().write(true).open(folder.join(file))?.write_all(text.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_controller_there_is_no_group() {
        let root = tempfile::tempdir().unwrap();
        assert!(Group::make_below(root.path(), "sampan", 500).is_err());
        assert!(!root.path().join("sampan").exists(), "nothing is left of the try");
    }

    #[test]
    fn a_group_has_its_share_of_a_core() {
        let cluster = format!("sampan-test-{}", std::process::id());
        let Some(group) = Group::make(&cluster, "a", 250) else { return };
        let quota = ["cpu.cfs_quota_us", "cpu.max"].map(|file| fs::read_to_string(group.0.join(file)));
        let quota = quota.into_iter().flatten().next().unwrap();
        assert!(quota.trim() == "25000" || quota.trim() == "25000 100000", "{quota}");
        Group::remove_of(&format!("{cluster}-other"));
        assert!(group.0.exists(), "other clusters' groups are not ours");
        Group::remove_of(&cluster);
        assert!(!group.0.exists());
    }
}
