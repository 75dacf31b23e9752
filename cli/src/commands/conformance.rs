//! `sampan conformance`

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use sampan_conformance::{Explores, Fault, Outcome, Plan, Property, Suite};
use serde_json::{Value, json};
use tabled::Table;
use tabled::builder::Builder;
use tabled::settings::Style;

use crate::args::{Budget, Conformance, Format};
use crate::operators::Carried;
use crate::plugin_suite;
use crate::say::say;

/// The histories drawn of a plugin in each world of a small budget: its worlds are few and small, and every fault is to be
/// met in them.
const PLUGIN_SEEDS: u64 = 40;

pub(crate) fn run(arguments: &Conformance, carried: &Carried) -> Result<()> {
    let suites = chosen(&arguments.operator, carried)?;
    let plan = plan(arguments);
    let begun = Instant::now();
    let outcomes: Vec<Outcome> = suites.iter().map(|suite| watched(suite, &plan)).collect();
    ensure!(
        outcomes.iter().any(|outcome| !outcome.reports.is_empty() || outcome.histories > 0 || has_failed(outcome)),
        "no world `{}`: there are {}",
        arguments.world.as_deref().unwrap_or_default(),
        worlds(&suites).join(", "),
    );
    match arguments.output {
        Format::Text => {
            outcomes.iter().for_each(print);
            say!("{}", totals(&outcomes, begun.elapsed()));
        }
        Format::Json => say!("{:#}", Value::Array(outcomes.iter().map(document).collect())),
    }
    let failed: Vec<&str> = outcomes.iter().filter(|it| has_failed(it)).map(|it| it.suite.as_str()).collect();
    ensure!(failed.is_empty(), "not every property holds of {}", failed.join(", "));
    Ok(())
}

fn has_failed(outcome: &Outcome) -> bool {
    !outcome.failures.is_empty()
}

/// The suites asked for. An operator of this binary is meant before a folder of its name.
fn chosen(name: &str, carried: &Carried) -> Result<Vec<Suite>> {
    let mut suites = carried.suites();
    let names: Vec<&str> = suites.iter().map(|suite| suite.name).collect();
    let is_known = name == "all" || names.contains(&name);
    if !is_known && plugin_suite::is_path(name) {
        return Ok(vec![plugin_suite::of(Path::new(name), carried)?]);
    }
    ensure!(is_known, "no operator `{name}`: there are {}", names.join(", "));
    suites.retain(|suite| name == "all" || suite.name == name);
    Ok(suites)
}

fn worlds(suites: &[Suite]) -> Vec<String> {
    suites.iter().flat_map(Suite::worlds).map(|world| world.name).collect()
}

fn plan(arguments: &Conformance) -> Plan {
    let mut plan = match arguments.budget {
        Budget::Small => Plan::small(),
        Budget::Large => Plan::large(),
    };
    if plugin_suite::is_path(&arguments.operator) && arguments.budget == Budget::Small {
        plan.seeds = 0..PLUGIN_SEEDS;
    }
    if let Some(count) = arguments.seeds {
        plan.seeds = 0..count;
    }
    if let Some(seed) = arguments.seed {
        plan.seeds = seed..seed + 1;
        plan.explores = Explores::None;
    }
    plan.world.clone_from(&arguments.world);
    plan
}

/// Runs a suite beside a bar on standard error, which is drawn only where somebody looks.
fn watched(suite: &Suite, plan: &Plan) -> Outcome {
    let bar = ProgressBar::new(0).with_prefix(suite.name);
    let style = ProgressStyle::with_template("{prefix:>18} {bar:30} {pos}/{len} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let outcome = suite.run(plan, &|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    outcome
}

fn print(outcome: &Outcome) {
    let (taken, declared) = outcome.edges;
    say!(
        "{}: {} worlds, {} distinct states, {} histories, {taken} of {declared} transitions taken",
        outcome.suite,
        outcome.reports.len(),
        outcome.states(),
        outcome.histories,
    );
    say!("{} steps, {:.0} per second and core", outcome.steps, outcome.steps_per_second());
    say!("{}", properties(outcome));
    if outcome.histories > 0 {
        say!("{}", faults(outcome));
    }
    outcome.failures.iter().for_each(|failure| say!("{failure}"));
}

/// What all of it came to, in a few lines.
fn totals(outcomes: &[Outcome], took: Duration) -> String {
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (worlds, states) = (sum(|it| it.reports.len() as u64), sum(|it| it.states() as u64));
    let (histories, steps, failures) = (sum(|it| it.histories), sum(|it| it.steps), sum(|it| it.failures.len() as u64));
    let busy_seconds: f64 = outcomes.iter().map(|it| it.busy_seconds).sum();
    let drawing_seconds: f64 = outcomes.iter().map(|it| it.drawing_seconds).sum();
    let per = |count: u64, seconds: f64| count as f64 / seconds.max(f64::EPSILON);
    format!(
        "in all: {} operators, {worlds} worlds explored, {states} distinct states, {histories} histories, {failures} failures\n\
         {steps} steps, {:.0} per second and core; {:.1} seeds per second and core; {:.1} s, {busy_seconds:.1} s of all cores",
        outcomes.len(),
        per(steps, busy_seconds),
        per(histories, drawing_seconds),
        took.as_secs_f64(),
    )
}

fn properties(outcome: &Outcome) -> Table {
    let mut rows = Builder::new();
    rows.push_record(["PROPERTY", "CHECKS", ""]);
    for property in Property::ALL {
        let verdict = match (outcome.fails(property), outcome.tally.of(property)) {
            (true, _) => "fails",
            (false, 0) => "not met",
            (false, _) => "holds",
        };
        rows.push_record([property.name().to_owned(), outcome.tally.of(property).to_string(), verdict.to_owned()]);
    }
    framed(rows)
}

fn faults(outcome: &Outcome) -> Table {
    let mut rows = Builder::new();
    rows.push_record(["FAULT", "TIMES"]);
    for fault in Fault::ALL {
        let times = outcome.faults.get(&fault).copied().unwrap_or_default();
        rows.push_record([fault.name().to_owned(), times.to_string()]);
    }
    framed(rows)
}

fn framed(rows: Builder) -> Table {
    let mut table = rows.build();
    table.with(Style::blank());
    table
}

fn document(outcome: &Outcome) -> Value {
    let properties: Vec<Value> = Property::ALL
        .iter()
        .map(|it| json!({"property": it.name(), "checks": outcome.tally.of(*it), "holds": !outcome.fails(*it)}))
        .collect();
    let worlds: Vec<Value> = outcome
        .reports
        .iter()
        .map(|it| json!({"world": it.world, "states": it.states, "moves": it.moves, "conflicts": it.conflicts}))
        .collect();
    let faults: Vec<Value> =
        outcome.faults.iter().map(|(fault, times)| json!({"fault": fault.name(), "times": times})).collect();
    let failures: Vec<Value> = outcome
        .failures
        .iter()
        .map(|it| {
            json!({
                "world": it.world, "property": it.property.name(), "problem": it.problem, "trace": it.trace,
                "seed": it.seed, "replay": it.replay,
            })
        })
        .collect();
    json!({
        "operator": outcome.suite, "worlds": worlds, "histories": outcome.histories, "properties": properties,
        "faults": faults, "transitions": {"taken": outcome.edges.0, "declared": outcome.edges.1},
        "steps": outcome.steps, "stepsPerSecondAndCore": outcome.steps_per_second().round(), "failures": failures,
    })
}
