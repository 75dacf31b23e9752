//! Files that hold secrets: written whole or not at all, readable by their owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file of a secret that cannot be had or kept.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb} {path}")]
pub struct SecretFault {
    /// `read` or `write`.
    pub verb: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// Readable and writable by the owner alone.
const SECRET: u32 = 0o600;

/// The file's text; `None` where there is no file.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_secret(path: &Path) -> Result<Option<String>, SecretFault> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SecretFault { verb: "read", path: path.to_owned(), source }),
    }
}

/// Replaces the file by `text` at once: a reader sees the old or the new, never a part.
///
/// # Errors
/// When the disk does not take it.
pub fn write_secret(path: &Path, text: &str) -> Result<(), SecretFault> {
    replace(path, text).map_err(|source| SecretFault { verb: "write", path: path.to_owned(), source })
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
            assert_eq!(read_secret(&path).unwrap().as_deref(), Some(text));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error() {
        assert!(read_secret(Path::new("/nonexistent/secret")).unwrap().is_none());
    }
}
