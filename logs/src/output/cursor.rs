//! How far an output has come, on disk.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How far an output has come.
///
/// A line may be sent before it is on the node's disk, and a node that is killed collects it again; if it cannot, other lines
/// take its number. So a place beyond what was on disk holds only where the line before it is the one that was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Where to read on, by run.
    pub(crate) places: BTreeMap<String, Place>,
    /// Lines that were delivered.
    pub delivered: u64,
    /// Lines that were gone before they were sent.
    pub dropped: u64,
}

/// Where to read on in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    /// The first line that is not delivered.
    pub(crate) next: u64,
    /// The time of the line before it.
    pub(crate) before_ns: i64,
    /// Up to here lines were on disk: these never change.
    pub(crate) durable: u64,
    /// The end of the run as last seen.
    pub(crate) end: u64,
}

/// Why a cursor cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The file does not do what it should.
    #[error("failed to {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
}

impl Cursor {
    /// Reads a cursor. Nothing where there is none yet, or where what is there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(path: &Path) -> Result<Option<Self>, CursorError> {
        match std::fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CursorError::File { verb: "read", path: path.to_owned(), source }),
        }
    }

    /// Keeps the cursor: whoever is killed meanwhile finds the one of before, whole.
    ///
    /// # Errors
    /// When the disk refuses it; the one of before stays.
    pub fn save(&self, path: &Path) -> Result<(), CursorError> {
        let half = path.with_extension("new");
        let write = || {
            let mut file = std::fs::File::create(&half)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_data()?;
            std::fs::rename(&half, path)
        };
        write().map_err(|source| CursorError::File { verb: "write", path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_found_again_and_what_is_none_is_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        assert_eq!(Cursor::load(&path).unwrap(), None);
        let place = Place { next: 7, before_ns: -3, durable: 5, end: 9 };
        let cursor = Cursor { places: BTreeMap::from([("1".to_owned(), place)]), delivered: 6, dropped: 1 };
        cursor.save(&path).unwrap();
        assert_eq!(Cursor::load(&path).unwrap(), Some(cursor.clone()));
        std::fs::write(path.with_extension("new"), "{\"pla").unwrap();
        assert_eq!(Cursor::load(&path).unwrap(), Some(cursor), "half a cursor is not looked at");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Cursor::load(&path).unwrap(), None);
        assert!(Cursor::load(folder.path()).is_err() && Cursor::default().save(&folder.path().join("no/way")).is_err());
    }
}
