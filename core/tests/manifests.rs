//! The watched directory on a real disk, through the real gateway, into a store in memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use jiff::Timestamp;
use sampan_core::gateway::{
    Action, Body, Cluster, DeleteOptions, Gateway, Identity, Mutation, NamespaceLifecycle, Options, Outcome, PatchKind,
    Subresource, SystemAuthorizer, Target,
};
use sampan_core::manifest::{Keeper, MANIFEST_FILES, Planned, object_name, plan};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::{Registry, Served, builtin};
use sampan_core::store::{MemoryBackend, Origin, Settings, Store};
use serde_json::{Value, json};

const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");
const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");
/// Longer than any of it takes, the quiet before a removal included.
const SOON: Duration = Duration::from_secs(10);

struct World {
    folder: tempfile::TempDir,
    cluster: Cluster,
    keeper: Option<Keeper>,
}

impl World {
    fn start(files: &[(&str, &str)]) -> Self {
        let mut registry = Registry::default();
        for definition in builtin() {
            registry.register(definition);
        }
        let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), vec![Box::new(NamespaceLifecycle)]);
        let store = Store::open(MemoryBackend::default(), Settings::default(), Arc::new(Timestamp::now)).unwrap();
        let cluster = Cluster::new(Arc::new(gateway), store, Timestamp::now, 7);
        let mut world = Self { folder: tempfile::tempdir().unwrap(), cluster, keeper: None };
        std::fs::create_dir(world.root()).unwrap();
        files.iter().for_each(|(path, text)| world.write(path, text));
        world.create_namespace("default");
        world.keep();
        world
    }

    fn keep(&mut self) {
        self.keeper = Some(Keeper::start(self.cluster.clone(), self.root()));
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        std::fs::remove_file(self.root().join(path)).unwrap();
    }

    fn mutate(&self, key: &ObjectKey, action: Action) -> Outcome {
        self.mutate_at(key, Subresource::Whole, action)
    }

    fn mutate_at(&self, key: &ObjectKey, subresource: Subresource, action: Action) -> Outcome {
        let definition = self.cluster.registry().definition(key.resource).unwrap().clone();
        let name = (!matches!(action, Action::Create(_))).then(|| key.name.clone());
        let mutation = Mutation {
            identity: Identity::new("tester", &["system:masters"]),
            origin: Origin::Request { user: "tester".into(), client: "test".into(), verb: "patch".into() },
            target: Target {
                served: Served { version: definition.versions[0].clone(), definition },
                namespace: key.namespace.clone(),
                name,
                subresource,
            },
            action,
            options: Options { field_manager: "tester".to_owned(), ..Options::default() },
        };
        block_on(self.cluster.mutate(mutation)).unwrap()
    }

    /// What somebody is told who changes a map, and then deletes it.
    fn warnings_of_drift(&self, name: &str) -> Vec<String> {
        let drift = Body::Value(json!({ "data": { "key": "drifted" } }));
        let deletion = Action::Delete(DeleteOptions::default());
        let done = [Action::Patch(PatchKind::Merge, drift), deletion].map(|action| self.mutate(&map_key(name), action));
        let told = done.into_iter().flat_map(|outcome| match outcome {
            Outcome::Object { warnings, .. } | Outcome::Preview { warnings, .. } => warnings,
        });
        told.collect()
    }

    fn create_namespace(&self, name: &str) {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.mutate(&ObjectKey::cluster(NAMESPACES, name), Action::Create(Body::Value(object)));
    }

    fn value(&self, name: &str) -> Option<Value> {
        Some(self.cluster.snapshot().get(&map_key(name))?.value())
    }

    fn holds(&self, name: &str, value: &str) -> bool {
        self.value(name).is_some_and(|map| map.pointer("/data/key") == Some(&json!(value)))
    }

    fn file(&self, path: &str) -> Value {
        let key = ObjectKey::cluster(MANIFEST_FILES, &object_name(path));
        self.cluster.snapshot().get(&key).map(|object| object.value()).unwrap_or_default()
    }

    fn phase(&self, path: &str) -> String {
        self.file(path).pointer("/status/phase").and_then(Value::as_str).unwrap_or("none").to_owned()
    }

    fn await_phase(&self, path: &str, phase: &str) {
        self.await_that(&format!("{path} is {phase}"), |world| world.phase(path) == phase);
    }

    fn await_that(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds(self) {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop();
        }
        self.cluster.store().close();
    }
}

fn map_key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", name)
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value}\n")
}

