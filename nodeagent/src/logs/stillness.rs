//! Folders in which nothing happens. The kernel tells of the next thing that does, so that nobody has to look.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// What may mean that there is more to read: Docker writes, renames, and begins new files.
const STIRRED: WatchFlags = WatchFlags::MODIFY.union(WatchFlags::CREATE).union(WatchFlags::MOVE);
/// Bytes of events read at once.
const EVENTS_BYTES: usize = 4096;

/// Folders watched for one event each: one that is written to without end costs one event, not as many as writes.
pub(super) struct Stillness {
    inotify: OwnedFd,
    /// Whose folder each watch is of.
    watched: BTreeMap<i32, Vec<String>>,
}

impl Stillness {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify, watched: BTreeMap::new() })
    }

    /// Watches the folder that `path` is in, on behalf of `id`, until something happens there.
    pub(super) fn watch(&mut self, id: &str, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        let watch = inotify::add_watch(&self.inotify, folder, STIRRED | WatchFlags::ONESHOT | WatchFlags::ONLYDIR)?;
        self.watched.entry(watch).or_default().push(id.to_owned());
        Ok(())
    }

    /// Nobody wants to know of `id` any more.
    pub(super) fn forget(&mut self, id: &str) {
        self.watched.retain(|watch, ids| {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                // It may have gone with its folder.
                let _ = inotify::remove_watch(&self.inotify, *watch);
            }
            !ids.is_empty()
        });
    }

    /// On whose behalf folders were watched in which something happened.
    pub(super) fn stirred(&mut self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut stirred = Vec::new();
        // Nothing is left to read when it says that it would block.
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                stirred.extend(std::mem::take(&mut self.watched).into_values().flatten());
            }
            stirred.extend(self.watched.remove(&event.wd()).into_iter().flatten());
        }
        stirred
    }
}

impl AsFd for Stillness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_events_than_the_kernel_keeps_are_taken_as_one_for_everybody() {
        let kept: usize =
            std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).join("log");
        ["rests", "noise"].iter().for_each(|name| std::fs::create_dir(folder.path().join(name)).unwrap());
        let mut stillness = Stillness::new().unwrap();
        stillness.watch("a", &path("rests")).unwrap();
        // Whatever fills the queue: the same twice in a row would be one event.
        inotify::add_watch(&stillness.inotify, folder.path().join("noise"), WatchFlags::MODIFY).unwrap();
        let files = ["1", "2"].map(|name| std::fs::File::create(folder.path().join("noise").join(name)).unwrap());
        for file in files.iter().cycle().take(kept + 1) {
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        std::fs::write(path("rests"), "x").unwrap();
        assert_eq!(stillness.stirred(), ["a"], "what happened there has no event of its own");
        stillness.watch("a", &path("rests")).unwrap();
        std::fs::write(path("rests"), "y").unwrap();
        assert_eq!(stillness.stirred(), ["a"], "and it goes on");
    }

    #[test]
    fn a_folder_is_told_of_once_until_it_is_watched_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut stillness = Stillness::new().unwrap();
        let write = || std::fs::write(&path, "x").unwrap();
        for _ in 0..2 {
            stillness.watch("a", &path).unwrap();
            assert!(stillness.stirred().is_empty());
            write();
            write();
            assert_eq!(stillness.stirred(), ["a"]);
            write();
            assert!(stillness.stirred().is_empty());
        }
        stillness.watch("a", &path).unwrap();
        stillness.forget("a");
        write();
        assert!(stillness.stirred().is_empty());
        assert!(stillness.watch("b", Path::new("/no/such/folder/log")).is_err());
    }
}
