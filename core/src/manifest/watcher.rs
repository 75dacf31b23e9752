//! What the system tells of the directory, in the few words that matter here. A thin shell around `notify`.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Something happened in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// A file was written and closed, or moved here: it is whole.
    Whole(PathBuf),
    /// A file is being written.
    Writing(PathBuf),
    /// Something went away, or came that is no single file: look again once all is quiet.
    Moved,
    /// Events were lost.
    Overflow,
}

/// Watches while it lives.
pub(super) struct Watcher {
    _watcher: RecommendedWatcher,
}

impl Watcher {
    /// Watches the directory and what is in it, and the place the directory is at.
    ///
    /// # Errors
    /// When the system gives no watch, or there is no such directory.
    pub(super) fn start(root: &Path, tell: impl Fn(Happening) + Send + 'static) -> Result<Self, String> {
        let place = root.parent().map(Path::to_owned).unwrap_or_default();
        let root = root.to_owned();
        let top = root.clone();
        let handler = move |event: notify::Result<Event>| match event {
            Ok(event) => happenings(&top, &event).into_iter().for_each(&tell),
            Err(_) => tell(Happening::Overflow),
        };
        let mut watcher = notify::recommended_watcher(handler).map_err(|error| error.to_string())?;
        watcher.watch(&root, RecursiveMode::Recursive).map_err(|error| error.to_string())?;
        // Without it, a directory that is moved away and comes back is found by the slow scan alone.
        if let Err(error) = watcher.watch(&place, RecursiveMode::NonRecursive) {
            tracing::debug!(place = %place.display(), %error, "the place of the manifests directory is not watched");
        }
        Ok(Self { _watcher: watcher })
    }
}

/// A folder that is followed while this lives.
pub struct Followed {
    _watcher: Watcher,
}

/// Calls `tell` when a file in the folder has become whole, or something there has gone: from another thread.
///
/// # Errors
/// When the system gives no watch, or there is no such folder.
pub fn follow_folder(folder: &Path, tell: impl Fn() + Send + 'static) -> Result<Followed, String> {
    let heed = move |happening| match happening {
        Happening::Writing(_) => {}
        _ => tell(),
    };
    Ok(Followed { _watcher: Watcher::start(folder, heed)? })
}

fn happenings(root: &Path, event: &Event) -> Vec<Happening> {
    if event.need_rescan() {
        return vec![Happening::Overflow];
    }
    let paths = event.paths.iter().filter(|path| path.starts_with(root));
    paths.filter_map(|path| happening(event.kind, path)).collect()
}

fn happening(kind: EventKind, path: &Path) -> Option<Happening> {
    // The target of links is swapped behind names like `..data`: all files change at once.
    let is_swap = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(".."));
    match kind {
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) if is_swap || path.is_dir() => Some(Happening::Overflow),
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Happening::Whole(path.to_owned())),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Some(Happening::Moved),
        EventKind::Create(CreateKind::Folder) => Some(Happening::Overflow),
        // A link is whole when it is made, and is never closed.
        EventKind::Create(_) if path.is_symlink() => Some(Happening::Whole(path.to_owned())),
        // A hard link likewise, but it cannot be told from a new file that is still written.
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Some(Happening::Writing(path.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    fn watched() -> (tempfile::TempDir, Watcher, Receiver<Happening>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("manifests");
        std::fs::create_dir(&root).unwrap();
        let (tell, told) = channel();
        let watcher = Watcher::start(&root, move |happening| drop(tell.send(happening))).unwrap();
        (folder, watcher, told)
    }

    fn await_one(told: &Receiver<Happening>, wanted: &Happening) {
        while let Ok(happening) = told.recv_timeout(Duration::from_secs(5)) {
            if happening == *wanted {
                return;
            }
        }
        panic!("never told of {wanted:?}");
    }

    #[test]
    fn a_file_is_whole_when_closed_or_moved_here_and_its_removal_is_told() {
        let (folder, _watcher, told) = watched();
        let path = folder.path().join("manifests/a.yaml");
        std::fs::write(&path, "a: 1\n").unwrap();
        await_one(&told, &Happening::Whole(path.clone()));
        let aside = folder.path().join("aside.yaml");
        std::fs::write(&aside, "a: 2\n").unwrap();
        std::fs::rename(&aside, &path).unwrap();
        await_one(&told, &Happening::Whole(path.clone()));
        std::fs::remove_file(&path).unwrap();
        await_one(&told, &Happening::Moved);
    }

    #[test]
    fn a_swapped_link_and_a_lost_root_ask_for_a_scan() {
        let (folder, _watcher, told) = watched();
        let root = folder.path().join("manifests");
        std::os::unix::fs::symlink("nowhere", root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        await_one(&told, &Happening::Overflow);
        std::fs::rename(&root, folder.path().join("away")).unwrap();
        await_one(&told, &Happening::Moved);
    }
}