#[test]
fn a_file_is_applied_edited_and_removed_with_its_line_as_origin() {
    let world = World::start(&[("a.yaml", &format!("# A map.\n{}", map("a", "one")))]);
    world.await_that("a is one", |world| world.holds("a", "one"));
    let origins = world.cluster.snapshot().origins(&map_key("a")).cloned().unwrap();
    assert_eq!(*origins.created, Origin::Manifest { file: "a.yaml".into(), line: 2 });
    let uid = world.value("a").unwrap().pointer("/metadata/uid").cloned();
    world.write("a.yaml", &map("a", "two"));
    world.await_that("a is two", |world| world.holds("a", "two"));
    assert_eq!(world.value("a").unwrap().pointer("/metadata/uid").cloned(), uid);
    world.await_phase("a.yaml", "Applied");
    world.remove("a.yaml");
    world.await_that("a is gone", |world| world.value("a").is_none());
    world.await_phase("a.yaml", "none");
}

#[test]
fn a_new_subdirectory_is_watched_and_a_move_there_writes_nothing() {
    let world = World::start(&[("a.yaml", &map("a", "one"))]);
    world.await_phase("a.yaml", "Applied");
    let before = world.value("a");
    std::fs::create_dir(world.root().join("deep")).unwrap();
    std::fs::rename(world.root().join("a.yaml"), world.root().join("deep/a.yaml")).unwrap();
    world.await_phase("deep/a.yaml", "Applied");
    world.await_phase("a.yaml", "none");
    assert_eq!(world.value("a"), before);
    world.write("deep/a.yaml", &map("a", "two"));
    world.await_that("an edit there is seen", |world| world.holds("a", "two"));
}

#[test]
fn drift_is_set_back_and_what_the_file_omits_is_left() {
    let world = World::start(&[("a.yaml", &map("a", "one"))]);
    world.await_phase("a.yaml", "Applied");
    let drift = json!({ "data": { "key": "drifted", "other": "kept" } });
    world.mutate(&map_key("a"), Action::Patch(PatchKind::Merge, Body::Value(drift)));
    world.await_that("the drift is repaired", |world| world.holds("a", "one"));
    assert_eq!(world.value("a").unwrap().pointer("/data/other"), Some(&json!("kept")));
    world.mutate(&map_key("a"), Action::Delete(DeleteOptions::default()));
    world.await_that("a deleted object returns", |world| world.holds("a", "one"));
}

#[test]
fn a_wrong_type_and_an_unknown_field_are_shown_at_their_place() {
    let wrong = map("a", "yes");
    let world = World::start(&[("a.yaml", &wrong), ("b.yaml", &map("b", "one").replace("\ndata:", "\ndada:"))]);
    for (file, line, column, word) in [("a.yaml", 6, 8, "data"), ("b.yaml", 5, 1, "dada")] {
        world.await_phase(file, "Invalid");
        let problem = world.file(file).pointer("/status/problems/0").cloned().unwrap();
        assert_eq!((&problem["line"], &problem["column"]), (&json!(line), &json!(column)), "{problem}");
        assert!(problem["message"].as_str().unwrap().contains(word), "{problem}");
        assert!(problem["snippet"].as_str().unwrap().contains('^'), "{problem}");
    }
    assert!(world.value("a").is_none() && world.value("b").is_none());
}

#[test]
fn a_document_waits_for_its_namespace() {
    let inside = map("a", "one").replace("name: a", "name: a\n  namespace: later");
    let world = World::start(&[("a.yaml", &inside)]);
    world.await_phase("a.yaml", "Waiting");
    world.create_namespace("later");
    world.await_phase("a.yaml", "Applied");
}

#[test]
fn a_lost_and_emptied_directory_removes_nothing_until_confirmed() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let file = |name: &str| format!("{name}.yaml");
    let mut world = World::start(&[]);
    names.iter().for_each(|name| world.write(&file(name), &map(name, "one")));
    names.iter().for_each(|name| world.await_phase(&file(name), "Applied"));
    world.keeper.take().unwrap().stop();
    std::fs::rename(world.root(), world.folder.path().join("aside")).unwrap();
    world.keep();
    world.await_that("the loss is told", |world| {
        let message = world.file("a.yaml").pointer("/status/problems/0/message").cloned();
        message.is_some_and(|message| message.to_string().contains("directory"))
    });
    std::fs::create_dir(world.root()).unwrap();
    names.iter().for_each(|name| world.await_phase(&file(name), "Gone"));
    assert!(names.iter().all(|name| world.value(name).is_some()));
    let keeper = world.keeper.as_ref().unwrap();
    let held = keeper.held();
    assert_eq!((held.len(), &*held[0].object, &*held[0].from), (names.len(), "configmaps/default/a", "a.yaml:1"));
    assert_eq!(keeper.confirm_held(Vec::new()).len(), names.len());
    world.await_that("all are gone", |world| names.iter().all(|name| world.value(name).is_none()));
}

