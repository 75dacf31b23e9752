//! The folders on the way down to a file, so that a link back to one of them is not entered again.

use std::path::{Path, PathBuf};

use super::disk::identity;

/// A folder, and those it was come to through.
pub(super) struct Way {
    folders: Vec<(PathBuf, Option<(u64, u64)>)>,
}

impl Way {
    /// At the root, which is on every way.
    pub(super) fn from(root: &Path) -> Self {
        Self { folders: vec![(root.to_owned(), identity(root))] }
    }

    /// How many folders, the root among them.
    pub(super) fn len(&self) -> usize {
        self.folders.len()
    }

    /// Goes into a folder, unless it is on the way already. What cannot be looked at is no loop, for all one can tell.
    pub(super) fn enter(&mut self, folder: &Path) -> bool {
        let there = identity(folder);
        if self.place(there).is_some() {
            return false;
        }
        self.folders.push((folder.to_owned(), there));
        true
    }

    /// Goes back to where the last folder was entered from.
    pub(super) fn leave(&mut self) {
        self.folders.pop();
    }

    /// Goes into the folder of that name, or back to where it is on the way already.
    pub(super) fn go(&mut self, name: &str) {
        let Some((here, _)) = self.folders.last() else { return };
        let folder = here.join(name);
        let there = identity(&folder);
        match self.place(there) {
            Some(index) => self.folders.truncate(index + 1),
            None => self.folders.push((folder, there)),
        }
    }

    /// The names of the folders below the root.
    pub(super) fn below(&self) -> Vec<&str> {
        let below = self.folders.iter().skip(1);
        below.filter_map(|(path, _)| path.file_name().and_then(|name| name.to_str())).collect()
    }

    fn place(&self, identity: Option<(u64, u64)>) -> Option<usize> {
        identity.and_then(|wanted| self.folders.iter().position(|(_, known)| *known == Some(wanted)))
    }
}
