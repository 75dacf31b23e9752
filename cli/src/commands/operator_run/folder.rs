//! The folder of a plugin, as `sampan operator run` installs it: its manifest with its files in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use sampan_core::manifest::{documents, text};
use serde_json::Value;

/// The folder of a plugin.
pub(super) struct PluginFolder(PathBuf);

/// What is installed of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Installed {
    /// The plugin's name.
    pub(super) name: String,
    /// All documents of its manifest; the plugin last, because it is nothing without its kinds.
    pub(super) manifests: Vec<DynamicObject>,
}

impl PluginFolder {
    pub(super) fn at(path: &Path) -> Result<Self> {
        let path = path.canonicalize().with_context(|| format!("failed to find {}", path.display()))?;
        ensure!(path.is_dir(), "{} is no folder", path.display());
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads all of it.
    pub(super) fn read(&self) -> Result<Installed> {
        let file = self.0.join("plugin.yaml");
        let bytes = std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let found = text(&bytes).and_then(|text| documents(text, false)).map_err(|problem| {
            anyhow!("{}:{}:{}: {}", file.display(), problem.at.line, problem.at.column, problem.message)
        })?;
        let (mut plugins, mut manifests) = (Vec::new(), Vec::new());
        for document in found {
            match document.identity.kind.as_str() {
                "OperatorPlugin" => plugins.push(self.filled(document.value)?),
                "CustomResourceDefinition" => manifests.push(document.value),
                other => {
                    return Err(anyhow!(
                        "{} holds a {other}: it may hold one OperatorPlugin, and definitions of kinds",
                        file.display()
                    ));
                }
            }
        }
        ensure!(plugins.len() == 1, "{} holds {} OperatorPlugins, and not one", file.display(), plugins.len());
        let manifests = manifests.into_iter().chain(plugins).map(serde_json::from_value::<DynamicObject>);
        let manifests = manifests.collect::<Result<Vec<_>, _>>().with_context(|| format!("in {}", file.display()))?;
        Ok(Installed { name: manifests.last().map(DynamicObject::name_any).unwrap_or_default(), manifests })
    }

    /// The plugin with its files in it.
    fn filled(&self, mut plugin: Value) -> Result<Value> {
        let files = plugin.pointer("/spec/files").and_then(Value::as_array).cloned().unwrap_or_default();
        for file in files.iter().filter_map(Value::as_str) {
            let path = self.0.join(file);
            let bytes = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let content = String::from_utf8(bytes)
                .map_err(|_| anyhow!("{} is no text: install the folder in the manifests directory", path.display()))?;
            if let Some(spec) = plugin.get_mut("spec").and_then(Value::as_object_mut) {
                let contents = spec.entry("contents").or_insert_with(|| Value::Object(serde_json::Map::new()));
                contents.as_object_mut().context("spec.contents is no object")?.insert(file.to_owned(), content.into());
            }
        }
        Ok(plugin)
    }
}

impl Installed {
    /// The files in which it differs.
    pub(super) fn differs_from(&self, before: &Self) -> Vec<String> {
        let contents = |installed: &Self| {
            let plugin = installed.manifests.last();
            plugin.and_then(|plugin| plugin.data.pointer("/spec/contents")?.as_object().cloned()).unwrap_or_default()
        };
        let (old, new) = (contents(before), contents(self));
        let mut files: Vec<String> =
            new.iter().filter(|(name, text)| old.get(*name) != Some(text)).map(|(name, _)| name.clone()).collect();
        if files.is_empty() {
            files.push("plugin.yaml".to_owned());
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str =
        "apiVersion: sampan.dev/v1\nkind: OperatorPlugin\nmetadata: {name: tea}\nspec:\n  files: [tea.sh]\n";

    fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, PluginFolder) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let plugin = PluginFolder::at(folder.path()).unwrap();
        (folder, plugin)
    }

    #[test]
    fn its_files_are_installed_in_it_and_a_changed_one_is_named() {
        let (place, folder) = folder(&[("plugin.yaml", PLUGIN.as_bytes()), ("tea.sh", b"cat\n")]);
        let before = folder.read().unwrap();
        assert_eq!(before.name, "tea");
        assert_eq!(before.manifests[0].data.pointer("/spec/contents/tea.sh"), Some(&"cat\n".into()));
        std::fs::write(place.path().join("tea.sh"), "tac\n").unwrap();
        let now = folder.read().unwrap();
        assert_eq!(now.differs_from(&before), ["tea.sh"]);
    }

    #[test]
    fn what_cannot_be_installed_is_said() {
        let said = |files: &[(&str, &[u8])]| format!("{:#}", folder(files).1.read().unwrap_err());
        assert!(said(&[]).contains("failed to read"));
        assert!(said(&[("plugin.yaml", b"a: [")]).contains("plugin.yaml:"));
        assert!(said(&[("plugin.yaml", PLUGIN.as_bytes())]).contains("tea.sh"));
        assert!(said(&[("plugin.yaml", PLUGIN.as_bytes()), ("tea.sh", b"\xff")]).contains("is no text"));
        let twice = format!("{PLUGIN}---\n{PLUGIN}");
        assert!(said(&[("plugin.yaml", twice.as_bytes()), ("tea.sh", b"cat")]).contains("2 OperatorPlugins"));
    }
}
