//! What the directory holds in the cluster, kept in `ManifestFile` objects: it survives restarts.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::{Name, ObjectKey, Uid};
pub use crate::resource::MANIFEST_FILES;
use crate::resource::{Registry, Scope, Served};

/// Their `apiVersion`.
pub const API_VERSION: &str = "sampan.dev/v1";
/// Their kind.
pub const KIND: &str = "ManifestFile";

/// An object that was applied from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file.
    pub file: Name,
    /// The line its document begins at.
    pub line: u32,
    /// As the document says.
    pub api_version: String,
    /// As the document says.
    pub kind: String,
    /// The object's identity: another of the same name is not ours.
    pub uid: Uid,
    /// Why the deletion of the object waits for a confirmation.
    pub held: Option<String>,
}

/// What is kept of a file beside its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The hash of the content last applied.
    pub content_hash: String,
    /// When, RFC 3339.
    pub applied_at: String,
    /// The store's revision after that.
    pub revision: String,
}

/// All objects applied from files, and the files they came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The objects.
    pub objects: BTreeMap<ObjectKey, Entry>,
    /// The files.
    pub files: BTreeMap<Name, Record>,
}

impl Inventory {
    /// Reads what earlier lives wrote. Objects of kinds that are not served any more are left out: they cannot be deleted.
    pub fn read<'a>(manifest_files: impl IntoIterator<Item = &'a Value>, registry: &Registry) -> Self {
        let mut inventory = Self::default();
        for file in manifest_files {
            inventory.read_file(file, registry);
        }
        inventory
    }

    fn read_file(&mut self, file: &Value, registry: &Registry) {
        let Some(path) = file.pointer("/spec/path").and_then(Value::as_str).map(Name::from) else { return };
        let status = |field: &str| {
            let value = file.get("status").and_then(|status| status.get(field));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let record = Record {
            content_hash: status("contentHash"),
            applied_at: status("appliedAt"),
            revision: status("revision"),
        };
        let held = (status("phase") == "Gone").then(|| "it was held back before the restart".to_owned());
        let objects = file.pointer("/status/objects").and_then(Value::as_array);
        for object in objects.into_iter().flatten() {
            if let Some((key, entry)) = read_entry(object, &path, held.clone(), registry) {
                self.objects.insert(key, entry);
            }
        }
        self.files.insert(path, record);
    }

    /// The objects of a file.
    pub fn of_file<'a>(&'a self, file: &'a str) -> impl Iterator<Item = (&'a ObjectKey, &'a Entry)> {
        self.objects.iter().filter(move |(_, entry)| &*entry.file == file)
    }
}

fn read_entry(object: &Value, file: &Name, held: Option<String>, registry: &Registry) -> Option<(ObjectKey, Entry)> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let served = served(registry, text("apiVersion"), text("kind"))?;
    let key = key(&served, Some(text("namespace")).filter(|namespace| !namespace.is_empty()), text("name"));
    let entry = Entry {
        file: file.clone(),
        line: object.get("line").and_then(Value::as_u64).and_then(|line| u32::try_from(line).ok()).unwrap_or(1),
        api_version: text("apiVersion").to_owned(),
        kind: text("kind").to_owned(),
        uid: Uid(text("uid").into()),
        held,
    };
    (!entry.uid.as_str().is_empty()).then_some((key, entry))
}

/// What serves objects that say that of themselves.
pub(super) fn served(registry: &Registry, api_version: &str, kind: &str) -> Option<Served> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    registry.served_kind(group, version, kind)
}

/// The key of an object; one of a namespace that names none is in `default`.
pub(super) fn key(served: &Served, namespace: Option<&str>, name: &str) -> ObjectKey {
    let namespace = match served.definition.scope {
        Scope::Cluster => None,
        Scope::Namespaced => Some(Name::from(namespace.unwrap_or("default"))),
    };
    ObjectKey { resource: served.definition.resource, namespace, name: name.into() }
}
