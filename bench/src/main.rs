//! Benchmarks: what Sampan costs, beside the budget for it.
//!
//! `make bench` runs all of them on a release build; `make bench ONLY=writes` runs one. Each figure stands beside its
//! budget and says whether it keeps it. A budget that is not kept fails nothing: figures drift with machines.

mod crowd;
mod death;
mod docker;
mod endpoints;
mod figures;
mod fleet;
mod idle;
mod logs;
mod pace;
mod paths;
mod plugins;
mod pods;
mod reads;
mod rollout;
mod rules;
mod scheduling;
mod search;
mod size;
mod startup;
mod traffic;
mod watches;
mod writes;

use anyhow::{Result, bail};
use figures::Report;

/// A benchmark: what it is called, and what it does.
type Measure = (&'static str, fn(&mut Report) -> Result<()>);

const MEASURES: [Measure; 18] = [
    ("startup", startup::measure),
    ("writes", writes::measure),
    ("size", size::measure),
    ("reads", reads::measure),
    ("watches", watches::measure),
    ("rollout", rollout::measure),
    ("fleet", fleet::measure),
    ("scheduling", scheduling::measure),
    ("idle", idle::measure),
    ("pods", pods::measure),
    ("rules", rules::measure),
    ("paths", paths::measure),
    ("endpoints", endpoints::measure),
    ("plugins", plugins::measure),
    ("logs", logs::measure),
    ("search", search::measure),
    ("traffic", traffic::measure),
    ("death", death::measure),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !MEASURES.iter().any(|(known, _)| known == name)) {
        let known: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark `{unknown}`: there are {}", known.join(", "));
    }
    let mut report = Report::start();
    for (name, measure) in MEASURES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| one == name))
    {
        let before = pace::now_ms();
        if let Err(error) = measure(&mut report) {
            report.broken(name, &error);
        }
        report.pace(name, before, pace::now_ms());
    }
    report.end()
}
