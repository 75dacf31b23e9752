//! What a suite came to, and what went wrong: as a story one can read, and the command that tells it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sampan_machine::{ANY, Chart, Edge};

use crate::cluster::Crossed;
use crate::explore::Report;
use crate::history::Fault;
use crate::property::{Breach, Property, Tally};

/// What went wrong, and how to get there.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The world.
    pub world: String,
    /// The property that does not hold.
    pub property: Property,
    /// What went wrong.
    pub problem: String,
    /// The shortest way there that was found.
    pub trace: Vec<String>,
    /// The seed of the history, if it was drawn.
    pub seed: Option<u64>,
    /// The command that shows it again; empty where a world was explored by itself.
    pub replay: String,
}

impl Failure {
    pub(crate) fn new(world: &str, breach: Breach, trace: Vec<String>, seed: Option<u64>) -> Self {
        let Breach { property, problem } = breach;
        Self { world: world.to_owned(), property, problem, trace, seed, replay: String::new() }
    }

    pub(crate) fn of_suite(mut self, suite: &str) -> Self {
        let seed = self.seed.map(|seed| format!(" --seed {seed}")).unwrap_or_default();
        self.replay = format!("sampan conformance {suite} --world '{}'{seed}", self.world);
        self
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "world {}: {}: {}", self.world, self.property, self.problem)?;
        for (at, step) in self.trace.iter().enumerate() {
            writeln!(formatter, "  {:>2}. {step}", at + 1)?;
        }
        if self.replay.is_empty() { Ok(()) } else { writeln!(formatter, "  again: {}", self.replay) }
    }
}

impl Report {
    /// The edges a chart declares that no machine took, in any of the reports.
    pub fn uncrossed(reports: &[Report], chart: &Chart) -> Vec<String> {
        let crossed: BTreeSet<Crossed> = reports.iter().flat_map(|report| report.crossed.iter().copied()).collect();
        uncrossed(&crossed, chart)
    }
}

/// The edges a chart declares that were not taken.
pub(crate) fn uncrossed(crossed: &BTreeSet<Crossed>, chart: &Chart) -> Vec<String> {
    let uncrossed = chart.edges.iter().filter(|edge| !is_taken(crossed, chart, edge));
    uncrossed.map(|edge| format!("{} → {} ({})", edge.from, edge.to, edge.guard)).collect()
}

fn is_taken(crossed: &BTreeSet<Crossed>, chart: &Chart, edge: &Edge) -> bool {
    let fits = |declared: &str, seen: &str| declared == ANY || declared == seen;
    crossed.iter().any(|(machine, from, to, guard)| {
        *machine == chart.name && edge.guard == *guard && fits(edge.from, from) && fits(edge.to, to)
    })
}

/// What a suite came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The suite, named after its operator.
    pub suite: String,
    /// The worlds explored to a fixpoint.
    pub reports: Vec<Report>,
    /// How many histories were drawn.
    pub histories: u64,
    /// How often each fault was met in them.
    pub faults: BTreeMap<Fault, u64>,
    /// How often each property was checked.
    pub tally: Tally,
    /// How many of the declared transitions were taken, and how many there are.
    pub edges: (usize, usize),
    /// Steps run: every call of an operator's step, also those of what was only tried.
    pub steps: u64,
    /// Seconds all cores together were busy with it.
    pub busy_seconds: f64,
    /// Of these, seconds for histories.
    pub drawing_seconds: f64,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// Steps per second and core.
    pub fn steps_per_second(&self) -> f64 {
        self.steps as f64 / self.busy_seconds.max(f64::EPSILON)
    }

    /// Distinct states of all worlds.
    pub fn states(&self) -> usize {
        self.reports.iter().map(|report| report.states).sum()
    }

    /// Properties that fail.
    pub fn fails(&self, property: Property) -> bool {
        self.failures.iter().any(|failure| failure.property == property)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reports.iter().try_for_each(|report| writeln!(formatter, "{report}"))?;
        let (taken, declared) = self.edges;
        writeln!(
            formatter,
            "{}: {} worlds, {} states, {} histories, {taken} of {declared} transitions, {} steps, {:.0} per second and core",
            self.suite,
            self.reports.len(),
            self.states(),
            self.histories,
            self.steps,
            self.steps_per_second(),
        )?;
        for property in Property::ALL {
            let verdict = if self.fails(property) { "FAILS" } else { "holds" };
            writeln!(formatter, "  {:<50} {:>9} checks, {verdict}", property.name(), self.tally.of(property))?;
        }
        for (fault, times) in &self.faults {
            writeln!(formatter, "  fault: {:<43} {times:>9} times", fault.name())?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(formatter, "{failure}"))
    }
}
