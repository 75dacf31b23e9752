//! `sampan simulate`: this binary's operators and node agent through the whole-system simulation.
//!
//! It lives here because only the binary may import operators and the node agent alike; the simulation itself is in the
//! conformance kit, which knows the core alone.

mod node;
mod runtime;
mod translate;

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};
use sampan_conformance::simulation::{self, Course, Report, Run, Setup, Unreachable, shortened, simulate};
use sampan_core::gateway::{NamespaceLifecycle, ServiceAccountAdmission};

use crate::args::Simulate;
use crate::operators;

/// Declared edges the simulation does not reach, each with the reason.
const UNREACHABLE: [Unreachable; 0] = [];

/// Runs the simulation and prints what it came to.
///
/// # Errors
/// When a law is broken.
pub(crate) fn run(arguments: &Simulate) -> Result<()> {
    let setup = setup();
    let (started, mut report) = (Instant::now(), Report::new(&UNREACHABLE));
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let run = simulate(&setup, &course(arguments, seed));
        report.add(&run);
        if run.violation.is_some() {
            let shown = if arguments.as_found { run } else { shortened(&setup, &run) };
            show(&shown, arguments);
            if !arguments.go_on {
                break;
            }
        } else if arguments.seeds == 1 {
            println!("seed {seed}: nothing is wrong, trace {:016x}", run.hash);
        }
    }
    print!("{report}");
    println!("{}", report.speed(started.elapsed()));
    let missing = report.missing();
    missing.iter().for_each(|what| println!("{what}"));
    match (report.violations(), arguments.strict && !missing.is_empty()) {
        (0, false) => Ok(()),
        (0, true) => bail!("{} faults or edges were never met", missing.len()),
        (count, _) => bail!("{count} seeds broke a law"),
    }
}

/// The system as it ships.
fn setup() -> Setup {
    Setup {
        definitions: operators::definitions().into(),
        admissions: || vec![Box::new(NamespaceLifecycle), Box::new(ServiceAccountAdmission)],
        operators: |driver| operators::install(driver, "the simulation's root certificate"),
        node: |name: &str, seed: u64, now: Timestamp| -> Box<dyn simulation::Node> {
            Box::new(node::VirtualNode::new(name, seed, now))
        },
    }
}

fn course(arguments: &Simulate, seed: u64) -> Course {
    Course {
        seed,
        nodes: arguments.nodes,
        lasting: SignedDuration::from_secs((arguments.hours * 3600.0) as i64),
        without: arguments.without.iter().cloned().collect::<BTreeSet<String>>(),
    }
}

/// The story of a law that was broken, and the command that tells it again.
fn show(run: &Run, arguments: &Simulate) {
    let Some(violation) = &run.violation else { return };
    println!("seed {}: {violation}", run.course.seed);
    run.story.iter().for_each(|line| println!("  {line}"));
    let without = run.course.without.iter().fold(String::new(), |out, what| out + &format!(" --without {what:?}"));
    println!(
        "replay: sampan simulate --seed {} --hours {} --nodes {}{without} --as-found",
        run.course.seed, arguments.hours, run.course.nodes
    );
}

#[cfg(test)]
mod tests;
