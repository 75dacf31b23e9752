//! A program's files, and when they have changed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use sampan_core::object::ObjectKey;
use sampan_core::plugin::PluginSpec;
use sampan_core::resource::MANIFEST_FILES;
use sampan_core::store::{Origin, Snapshot};
use serde_json::Value;

/// The most bytes of all files of a program.
const BYTES_MAX: u64 = 64 << 20;

/// The files, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What tells without reading whether a file has changed: size, time and identity of each.
pub(crate) type Stamp = Vec<(u64, i64, i64, u64)>;

/// Why a program's files are not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no folder to look in.
    #[error(
        "its files are beside its manifest, and it came from none: put it into the manifests directory, or its files into spec.contents"
    )]
    NoManifest,
    /// A file is missing, or may not be read.
    #[error("failed to read {file}: {reason}")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
    /// They are too large.
    #[error("its files hold more than {BYTES_MAX} bytes")]
    TooLarge,
}

/// The files a plugin has beside its manifest: those it does not hold itself.
pub(crate) fn beside(spec: &PluginSpec) -> Vec<String> {
    spec.files.iter().filter(|file| !spec.contents.contains_key(*file)).cloned().collect()
}

/// The files of a plugin: those it holds, and those beside its manifest in the folder.
pub(crate) fn gather(spec: &PluginSpec, folder: &Path) -> Result<Files, SourceError> {
    let held = spec.contents.iter().map(|(name, content)| (name.clone(), content.clone().into_bytes()));
    Ok(read(folder, &beside(spec))?.into_iter().chain(held).collect())
}

/// The folder of the manifest a plugin came from.
pub(crate) fn folder_of(plugin: &ObjectKey, snapshot: &Snapshot, root: &Path) -> Result<PathBuf, SourceError> {
    let file = listed(plugin, snapshot).or_else(|| applied(plugin, snapshot)).ok_or(SourceError::NoManifest)?;
    // It is stored in an object: what it says is held to be below the directory all the same.
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let file = Some(Path::new(&file)).filter(|file| file.components().all(is_plain)).ok_or(SourceError::NoManifest)?;
    Ok(root.join(file).parent().unwrap_or(root).to_owned())
}

/// The file whose ManifestFile lists the plugin.
fn listed(plugin: &ObjectKey, snapshot: &Snapshot) -> Option<String> {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let holds = |file: &Value| {
        let objects = file.pointer("/status/objects").and_then(Value::as_array);
        objects
            .into_iter()
            .flatten()
            .any(|object| text(object, "kind") == "OperatorPlugin" && text(object, "name") == *plugin.name)
    };
    let files = snapshot.list(MANIFEST_FILES, None, None).map(|file| file.value());
    let file = files.into_iter().find(holds)?;
    file.pointer("/spec/path").and_then(Value::as_str).map(str::to_owned)
}

/// The file that created the plugin: it is not listed before all of the file is applied.
fn applied(plugin: &ObjectKey, snapshot: &Snapshot) -> Option<String> {
    match &*snapshot.origins(plugin)?.created {
        Origin::Manifest { file, .. } => Some(file.clone()),
        _ => None,
    }
}

/// How the files are, without reading them.
pub(crate) fn stamp(folder: &Path, names: &[String]) -> Result<Stamp, SourceError> {
    names.iter().map(|name| stamp_of(folder, name)).collect()
}

fn stamp_of(folder: &Path, name: &str) -> Result<(u64, i64, i64, u64), SourceError> {
    let found = std::fs::metadata(folder.join(name)).map_err(|error| unreadable(name, &error))?;
    if !found.is_file() {
        return Err(SourceError::Unreadable { file: name.to_owned(), reason: "it is no file".to_owned() });
    }
    Ok((found.len(), found.mtime(), found.mtime_nsec(), found.ino()))
}

fn read(folder: &Path, names: &[String]) -> Result<Files, SourceError> {
    let sizes = stamp(folder, names)?;
    if sizes.iter().map(|(size, ..)| size).sum::<u64>() > BYTES_MAX {
        return Err(SourceError::TooLarge);
    }
    let read = |name: &String| match std::fs::read(folder.join(name)) {
        Ok(content) => Ok((name.clone(), content)),
        Err(error) => Err(unreadable(name, &error)),
    };
    names.iter().map(read).collect()
}

fn unreadable(name: &str, error: &std::io::Error) -> SourceError {
    SourceError::Unreadable { file: name.to_owned(), reason: error.to_string() }
}
