//! `sampan simulate`: this binary's operators and node agent through the whole-system simulation.
//!
//! It lives here because only the binary may import operators and the node agent alike; the simulation itself is in the
//! conformance kit, which knows the core alone.

mod claims;
mod node;
mod runtime;
mod translate;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;
use std::thread::{self, available_parallelism};
use std::time::Instant;

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};
use sampan_conformance::simulation::{self, Course, Report, Run, Setup, shortened, simulate};
use sampan_core::gateway::{
    Admission, DefaultStorageClass, ResourceQuota, ServiceAccountAdmission, StorageObjectInUseProtection,
};
use sampan_podcollector::PodCollector;

use crate::args::Simulate;
use crate::operators::{self, Terms};
use crate::say::{self, say};

/// From so many seeds on, a fault that never fires and a declared edge that is never crossed fail: fewer cannot meet all.
const SEEDS_FOR_ALL: u64 = 16;

/// Runs the simulation and prints what it came to.
///
/// # Errors
/// When a law is broken, or so many seeds did not meet all there is to meet.
pub(crate) fn run(arguments: &Simulate) -> Result<()> {
    let setup = setup();
    let (started, mut report) = (Instant::now(), Report::default());
    let seeds = arguments.seed..arguments.seed.saturating_add(arguments.seeds);
    simulate_all(
        &setup,
        seeds,
        |seed| course(arguments, seed),
        |run| {
            report.add(&run);
            tell(&setup, run, arguments)
        },
    );
    say::text(&report);
    say!("{}", report.speed(started.elapsed()));
    if report.violations() > 0 {
        bail!("{} seeds broke a law", report.violations());
    }
    let missing = report.missing();
    missing.iter().for_each(|what| say!("{what}"));
    if arguments.seeds >= SEEDS_FOR_ALL && arguments.without.is_empty() && !missing.is_empty() {
        bail!("{} faults, wishes or edges were never met", missing.len());
    }
    Ok(())
}

/// Runs a seed on each core, and takes what became of them in the order of the seeds, as long as more is wanted.
fn simulate_all(
    setup: &Setup,
    mut seeds: Range<u64>,
    course: impl Fn(u64) -> Course + Sync,
    mut take: impl FnMut(Run) -> ControlFlow<()>,
) {
    let cores = available_parallelism().map_or(1, NonZero::get);
    loop {
        let some: Vec<u64> = seeds.by_ref().take(cores).collect();
        if some.is_empty() {
            return;
        }
        let runs: Vec<Run> = thread::scope(|scope| {
            let run = |seed| simulate(setup, &course(seed));
            let runs: Vec<_> = some.iter().map(|seed| scope.spawn(move || run(*seed))).collect();
            runs.into_iter().map(|run| run.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        if runs.into_iter().any(|run| take(run).is_break()) {
            return;
        }
    }
}

/// Shows what is wrong with a run, and whatever else was asked for.
fn tell(setup: &Setup, run: Run, arguments: &Simulate) -> ControlFlow<()> {
    if run.violation.is_some() {
        let shown = if arguments.as_found { run } else { shortened(setup, &run) };
        show(&shown, arguments);
        return if arguments.go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    }
    if arguments.story {
        run.story.iter().for_each(|line| say!("  {line}"));
    } else if arguments.seeds == 1 {
        say!("seed {}: nothing is wrong, trace {:016x}", run.course.seed, run.hash);
    }
    ControlFlow::Continue(())
}

/// The system as it ships, but for how many ended pods are kept: so few that some have to go.
fn setup() -> Setup {
    Setup {
        definitions: operators::definitions().into(),
        admissions,
        operators: |driver| {
            let pod_collector = PodCollector::keeping(3).in_batches_of(2);
            operators::install(driver, &Terms { root_certificate: "the simulation's root certificate", pod_collector });
        },
        node: |name: &str, seed: u64, now: Timestamp| -> Box<dyn simulation::Node> {
            Box::new(node::VirtualNode::new(name, seed, now))
        },
    }
}

/// The rules of admission that operators meet. The kit adds those every world has.
fn admissions() -> Vec<Box<dyn Admission>> {
    vec![
        Box::new(ServiceAccountAdmission),
        Box::new(DefaultStorageClass),
        Box::new(StorageObjectInUseProtection),
        Box::new(ResourceQuota),
    ]
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
    say!("seed {}: {violation}", run.course.seed);
    run.story.iter().for_each(|line| say!("  {line}"));
    let without = run.course.without.iter().fold(String::new(), |out, what| out + &format!(" --without {what:?}"));
    say!(
        "replay: sampan simulate --seed {} --hours {} --nodes {}{without} --as-found",
        run.course.seed,
        arguments.hours,
        run.course.nodes
    );
}

#[cfg(test)]
mod tests;
