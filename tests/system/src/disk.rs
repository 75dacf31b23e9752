//! A small disk of a test's own, which can be full.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{Run, run};

/// What fills it.
const BALLAST: &str = "ballast";
/// Bytes written at once to fill it.
const FILL_BYTES: usize = 64 << 10;

/// A file system in memory at a folder. Dropping it takes it away, whoever still has files open there.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of so many bytes at a folder, which is made.
    ///
    /// # Errors
    /// When this process may not mount.
    pub fn mount(folder: PathBuf, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let size = format!("size={bytes}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "sampan-test"]).arg(&folder), "")?.succeeded()?;
        Ok(Self { folder })
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes until nothing more goes on it.
    ///
    /// # Errors
    /// When it refuses for another reason than that.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.folder.join(BALLAST))?;
        for bytes in [FILL_BYTES, 1] {
            loop {
                match ballast.write(&vec![b'x'; bytes]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => bail!("failed to fill the disk: {error}"),
                }
            }
        }
        Ok(())
    }

    /// Takes away what filled it.
    ///
    /// # Errors
    /// When it was not full.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.folder.join(BALLAST))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let gone = run(Command::new("umount").arg("--lazy").arg(&self.folder), "").and_then(Run::succeeded);
        if let Err(error) = gone {
            eprintln!("failed to unmount a test's disk: {error:#}");
        }
    }
}