#[test]
fn a_protected_object_stays_when_its_file_goes() {
    let protected = map("a", "one").replace("name: a", "name: a\n  annotations: {sampan.dev/prune: disabled}");
    let world = World::start(&[("a.yaml", &protected)]);
    world.await_phase("a.yaml", "Applied");
    world.remove("a.yaml");
    world.await_phase("a.yaml", "none");
    assert!(world.value("a").is_some());
}

#[test]
fn who_changes_what_a_file_holds_is_warned_where_it_is_undone() {
    let text = |name| format!("{}  other: one\n", map(name, "one"));
    let world = World::start(&[
        ("a.yaml", &text("a")),
        ("b.yaml", &format!("# sampan.dev/drift: warn\n{}", text("b"))),
        ("c.yaml", &text("c")),
        ("d.yaml", &text("d")),
    ]);
    ["a.yaml", "b.yaml", "c.yaml", "d.yaml"].iter().for_each(|file| world.await_phase(file, "Applied"));
    let expected = ["the manifest a.yaml:1 says otherwise and is put back", "the manifest a.yaml:1 makes it again"];
    assert_eq!(world.warnings_of_drift("a"), expected);
    assert_eq!(world.warnings_of_drift("b"), [""; 0], "the file lets it stand");
    std::fs::rename(world.root().join("c.yaml"), world.root().join("moved.yaml")).unwrap();
    world.await_phase("moved.yaml", "Applied");
    assert!(world.warnings_of_drift("c")[0].contains("moved.yaml:1"), "where it is now, not where it was");
    let gone = world.folder.path().join("gone");
    std::fs::rename(world.root(), &gone).unwrap();
    std::fs::create_dir(world.root()).unwrap();
    world.await_phase("d.yaml", "Gone");
    assert_eq!(world.warnings_of_drift("d"), [""; 0], "its file is gone, and only its deletion waits");
}

#[test]
fn who_tells_a_status_is_not_who_asked_for_the_object() {
    let world = World::start(&[("n.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n")]);
    world.await_phase("n.yaml", "Applied");
    let key = ObjectKey::cluster(NAMESPACES, "demo");
    let patch = |value: Value| Action::Patch(PatchKind::Merge, Body::Value(value));
    world.mutate_at(
        &key,
        Subresource::Status,
        patch(json!({ "status": { "conditions": [{ "type": "Told", "status": "True" }] } })),
    );
    let origins = world.cluster.snapshot().origins(&key).unwrap().clone();
    let told = Origin::Report { user: "tester".into(), client: "test".into() };
    let asked = Origin::Manifest { file: "n.yaml".into(), line: 1 };
    assert_eq!((&*origins.asked, &*origins.changed), (&asked, &told));
    world.mutate(&key, patch(json!({ "metadata": { "labels": { "a": "b" } } })));
    let origins = world.cluster.snapshot().origins(&key).unwrap().clone();
    assert!(matches!(&*origins.asked, Origin::Request { .. }), "{origins:?}");
}

#[test]
fn files_behind_a_swapped_link_are_read_again() {
    let world = World::start(&[]);
    let root = world.root();
    for (version, value) in [("..one", "one"), ("..two", "two")] {
        world.write(&format!("{version}/a.yaml"), &map("a", value));
    }
    std::os::unix::fs::symlink("..one", root.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    world.await_that("the first version is applied", |world| world.holds("a", "one"));
    std::os::unix::fs::symlink("..two", root.join("..data_tmp")).unwrap();
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    world.await_that("the second version is applied", |world| world.holds("a", "two"));
}

#[test]
fn a_plan_tells_what_would_change_and_changes_nothing() {
    let world = World::start(&[("a.yaml", &map("a", "one")), ("c.yaml", &map("c", "one"))]);
    world.await_phase("a.yaml", "Applied");
    world.await_phase("c.yaml", "Applied");
    let next = world.folder.path().join("next");
    std::fs::create_dir(&next).unwrap();
    std::fs::write(next.join("a.yaml"), map("a", "two")).unwrap();
    std::fs::write(next.join("b.yaml"), map("b", "one")).unwrap();
    let revision = world.cluster.snapshot().revision();
    let planned = plan(&world.cluster, &next).unwrap();
    let told: Vec<_> = planned.items.iter().map(|item| (item.action, item.object.as_str())).collect();
    let expected = [
        (Planned::Update, "configmaps/default/a"),
        (Planned::Create, "configmaps/default/b"),
        (Planned::Delete, "configmaps/default/c"),
    ];
    assert_eq!(told, expected);
    let change = &planned.items[0].changes[0];
    assert_eq!((change.field.as_str(), change.after.as_ref()), ("data.key", Some(&json!("two"))));
    assert_eq!(world.cluster.snapshot().revision(), revision);
}
