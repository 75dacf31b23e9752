//! The workspace as the rules see it: text files by path, and the packages with what they depend on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Folders that hold no source of ours.
const SKIPPED_FOLDERS: [&str; 3] = ["target", ".git", ".sampan"];
/// The kinds of file the rules read.
const READ_EXTENSIONS: [&str; 8] = ["rs", "toml", "md", "yaml", "yml", "txt", "sh", "lock"];
/// Files without an extension that are read all the same.
const READ_NAMES: [&str; 2] = ["Makefile", "run"];

/// Text files by their path relative to the workspace, with `/` between folders.
#[derive(Debug, Default, Clone)]
pub struct Tree {
    /// Path to text.
    pub files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads every text file under `root`.
    ///
    /// # Errors
    /// When a folder or a file cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// A tree made of the given files, for the tests of the rules.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// The Rust files, path and text.
    pub fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let rust = |path: &str| Path::new(path).extension().is_some_and(|extension| extension == "rs");
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).filter(move |(path, _)| rust(path))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &path)?;
            } else if kind.is_file() && is_read(&name, &path) {
                let bytes = std::fs::read(entry.path()).with_context(|| format!("failed to read {path}"))?;
                self.files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(())
    }
}

fn is_read(name: &str, path: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    READ_NAMES.contains(&name)
        || path.starts_with("scripts/")
        || extension.is_some_and(|extension| READ_EXTENSIONS.contains(&extension))
}

/// A member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name in Cargo.
    pub name: String,
    /// Its folder, relative to the workspace.
    pub folder: String,
    /// What its code imports.
    pub dependencies: Vec<String>,
    /// What only its tests import.
    pub dev_dependencies: Vec<String>,
}

impl Package {
    /// Where the wall stands: the package's manifest.
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// The members of the workspace, as `cargo metadata` tells.
    ///
    /// # Errors
    /// When cargo fails or answers with something else than its documented format.
    pub fn read_all(root: &Path) -> Result<Vec<Self>> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(root)
            .output()
            .context("failed to run cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).context("failed to read cargo metadata")?;
        let workspace = text(&metadata, "workspace_root")?;
        list(&metadata, "packages")?.iter().map(|package| Self::from_metadata(package, workspace)).collect()
    }

    fn from_metadata(package: &Value, workspace: &str) -> Result<Self> {
        let manifest = text(package, "manifest_path")?;
        let folder = manifest.trim_start_matches(workspace).trim_start_matches('/').trim_end_matches("/Cargo.toml");
        let (mut dependencies, mut dev_dependencies) = (Vec::new(), Vec::new());
        for dependency in list(package, "dependencies")? {
            let name = text(dependency, "name")?.to_owned();
            match dependency.get("kind").and_then(Value::as_str) {
                Some("dev") => dev_dependencies.push(name),
                _ => dependencies.push(name),
            }
        }
        Ok(Self { name: text(package, "name")?.to_owned(), folder: folder.to_owned(), dependencies, dev_dependencies })
    }
}

fn text<'value>(value: &'value Value, key: &str) -> Result<&'value str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("cargo metadata has no text `{key}`"))
}

fn list<'value>(value: &'value Value, key: &str) -> Result<&'value Vec<Value>> {
    value.get(key).and_then(Value::as_array).with_context(|| format!("cargo metadata has no list `{key}`"))
}
