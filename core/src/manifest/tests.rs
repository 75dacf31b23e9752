//! The directory's rules, told as the life of files. No disk, no store: a table stands for the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::object::{Name, ObjectKey, ResourceType, Revision, Uid};
use crate::resource::{Cell, Registry, ResourceDefinition, Scope, ServedVersion, Strategy, Verb};
use crate::status::{Status, StatusCause};

struct Plain;

impl Strategy for Plain {
    fn cells(&self, _object: &Value, _now: Timestamp) -> Vec<Cell> {
        Vec::new()
    }
}

fn definition(plural: &'static str, kind: &'static str, scope: Scope) -> ResourceDefinition {
    ResourceDefinition {
        resource: ResourceType::new("", plural),
        kind,
        singular: "",
        short_names: &[],
        categories: &[],
        scope,
        versions: vec![ServedVersion::stored("", "v1", "")],
        has_status: false,
        scale: None,
        verbs: Verb::ALL,
        subresources: &[],
        selectable: &[],
        selectable_paths: Vec::new(),
        indexed: &[],
        share: None,
        ttl_seconds: None,
        has_generation: false,
        defined_by: None,
        converter: None,
        strategy: Arc::new(Plain),
        questions: Vec::new(),
        measure: None,
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register(definition("namespaces", "Namespace", Scope::Cluster));
    registry.register(definition("configmaps", "ConfigMap", Scope::Namespaced));
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

    /// Lets time pass, with the scans that fall due.
    fn wait(&mut self) {
        self.now += SignedDuration::from_secs(1);
        if self.directory.wants_scan(self.now) {
            self.scan();
        }
        self.run();
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

#[test]
fn a_saved_file_is_applied_at_once_and_a_deleted_one_goes_after_a_scan() {
    let mut world = World::with(&[]);
    world.save("a.yaml", &map("a"));
    assert_eq!(world.names(), ["a"]);
    assert_eq!(world.phase("a.yaml"), "Applied");
    world.delete(&["a.yaml"]);
    assert_eq!(world.names(), ["a"], "only a scan may conclude that a file is gone");
    world.wait();
    assert!(world.names().is_empty());
    assert_eq!(world.phase("a.yaml"), "none");
}

#[test]
fn a_document_taken_out_takes_its_object_alone() {
    let mut world = World::with(&[("both.yaml", &format!("{}---\n{}", map("a"), map("b")))]);
    world.save("both.yaml", &map("a"));
    world.wait();
    assert_eq!(world.names(), ["a"]);
    assert_eq!(world.writes, ["delete b"]);
}

#[test]
fn renaming_a_file_or_moving_a_document_writes_to_no_object() {
    let mut world = World::with(&[("old.yaml", &map("a"))]);
    world.delete(&["old.yaml"]);
    world.save("new.yaml", &map("a"));
    world.wait();
    assert_eq!(world.writes, [""; 0]);
    assert_eq!((world.phase("old.yaml"), world.phase("new.yaml")), ("none", "Applied"));
    world.save("other.yaml", &format!("{}---\n{}", map("b"), map("a")));
    world.delete(&["new.yaml"]);
    world.wait();
    assert_eq!(world.writes, ["apply b from other.yaml"]);
    assert_eq!(world.names(), ["a", "b"]);
}

#[test]
fn a_file_that_does_not_parse_keeps_its_last_good_version() {
    let mut world = World::with(&[("a.yaml", &map("a"))]);
    world.save("a.yaml", "kind: [\n");
    world.wait();
    assert_eq!(world.phase("a.yaml"), "Invalid");
    assert_eq!(world.writes, [""; 0]);
    world.tamper("a");
    assert_eq!(world.writes, ["apply a from a.yaml"], "the last good version is still enforced");
    world.restart();
    world.scan();
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a"], "Invalid"));
    world.save("a.yaml", &map("b"));
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["b"], "Applied"));
}

#[test]
fn a_truncated_file_takes_nothing_with_it() {
    let mut world = World::with(&[("a.yaml", &map("a"))]);
    world.save("a.yaml", "");
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a"], "Invalid"));
}

#[test]
fn a_missing_root_removes_nothing_and_says_so() {
    let mut world = six();
    world.directory.scanned(Err("the directory is gone".to_owned()), &world.registry, world.now);
    world.run();
    assert_eq!(world.names(), ALL_SIX);
    assert!(world.problem("a.yaml").contains("is gone"), "{}", world.problem("a.yaml"));
    world.files.clear();
    world.scan();
    world.wait();
    assert_eq!(world.names(), ALL_SIX, "an empty directory in its place is no intent either");
}

#[test]
fn an_empty_root_at_start_removes_nothing_until_confirmed() {
    let mut world = World::with(&[("a.yaml", &map("a"))]);
    world.restart();
    world.files.clear();
    world.scan();
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a"], "Gone"));
    world.restart();
    world.scan();
    world.wait();
    assert_eq!(world.names(), ["a"], "what is held stays held over a restart");
    world.directory.report_changed("a.yaml", true, true);
    world.run();
    assert!(world.names().is_empty());
    assert_eq!(world.phase("a.yaml"), "none");
}

#[test]
fn a_large_burst_is_held_and_released_by_a_confirmation_or_by_the_files_return() {
    let mut world = six();
    world.delete(&SIX_FILES);
    world.wait();
    assert_eq!(world.names(), ALL_SIX);
    assert!(world.problem("b.yaml").contains("sampan prune --confirm"), "{}", world.problem("b.yaml"));
    world.save("a.yaml", &map("a"));
    assert_eq!(world.phase("a.yaml"), "Applied");
    for file in &SIX_FILES[1..] {
        world.directory.report_changed(file, true, true);
    }
    world.run();
    assert_eq!(world.names(), ["a"]);
}

#[test]
fn the_last_files_deleted_together_are_held_however_few_they_are() {
    let mut world = World::with(&[("a.yaml", &map("a")), ("b.yaml", &map("b"))]);
    world.delete(&["a.yaml", "b.yaml"]);
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a", "b"], "Gone"));
    assert!(world.problem("b.yaml").contains("no manifest is left"), "{}", world.problem("b.yaml"));
    world.directory.confirm_all();
    world.run();
    assert!(world.names().is_empty());
}

#[test]
fn a_few_files_deleted_together_are_plain_intent() {
    let mut world = six();
    world.delete(&SIX_FILES[..3]);
    world.wait();
    assert_eq!(world.names(), ["d", "e", "f"]);
}

#[test]
fn one_file_deleted_while_watched_is_plain_intent_however_much_it_held() {
    let text = ALL_SIX.map(map).join("---\n");
    let mut world = World::with(&[("all.yaml", &text)]);
    world.delete(&["all.yaml"]);
    world.wait();
    assert!(world.names().is_empty());
}

#[test]
fn the_same_deletion_found_at_start_is_held() {
    let text = ALL_SIX.map(map).join("---\n");
    let mut world = World::with(&[("all.yaml", &text), ("g.yaml", &map("g"))]);
    world.restart();
    world.files.remove("all.yaml");
    world.scan();
    world.wait();
    assert_eq!((world.names().len(), world.phase("all.yaml")), (7, "Gone"));
}

#[test]
fn the_second_file_that_names_an_object_is_refused_whatever_its_name() {
    let mut world = World::with(&[("m.yaml", &map("a"))]);
    for second in ["b.yaml", "z.yaml"] {
        world.save(second, &map("a").replace("one", "two"));
        world.wait();
        assert_eq!(world.phase(second), "Invalid");
        assert!(world.problem(second).contains("m.yaml:1"), "{}", world.problem(second));
    }
    assert_eq!(world.writes, [""; 0]);
    world.delete(&["m.yaml"]);
    world.wait();
    assert_eq!(world.writes, ["apply a from b.yaml"], "the next in line takes over, without a deletion");
}

#[test]
fn drift_is_repaired_warned_of_or_ignored_as_the_file_says() {
    let mut world = World::with(&[
        ("a.yaml", &map("a")),
        ("b.yaml", &format!("# sampan.dev/drift: warn\n{}", map("b"))),
        ("c.yaml", &format!("# sampan.dev/drift: ignore\n{}", map("c"))),
    ]);
    for name in ["a", "b", "c"] {
        world.tamper(name);
    }
    assert_eq!(world.writes, ["apply a from a.yaml"]);
    assert!(world.problem("b.yaml").contains("differs from the file: data"));
    assert_eq!((world.phase("b.yaml"), world.phase("c.yaml")), ("Applied", "Applied"));
    world.save("c.yaml", &map("c").replace("one", "two"));
    assert_eq!(world.writes.last().map(String::as_str), Some("apply c from c.yaml"), "an edit is applied all the same");
}

#[test]
fn a_restart_writes_nothing_where_nothing_changed() {
    let mut world = six();
    let reports = world.reports.clone();
    world.restart();
    world.scan();
    world.wait();
    assert_eq!(world.writes, [""; 0]);
    assert_eq!(world.reports, reports);
}

#[test]
fn namespaces_come_before_what_is_in_them() {
    let mut world = World::new();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: z}\n";
    world.files.insert("a.yaml".into(), Observation::Bytes(map("a").into_bytes()));
    world.files.insert("z.yaml".into(), Observation::Bytes(namespace.as_bytes().to_vec()));
    world.scan();
    assert_eq!(world.writes, ["apply z from z.yaml", "apply a from a.yaml"]);
}

