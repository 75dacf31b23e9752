//! Files that hold secrets: written whole or not at all, readable by their owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::TlsError;

/// Readable and writable by the owner alone.
const SECRET: u32 = 0o600;

/// The file's text; `None` where there is no file.
pub(super) fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsError::File { action: "read", path: path.to_owned(), source }),
    }
}

/// Replaces the file by `text` at once: a reader sees the old or the new, never a part.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<(), TlsError> {
    replace(path, text).map_err(|source| TlsError::File { action: "write", path: path.to_owned(), source })
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let draft = draft_of(path);
    // A draft left behind by a crash may have any mode: it is never reused.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(SECRET).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_readable_by_its_owner_alone_even_when_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/secret");
        for text in ["one", "two"] {
            write_secret(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error() {
        assert!(read(Path::new("/nonexistent/secret")).unwrap().is_none());
    }
}
