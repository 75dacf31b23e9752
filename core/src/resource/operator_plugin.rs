//! OperatorPlugins: operators that are programs. Here is what is stored, refused and shown of one; what it does is in
//! [`crate::plugin`].

use std::collections::BTreeSet;

use jiff::Timestamp;
use sampan_machine::{ANY, UNOBSERVED};
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{fill, set};
use super::read::{integer, items, text};
use super::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext, table};
use crate::object::{ResourceType, names};
use crate::status::StatusCause;

/// The resource type.
pub const OPERATOR_PLUGINS: ResourceType = ResourceType::new("sampan.dev", "operatorplugins");
/// Keeps a plugin that is being deleted until its program has ended and its objects are dealt with.
pub const PLUGIN_FINALIZER: &str = "sampan.dev/plugin";

/// The longest name: with `-controller` it stays a field manager and a service account.
const NAME_MAX: usize = 40;
/// The longest an answer may be waited for: a step that takes longer is work for an effect.
const DEADLINE_SECONDS_MAX: i64 = 300;
/// The most requests under way at once.
const CONCURRENCY_MAX: i64 = 64;
/// The most processes and threads.
const PROCESSES_MAX: i64 = 4096;
/// The least share of a core: with less a program does not even start in time.
const CPU_MIN_MILLIS: i64 = 10;
/// The longest an effect may go on without a word.
const EFFECT_SECONDS_MAX: i64 = 3600;
const EFFECTS_MAX: usize = 64;
const STATES_MAX: usize = 64;
const FILES_MAX: usize = 64;
const WAYS: [&str; 4] = ["Name", "Selector", "Namespace", "Everywhere"];
const VERBS: [&str; 3] = ["create", "update", "delete"];

struct OperatorPluginStrategy;

/// What an OperatorPlugin is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("sampan.dev", "v1", "dev.sampan.v1.OperatorPlugin");
    ResourceDefinition {
        short_names: &["plugin", "plugins"],
        scope: Scope::Cluster,
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(
            OPERATOR_PLUGINS,
            "OperatorPlugin",
            "operatorplugin",
            version,
            OperatorPluginStrategy,
        )
    }
}

impl Strategy for OperatorPluginStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
        fill(spec, "protocol", "v1");
        fill(spec, "removal", "Keep");
        fill(spec, "deadlineSeconds", 10);
        fill(spec, "concurrency", 4);
        fill(spec, "limits", json!({}));
        if let Some(limits) = spec.get_mut("limits") {
            fill(limits, "memory", "1Gi");
            fill(limits, "processes", 64);
            fill(limits, "cpu", "1");
        }
        for effect in spec.get_mut("effects").and_then(Value::as_array_mut).into_iter().flatten() {
            fill(effect, "deadlineSeconds", 60);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
        let Some(metadata) = object.get_mut("metadata") else { return };
        fill(metadata, "finalizers", json!([]));
        if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut)
            && !finalizers.iter().any(|finalizer| finalizer == PLUGIN_FINALIZER)
        {
            finalizers.push(PLUGIN_FINALIZER.into());
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.one_of(&spec.at("protocol"), &["v1"]);
        faults.one_of(&spec.at("removal"), &["Keep", "Delete"]);
        check_program(&spec, &mut faults);
        check_bounds(&spec, &mut faults);
        check_kind(&spec.at("primary"), &mut faults);
        spec.at("owns").items().for_each(|owned| check_kind(&owned, &mut faults));
        spec.at("watches").items().for_each(|watch| check_watch(&watch, &mut faults));
        spec.at("writes").items().for_each(|writes| check_writes(&writes, &mut faults));
        check_effects(&spec, &mut faults);
        check_states(&spec, &mut faults);
        faults.errors.causes()
    }

    fn name_faults(&self, name: &str) -> Vec<String> {
        let mut faults = names::dns_1123_label(name);
        if name.len() > NAME_MAX {
            faults.push(format!("must be no more than {NAME_MAX} characters"));
        }
        faults
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Primary", "The kind it is the operator of."),
            Column::text("Status", "Running, or what keeps it from running."),
            Column::integer("Restarts", "How often it was started again."),
            Column::text("Problem", "What is wrong with it."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![
            text(object, "/spec/primary/kind").into(),
            table::or_none(text(object, "/status/phase")),
            integer(object, "/status/restarts").into(),
            table::or_none(problem(object)),
            table::age(object, now),
        ]
    }
}

/// What the first condition says that is not as it should be.
fn problem(object: &Value) -> &str {
    let mut conditions = items(object, "/status/conditions");
    let wrong = conditions.find(|condition| text(condition, "/status") == "False");
    wrong.map(|condition| text(condition, "/message").lines().next().unwrap_or_default()).unwrap_or_default()
}

