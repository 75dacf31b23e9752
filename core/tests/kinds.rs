//! Every kind of the core by its table in `tests/manifests/`: what is stored of a manifest, what is accepted and what is
//! refused, in which words, and what kubectl shows.
//!
//! A table holds a `manifest`; what is `stored` of it; changes of it, each a JSON pointer and a value (null removes, a last
//! step of `-` appends), that a create `accepts` or `refuses` and that an update `accepts_update` or `refuses_update`;
//! values of the status that are refused (`refuses_status`); and the `row` a table shows of an object, changed in the same
//! way. A refusal ends with the fault it must name, as `field: message`; `…` at its end leaves the rest open.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::executor::block_on;
use jiff::Timestamp;
use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{
    Action, Answer, Body, Cluster, FieldValidation, Gateway, Identity, Mutation, Options, Subresource,
    SystemAuthorizer, Target,
};
use sampan_core::manifest::value;
use sampan_core::resource::{Registry, Scope, Served, builtin};
use sampan_core::status::Status;
use sampan_core::store::{MemoryBackend, Origin, Settings, Store};
use serde_json::{Value, json};

/// An object was created so long ago where a row is shown.
const AGE_SECONDS: i64 = 90;

struct World {
    cluster: Cluster,
    served: Served,
    manifest: Value,
}

impl World {
    fn of(table: &Value) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let mut manifest = table["manifest"].clone();
        if manifest.pointer("/metadata/name").is_none() {
            manifest["metadata"]["name"] = json!("test");
        }
        let (version, kind) = (manifest["apiVersion"].as_str().unwrap(), manifest["kind"].as_str().unwrap());
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let served = registry.served_kind(group, version, kind).unwrap_or_else(|| panic!("{kind} is not served"));
        let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), Vec::new());
        let store = Store::open(MemoryBackend::default(), Settings::default(), Arc::new(Timestamp::now)).unwrap();
        Self { cluster: Cluster::new(Arc::new(gateway), store, Timestamp::now, 7), served, manifest }
    }

    fn mutation(&self, action: Action, subresource: Subresource, dry_run: bool) -> Mutation {
        let name = (!matches!(action, Action::Create(_))).then(|| self.manifest["metadata"]["name"].as_str().unwrap());
        let namespaced = self.served.definition.scope == Scope::Namespaced;
        Mutation {
            identity: Identity::new("tester", &["system:masters"]),
            origin: Origin::Request { user: "tester".into(), client: "test".into(), verb: "update".into() },
            target: Target {
                served: self.served.clone(),
                namespace: namespaced.then(|| "default".into()),
                name: name.map(Into::into),
                subresource,
            },
            action,
            options: Options { dry_run, field_validation: FieldValidation::Strict, ..Options::default() },
        }
    }

    /// What would be stored.
    fn dry(&self, action: Action, subresource: Subresource) -> Result<Value, Status> {
        let (cluster, mutation) = (&self.cluster, self.mutation(action, subresource, true));
        let mut entropy = SeededEntropy::new(7);
        let prepared = cluster.gateway().prepare(&cluster.snapshot(), cluster.now(), &mut entropy, &mutation)?;
        Ok(match prepared.answer {
            Answer::Preview(object) => *object,
            Answer::Unchanged(object) => object.value(),
            Answer::Committed => panic!("a dry run commits nothing"),
        })
    }

    fn create(&self) -> Value {
        let action = Action::Create(Body::Value(self.manifest.clone()));
        block_on(self.cluster.mutate(self.mutation(action, Subresource::Whole, false))).unwrap();
        let name = self.manifest["metadata"]["name"].as_str().unwrap();
        let key = self.mutation(Action::Create(Body::Value(Value::Null)), Subresource::Whole, true).target.key(name);
        self.cluster.snapshot().get(&key).unwrap().value()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cluster.store().close();
    }
}

/// The object with the changes of a case: pointers and values in turn.
fn changed(object: &Value, changes: &[Value]) -> Value {
    let mut object = object.clone();
    for change in changes.chunks(2) {
        put(&mut object, change[0].as_str().unwrap(), change[1].clone());
    }
    object
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let mut place = object;
    for step in parent.split('/').skip(1) {
        place = step_into(place, &step.replace("~1", "/"));
    }
    match (place, last) {
        (Value::Array(items), "-") => items.push(value),
        (place, last) if value.is_null() && !place.is_array() => drop(place.as_object_mut().unwrap().remove(last)),
        (place, last) => *step_into(place, &last.replace("~1", "/")) = value,
    }
}

fn step_into<'v>(place: &'v mut Value, step: &str) -> &'v mut Value {
    match step.parse::<usize>() {
        Ok(index) if place.is_array() => &mut place[index],
        _ => &mut place[step],
    }
}

/// Runs every case of a list; tells those that went otherwise than expected.
struct Report {
    file: String,
    wrong: Vec<String>,
    cases: usize,
}