#[test]
fn an_unknown_kind_waits_until_it_is_served() {
    let mut world = World::with(&[("w.yaml", "apiVersion: v1\nkind: Widget\nmetadata: {name: w}\n")]);
    assert_eq!(world.phase("w.yaml"), "Waiting");
    world.registry.register(definition("widgets", "Widget", Scope::Namespaced));
    let registry = world.registry.clone();
    world.directory.kinds_changed(&registry, world.now);
    world.run();
    assert_eq!((world.names(), world.phase("w.yaml")), (vec!["w"], "Applied"));
}

#[test]
fn a_refused_field_is_shown_at_its_place_and_is_not_tried_again_unchanged() {
    let mut world = World::with(&[]);
    let cause =
        StatusCause { reason: "FieldValueInvalid".into(), message: "must be two".into(), field: "data[key]".into() };
    world.refuse = Some(Status::invalid("ConfigMap", "a", vec![cause]));
    world.save("a.yaml", &map("a"));
    let problem = world.reports["a.yaml"].pointer("/status/problems/0").cloned().unwrap();
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(6), Some(8)), "{problem}");
    assert_eq!(world.phase("a.yaml"), "Invalid");
    world.refuse = None;
    world.wait();
    assert!(world.names().is_empty(), "nothing has changed that could make it valid");
    world.save("a.yaml", &map("a").replace("one", "two"));
    assert_eq!(world.phase("a.yaml"), "Applied");
}

