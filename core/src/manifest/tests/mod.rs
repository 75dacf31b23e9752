//! The directory's rules, told as the life of files. No disk, no store: a table stands for the cluster.

mod life;
mod removal;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::object::{Name, ObjectKey, ResourceType, Revision, Uid};
use crate::resource::{Cell, Registry, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::{Status, StatusCause};

struct Plain;

impl Strategy for Plain {
    fn cells(&self, _object: &Value, _now: Timestamp) -> Vec<Cell> {
        Vec::new()
    }
}

pub(super) fn definition(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    scope: Scope,
) -> ResourceDefinition {
    let version = ServedVersion::stored(group, "v1", "");
    ResourceDefinition {
        scope,
        ..ResourceDefinition::plain(ResourceType::new(group, plural), kind, "", version, Plain)
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register(definition("", "namespaces", "Namespace", Scope::Cluster));
    registry.register(definition("", "configmaps", "ConfigMap", Scope::Namespaced));
    registry
}

/// A directory, and a table of objects that its tasks are carried out on.
struct World {
    directory: Directory,
    registry: Registry,
    now: Timestamp,
    files: BTreeMap<Name, Observation>,
    unreadable: BTreeMap<Name, String>,
    objects: BTreeMap<ObjectKey, (Value, u64)>,
    reports: BTreeMap<Name, Value>,
    revision: u64,
    writes: Vec<String>,
    refuse: Option<Status>,
}

impl World {
    fn new() -> Self {
        let registry = registry();
        Self {
            directory: Directory::new(Vec::new(), &registry),
            registry,
            now: Timestamp::UNIX_EPOCH,
            files: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            objects: BTreeMap::new(),
            reports: BTreeMap::new(),
            revision: 0,
            writes: Vec::new(),
            refuse: None,
        }
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let mut world = Self::new();
        for (path, text) in files {
            world.files.insert((*path).into(), Observation::Bytes(text.as_bytes().to_vec()));
        }
        world.scan();
        world.writes.clear();
        world
    }

    /// Saves a file as an editor does, and lets everything happen that follows at once.
    fn save(&mut self, path: &str, text: &str) {
        let observation = Observation::Bytes(text.as_bytes().to_vec());
        self.directory.observed(&path.into(), &observation, &self.registry, self.now);
        self.files.insert(path.into(), observation);
        self.run();
    }

    fn delete(&mut self, paths: &[&str]) {
        for path in paths {
            self.files.remove(*path);
        }
        self.directory.vanished(self.now);
        self.run();
    }

    /// Lets enough time pass for what is gone to be taken for gone.
    fn wait(&mut self) {
        self.pass(3_000);
    }

    /// Lets time pass, with the scans that fall due.
    fn pass(&mut self, milliseconds: u32) {
        for _ in 0..milliseconds / 100 {
            self.now += SignedDuration::from_millis(100);
            if self.directory.wants_scan(self.now) {
                self.scan();
            }
            self.run();
        }
    }

    fn scan(&mut self) {
        let directories = self.files.keys().filter_map(|path| Some(path.rsplit_once('/')?.0.into())).collect();
        let scan = Scan { files: self.files.clone(), directories, unreadable: self.unreadable.clone() };
        self.directory.scanned(Ok(scan), &self.registry, self.now);
        self.run();
    }

    /// The process ends and another begins, with what is in the store.
    fn restart(&mut self) {
        let reports = self.reports.values().cloned().collect();
        self.directory = Directory::new(reports, &self.registry);
        self.writes.clear();
    }

    fn run(&mut self) {
        while let Some(task) = self.directory.next_task(self.now) {
            match task {
                Task::Apply(apply) => self.apply(&apply),
                Task::Prune(prune) => {
                    self.writes.push(format!("delete {}", prune.key.name));
                    self.objects.remove(&prune.key);
                    self.directory.pruned(&prune.key, Ok(()), self.now);
                }
                Task::Report { file, object } => {
                    self.reports.insert(file.clone(), object.clone());
                    self.directory.reported(&file, object);
                }
                Task::Forget { file } => {
                    self.reports.remove(&file);
                    self.directory.forgotten(&file);
                }
            }
        }
    }

    fn apply(&mut self, apply: &Apply) {
        if let Some(status) = &self.refuse {
            self.directory.applied(apply, Err(status.clone()), self.now);
            return;
        }
        let found = self.objects.get(&apply.key);
        let differs = found.is_none_or(|(value, _)| *value != apply.document.value);
        let mut applied = Applied {
            uid: found.map(|_| uid(&apply.key)),
            revision: Revision(self.revision),
            changed: false,
            drifted: Vec::new(),
        };
        if apply.compare_only && differs {
            applied.drifted.push("data".to_owned());
        } else if differs {
            self.revision += 1;
            self.writes.push(format!("apply {} from {}", apply.key.name, apply.file));
            self.objects.insert(apply.key.clone(), (apply.document.value.clone(), self.revision));
            applied =
                Applied { uid: Some(uid(&apply.key)), revision: Revision(self.revision), changed: true, ..applied };
        }
        self.directory.applied(apply, Ok(applied), self.now);
    }

    /// Somebody else changes an object.
    fn tamper(&mut self, name: &str) {
        let key = map_key(name);
        self.revision += 1;
        self.objects.insert(key.clone(), (json!({ "tampered": true }), self.revision));
        self.directory.object_changed(&key, Revision(self.revision), self.now);
        self.wait();
    }

    fn names(&self) -> Vec<&str> {
        self.objects.keys().map(|key| &*key.name).collect()
    }

    fn phase(&self, path: &str) -> &str {
        self.reports.get(path).and_then(|report| report.pointer("/status/phase")?.as_str()).unwrap_or("none")
    }

    fn problem(&self, path: &str) -> &str {
        let report = self.reports.get(path);
        report.and_then(|report| report.pointer("/status/problems/0/message")?.as_str()).unwrap_or_default()
    }
}

fn uid(key: &ObjectKey) -> Uid {
    Uid(format!("uid-of-{}", key.name).into())
}

fn map_key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(ResourceType::new("", "configmaps"), "default", name)
}

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: one\n")
}

fn six() -> World {
    let texts = ["a", "b", "c", "d", "e", "f"].map(|name| (format!("{name}.yaml"), map(name)));
    let files: Vec<_> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    World::with(&files)
}

const ALL_SIX: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SIX_FILES: [&str; 6] = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml", "f.yaml"];
