//! Sampan's source as somebody has it who writes an operator with it, without what is built of it being built again.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// The folder of Sampan's source.
///
/// # Errors
/// When it is not there.
pub fn source() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

/// The folder that the running test was built into.
///
/// # Errors
/// When the test is not in one.
pub fn target() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors().nth(3).map(Path::to_owned).context("a test is in its target folder")
}

/// Sampan's source in a folder of a test's own, where crates can be added. Cargo tells crates apart by where they are from their
/// workspace: from here Sampan's are where they are from its own, and so are built already.
#[derive(Debug)]
pub struct SourceCopy(TempDir);

impl SourceCopy {
    /// The source, without what is built of it and what is hidden; `manifests` is left to the test.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new() -> Result<Self> {
        let (copy, source) = (Self(tempfile::Builder::new().prefix("sampan-test-").tempdir()?), source()?);
        for entry in std::fs::read_dir(&source)? {
            let path = entry?.path();
            let name = path.file_name().context("an entry has a name")?;
            let is_left_out = name == "target" || name == "manifests" || name.to_string_lossy().starts_with('.');
            if path.is_dir() && !is_left_out {
                symlink(&path, copy.folder().join(name))?;
            }
        }
        for file in ["Cargo.toml", "Cargo.lock"] {
            std::fs::copy(source.join(file), copy.folder().join(file))?;
        }
        Ok(copy)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Makes a crate that was written into a folder here, as one of a workspace of its own, a member of this one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn adopt(&self, name: &str) -> Result<()> {
        let path = self.folder().join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path)?;
        let members = format!("members = [\n    \"{name}\",");
        std::fs::write(path, manifest.replacen("members = [", &members, 1))?;
        let own = self.folder().join(name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(&own)?;
        let here = self.folder().canonicalize()?.display().to_string();
        std::fs::write(own, manifest.replace(&here, "..").replace("[workspace]", ""))
            .context("failed to write the manifest")
    }
}

/// A cargo for such a folder: what tells a test of its own crate would have what looks at it built anew.
pub fn without_own_crate(command: &mut Command) -> &mut Command {
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| is_of_this_crate(&name.to_string_lossy()));
    own.for_each(|name| {
        command.env_remove(name);
    });
    command
}

fn is_of_this_crate(variable: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_"].iter().any(|of_crate| variable.starts_with(of_crate))
}