#[test]
fn what_waits_for_a_namespace_is_applied_once_it_is_there() {
    let mut world = World::with(&[]);
    world.refuse = Some(Status::not_found("namespaces", "default"));
    world.save("a.yaml", &map("a"));
    assert_eq!(world.phase("a.yaml"), "Waiting");
    world.refuse = None;
    world.directory.namespace_changed("default", world.now);
    world.run();
    assert_eq!(world.names(), ["a"]);
}

#[test]
fn one_document_of_many_that_is_refused_is_not_tried_again_when_another_file_changes() {
    let mut world = World::with(&[]);
    world.refuse = Some(Status::invalid("ConfigMap", "a", Vec::new()));
    world.save("a.yaml", &map("a"));
    world.refuse = None;
    world.save("b.yaml", &map("b"));
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["b"], "Invalid"));
}

#[test]
fn a_confirmation_counts_for_what_is_held_and_for_nothing_later() {
    let mut world = six();
    world.delete(&SIX_FILES);
    world.wait();
    assert_eq!(world.directory.confirm_all().len(), 6);
    world.run();
    assert!(world.names().is_empty());
    assert!(world.directory.confirm_all().is_empty());
}

#[test]
fn a_folder_that_cannot_be_read_after_a_restart_keeps_its_objects() {
    let mut world = World::with(&[("apps/a.yaml", &map("a")), ("b.yaml", &map("b"))]);
    world.restart();
    let hidden = world.files.remove("apps/a.yaml").unwrap();
    world.unreadable.insert("apps".into(), "Permission denied".into());
    world.scan();
    world.wait();
    assert_eq!(world.names(), ["a", "b"]);
    let problem = world.reports["apps/a.yaml"].pointer("/status/problems/0/message").cloned().unwrap();
    assert!(problem.as_str().unwrap().contains("Permission denied"), "{problem}");
    world.unreadable.clear();
    world.files.insert("apps/a.yaml".into(), hidden);
    world.scan();
    assert_eq!((world.names(), world.phase("apps/a.yaml")), (vec!["a", "b"], "Applied"));
    world.delete(&["apps/a.yaml"]);
    world.wait();
    assert_eq!(world.names(), ["b"], "a file that is gone is told from one that cannot be read");
}