impl Report {
    fn accepted(&mut self, case: &Value, answer: Result<Value, Status>) {
        self.cases += 1;
        if let Err(status) = answer {
            self.wrong.push(format!("{}: {case} was refused: {}", self.file, status.message));
        }
    }

    fn refused(&mut self, case: &Value, expected: &str, answer: Result<Value, Status>) {
        self.cases += 1;
        let faults = match answer {
            Ok(_) => Vec::new(),
            Err(status) => faults(&status),
        };
        let fits = |fault: &String| match expected.strip_suffix('…') {
            Some(start) => fault.starts_with(start),
            None => fault == expected,
        };
        if !faults.iter().any(fits) {
            self.wrong.push(format!("{}: {case} gave {faults:#?}", self.file));
        }
    }
}

fn faults(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut faults: Vec<String> = causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    if faults.is_empty() {
        faults.push(status.message.clone());
    }
    faults
}

fn cases(table: &Value, list: &str) -> Vec<(Vec<Value>, Value)> {
    let cases = table.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    cases.into_iter().map(|case| (case.as_array().unwrap().clone(), case)).collect()
}

fn split_last(case: &[Value]) -> (&str, &[Value]) {
    let (expected, changes) = case.split_last().unwrap();
    (expected.as_str().unwrap(), changes)
}

fn check(path: &Path) -> Report {
    let file = path.file_stem().unwrap().to_string_lossy().into_owned();
    let table = value(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|problem| panic!("{file}: {problem:?}"));
    let mut report = Report { file, wrong: Vec::new(), cases: 0 };
    let world = World::of(&table);
    let create = |object: Value| world.dry(Action::Create(Body::Value(object)), Subresource::Whole);
    for (changes, case) in cases(&table, "accepts") {
        report.accepted(&case, create(changed(&world.manifest, &changes)));
    }
    for (case, shown) in cases(&table, "refuses") {
        let (expected, changes) = split_last(&case);
        report.refused(&shown, expected, create(changed(&world.manifest, changes)));
    }
    let stored = world.create();
    check_stored(&table, &stored, &mut report);
    let update = |object: Value| world.dry(Action::Update(Body::Value(object)), Subresource::Whole);
    for (changes, case) in cases(&table, "accepts_update") {
        report.accepted(&case, update(changed(&stored, &changes)));
    }
    for (case, shown) in cases(&table, "refuses_update") {
        let (expected, changes) = split_last(&case);
        report.refused(&shown, expected, update(changed(&stored, changes)));
    }
    for (case, shown) in cases(&table, "refuses_status") {
        let (expected, changes) = split_last(&case);
        let object = changed(&stored, &[&[json!("/status")], changes].concat());
        report.refused(&shown, expected, world.dry(Action::Update(Body::Value(object)), Subresource::Status));
    }
    check_rows(&world, &table, &stored, &mut report);
    report
}

/// What is stored is as the table says; a `UID` there stands for the object's own.
fn check_stored(table: &Value, stored: &Value, report: &mut Report) {
    let uid = stored["metadata"]["uid"].as_str().unwrap();
    let mut bare: Value = serde_json::from_str(&stored.to_string().replace(uid, "UID")).unwrap();
    for field in ["apiVersion", "kind", "metadata"] {
        bare.as_object_mut().unwrap().remove(field);
    }
    if let Some(since) = bare.pointer_mut("/status/lastPhaseTransitionTime") {
        *since = json!("now");
    }
    report.cases += 1;
    if bare != table["stored"] {
        report.wrong.push(format!("{}: stored {bare:#}", report.file));
    }
}

fn check_rows(world: &World, table: &Value, stored: &Value, report: &mut Report) {
    let strategy = &world.served.definition.strategy;
    let mut stored = stored.clone();
    stored["metadata"]["creationTimestamp"] = json!("1970-01-01T00:00:00Z");
    let now = Timestamp::from_second(AGE_SECONDS).unwrap();
    for (case, shown) in cases(table, "rows") {
        let (expected, changes) = case.split_last().unwrap();
        let cells = strategy.cells(&changed(&stored, changes), now);
        report.cases += 1;
        if &json!(cells) != expected {
            report.wrong.push(format!("{}: {shown} shows {}", report.file, json!(cells)));
        }
        assert_eq!(strategy.columns().len(), cells.len(), "{}", report.file);
    }
}

fn tables() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests");
    let mut tables: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.sort();
    tables
}

#[test]
fn every_kind_is_stored_accepted_refused_and_shown_as_its_table_says() {
    let reports: Vec<Report> = tables().iter().map(|path| check(path)).collect();
    let wrong: Vec<&String> = reports.iter().flat_map(|report| &report.wrong).collect();
    let cases: usize = reports.iter().map(|report| report.cases).sum();
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases:\n{}",
        wrong.len(),
        wrong.iter().map(|it| it.as_str()).collect::<Vec<_>>().join("\n")
    );
    assert!(reports.iter().all(|report| report.cases >= 4), "a table without cases");
}
