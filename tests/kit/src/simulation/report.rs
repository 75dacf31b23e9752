//! What many runs came to, for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use sampan_machine::{ANY, Chart, Crossing, Edge};

use super::clients::WISHES;
use super::{Run, faults, kinds, scenarios};

/// What many runs came to.
#[derive(Debug)]
pub struct Report {
    seeds: u64,
    simulated: SignedDuration,
    steps: u64,
    commits: u64,
    revisions: u64,
    counts: BTreeMap<&'static str, u64>,
    crossings: BTreeMap<(&'static str, Crossing), u64>,
    charts: BTreeMap<&'static str, &'static Chart>,
    broken: Vec<(u64, String)>,
}

impl Default for Report {
    /// Of nothing yet.
    fn default() -> Self {
        let mut report = Self {
            seeds: 0,
            simulated: SignedDuration::ZERO,
            steps: 0,
            commits: 0,
            revisions: 0,
            counts: BTreeMap::new(),
            crossings: BTreeMap::new(),
            charts: BTreeMap::new(),
            broken: Vec::new(),
        };
        let scenarios = scenarios::NAMES.iter().copied();
        for name in faults::names().into_iter().chain(WISHES).chain(kinds::WISHES).chain(scenarios) {
            report.counts.insert(name, 0);
        }
        report
    }
}

impl Report {
    /// Takes in a run.
    pub fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.simulated += run.simulated;
        self.steps += run.steps;
        self.commits += run.commits;
        self.revisions += run.revisions;
        for (name, count) in &run.counts {
            *self.counts.entry(name).or_default() += count;
        }
        for (crossing, count) in &run.crossings {
            *self.crossings.entry(*crossing).or_default() += count;
        }
        self.charts.extend(run.charts.iter().map(|chart| (chart.name, *chart)));
        self.broken.extend(run.violation.as_ref().map(|violation| (run.course.seed, violation.to_string())));
    }

    /// How many seeds broke a law.
    pub fn violations(&self) -> usize {
        self.broken.len()
    }

    /// Operator steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The faults that never fired, the wishes nobody made, and the declared edges nobody crossed.
    pub fn missing(&self) -> Vec<String> {
        let never =
            self.counts.iter().filter(|(_, count)| **count == 0).map(|(name, _)| format!("never happened: {name}"));
        let uncrossed = self.charts.values().flat_map(|chart| {
            let missing = chart.edges.iter().filter(|edge| self.crossed(chart, edge) == 0);
            missing.map(|edge| format!("never crossed: {} {} → {} ({})", chart.name, edge.from, edge.to, edge.guard))
        });
        let undeclared = self.crossings.keys().filter(|(name, crossing)| {
            self.charts.get(name).is_some_and(|chart| chart.edge(crossing.from, crossing.to, crossing.guard).is_none())
        });
        let undeclared = undeclared.map(|(name, crossing)| {
            format!("not declared: {name} {} → {} ({})", crossing.from, crossing.to, crossing.guard)
        });
        never.chain(uncrossed).chain(undeclared).collect()
    }

    fn crossed(&self, chart: &Chart, edge: &Edge) -> u64 {
        let fits = |declared: &str, seen: &str| declared == ANY || declared == seen;
        let taken = self.crossings.iter().filter(|((name, crossing), _)| {
            let same = *name == chart.name && crossing.guard == edge.guard;
            same && fits(edge.from, crossing.from) && fits(edge.to, crossing.to)
        });
        taken.map(|(_, count)| count).sum()
    }

    /// How fast it went, in `took` of real time.
    pub fn speed(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(f64::EPSILON);
        format!(
            "{} seeds in {seconds:.1} s ({:.1} seeds/s, {:.0} operator steps/s), {:.1} h simulated, {} steps, {} commits, {} changes",
            self.seeds,
            self.seeds as f64 / seconds,
            self.steps as f64 / seconds,
            self.simulated.as_secs_f64() / 3600.0,
            self.steps,
            self.commits,
            self.revisions,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "faults and wishes:")?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(formatter, "  {count:>8}  {name}"))?;
        writeln!(formatter, "edges:")?;
        for chart in self.charts.values() {
            for edge in chart.edges {
                let count = self.crossed(chart, edge);
                writeln!(formatter, "  {count:>8}  {} {} → {} ({})", chart.name, edge.from, edge.to, edge.guard)?;
            }
        }
        writeln!(formatter, "violations: {}", self.broken.len())?;
        self.broken.iter().try_for_each(|(seed, what)| writeln!(formatter, "  seed {seed}: {what}"))
    }
}
