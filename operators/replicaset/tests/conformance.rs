//! The ReplicaSet operator through every order of what can happen to it in small worlds; and mutants that must not get
//! through.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod worlds;

use sampan_conformance::{Report, explore};
use sampan_core::object::ResourceType;
use sampan_core::operator::{Command, Context, Declaration, Operator, Wake};
use sampan_replicaset::{ReplicaSetMachine, ReplicaSetOperator};

#[test]
fn every_law_holds_in_every_world_and_conflicts_are_met() {
    let explorations = worlds::all().map(|make| std::thread::spawn(move || explore(&make(ReplicaSetOperator))));
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for exploration in explorations {
        match exploration.join().unwrap() {
            Ok(report) => reports.push(report),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    reports.iter().for_each(|report| println!("{report}"));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("declared edges not taken: {:?}", Report::uncrossed(&reports, ReplicaSetMachine::chart()));
    assert!(reports.iter().map(|report| report.conflicts).sum::<usize>() > 0, "no conflict was met");
}

/// The shipping operator, with its commands spoiled.
#[derive(Clone)]
struct Mutant(fn(&mut Vec<Command>));

impl Operator for Mutant {
    type Machine = ReplicaSetMachine;

    fn chart(&self) -> &'static sampan_machine::Chart {
        ReplicaSetMachine::chart()
    }

    fn machine(&self) -> ReplicaSetMachine {
        ReplicaSetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        ReplicaSetOperator.declaration()
    }

    fn step(&self, machine: &mut ReplicaSetMachine, wake: &Wake, cx: &mut Context<'_>) {
        ReplicaSetOperator.step(machine, wake, cx);
        (self.0)(cx.commands());
    }
}

fn problem_of(mutant: fn(&mut Vec<Command>)) -> String {
    let failure = worlds::all().into_iter().find_map(|make| explore(&make(Mutant(mutant))).err());
    failure.expect("the mutant gets through").problem
}

#[test]
fn a_mutant_that_creates_one_pod_too_many_is_caught() {
    let problem = problem_of(|commands| {
        let extra = commands.iter().find(|command| matches!(command, Command::Create { .. })).cloned();
        if let Some(Command::Create { resource, mut object }) = extra {
            object["metadata"]["name"] = "web-extra".into();
            commands.push(Command::Create { resource, object });
        }
    });
    assert!(!problem.is_empty());
}

#[test]
fn a_mutant_that_forgets_the_status_is_caught() {
    let problem = problem_of(|commands| commands.retain(|command| !matches!(command, Command::UpdateStatus { .. })));
    assert!(problem.contains("status"), "{problem}");
}

#[test]
fn a_mutant_that_deletes_no_pod_is_caught() {
    let pods = ResourceType::new("", "pods");
    assert_eq!(worlds::PODS, pods);
    let problem = problem_of(|commands| commands.retain(|command| !matches!(command, Command::Delete { .. })));
    assert!(problem.contains("pods, wanted"), "{problem}");
}

#[test]
fn a_mutant_that_writes_what_it_does_not_declare_is_caught() {
    let problem = problem_of(|commands| {
        let key = sampan_core::object::ObjectKey::namespaced(ResourceType::new("", "configmaps"), "default", "quota");
        commands.push(Command::Delete { key, options: sampan_core::gateway::DeleteOptions::default() });
    });
    assert!(problem.contains("does not declare"), "{problem}");
}