fn check_program(spec: &Field<'_>, faults: &mut Faults) {
    let command = spec.at("command");
    if command.count() == 0 {
        faults.required(&command, "the program to run");
    }
    let files = spec.at("files");
    faults.at_most(&files, FILES_MAX);
    let mut seen = BTreeSet::new();
    for file in files.items() {
        if !is_below(file.text()) {
            faults.invalid(&file, "must be a path beside the manifest or below it, without `..`");
        }
        if !seen.insert(file.text()) {
            faults.duplicate(&file);
        }
    }
    for (name, content) in spec.at("contents").entries() {
        if !seen.contains(name) {
            faults.invalid_hidden(&content, "must be one of spec.files");
        }
    }
    for (name, variable) in spec.at("environment").entries() {
        if name.is_empty() || name.contains(['=', '\0']) {
            faults.invalid_hidden(&variable, "must be the name of a variable: not empty, without `=`");
        }
    }
}

fn is_below(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn check_bounds(spec: &Field<'_>, faults: &mut Faults) {
    let limits = spec.at("limits");
    faults.number_rule(&spec.at("deadlineSeconds"), within(DEADLINE_SECONDS_MAX));
    faults.number_rule(&spec.at("concurrency"), within(CONCURRENCY_MAX));
    faults.number_rule(&limits.at("processes"), within(PROCESSES_MAX));
    let memory = limits.at("memory");
    if memory.is_set() && memory.quantity().is_none() {
        faults.invalid(&memory, "must be a quantity, such as 256Mi");
    }
    let cpu = limits.at("cpu");
    if cpu.is_set() && cpu.quantity().is_none_or(|cores| cores.milli_value() < CPU_MIN_MILLIS) {
        faults.invalid(&cpu, "must be a quantity of cores of at least 10m, such as 500m");
    }
}

fn within(most: i64) -> impl Fn(i64) -> Vec<String> {
    move |number| match (1..=most).contains(&number) {
        true => Vec::new(),
        false => vec![format!("must be between 1 and {most}, inclusive")],
    }
}

fn check_effects(spec: &Field<'_>, faults: &mut Faults) {
    faults.at_most(&spec.at("effects"), EFFECTS_MAX);
    let mut seen = BTreeSet::new();
    for effect in spec.at("effects").items() {
        let name = effect.at("name");
        faults.required_text(&name);
        if !seen.insert(name.text()) {
            faults.duplicate(&name);
        }
        faults.number_rule(&effect.at("deadlineSeconds"), within(EFFECT_SECONDS_MAX));
    }
}

fn check_kind(kind: &Field<'_>, faults: &mut Faults) {
    faults.required_text(&kind.at("apiVersion"));
    faults.required_text(&kind.at("kind"));
}

fn check_watch(watch: &Field<'_>, faults: &mut Faults) {
    check_kind(watch, faults);
    let (by, field) = (watch.at("by"), watch.at("field"));
    faults.one_of(&by, &WAYS);
    match by.text() {
        "Name" | "Selector" if !field.is_set() => faults.required(&field, "where in the primary it stands"),
        "Name" | "Selector" if !field.text().starts_with('/') => {
            faults.invalid(&field, "must be a JSON pointer, such as /spec/target");
        }
        "Namespace" | "Everywhere" if field.is_set() => faults.forbidden(&field, "only Name and Selector have a field"),
        _ => {}
    }
}

fn check_writes(writes: &Field<'_>, faults: &mut Faults) {
    check_kind(writes, faults);
    let verbs = writes.at("verbs");
    if verbs.count() == 0 {
        faults.required(&verbs, "");
    }
    verbs.items().for_each(|verb| faults.one_of(&verb, &VERBS));
}

fn check_states(spec: &Field<'_>, faults: &mut Faults) {
    let states = spec.at("states");
    if states.count() == 0 {
        faults.required(&states, "the states its objects may be in");
    }
    faults.at_most(&states, STATES_MAX);
    let mut known = BTreeSet::new();
    for state in states.items() {
        let name = state.at("name");
        faults.required_text(&name);
        if [ANY, UNOBSERVED].contains(&name.text()) {
            faults.invalid(&name, "is a name every machine has already");
        }
        if !known.insert(name.text()) {
            faults.duplicate(&name);
        }
    }
    let mut seen = BTreeSet::new();
    for edge in spec.at("edges").items() {
        faults.required_text(&edge.at("guard"));
        for end in ["from", "to"].map(|end| edge.at(end)) {
            if end.text() != ANY && end.text() != UNOBSERVED && !known.contains(end.text()) {
                faults.not_found(&end);
            }
        }
        if !seen.insert(["from", "to", "guard"].map(|name| edge.at(name).text())) {
            faults.duplicate(&edge);
        }
    }
}
