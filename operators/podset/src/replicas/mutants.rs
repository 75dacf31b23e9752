//! Operators that keep so many pods wrongly, and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use sampan_conformance::{Mutant, Plan, Property, Suite};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Command, Operator};
use sampan_core::resource::CONFIG_MAPS;

/// A way to spoil commands, the world where it shows, and the properties of which one must be found broken.
struct Spoiled {
    name: &'static str,
    spoil: fn(&mut Vec<Command>),
    world: &'static str,
    breaks: &'static [Property],
}

const SPOILED: [Spoiled; 4] = [
    Spoiled {
        name: "creates one pod too many",
        spoil: create_another,
        world: "failing",
        breaks: &[Property::StaleSnapshots],
    },
    Spoiled {
        name: "forgets the status",
        spoil: |commands| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. })),
        world: "failing",
        breaks: &[Property::Laws],
    },
    Spoiled {
        name: "deletes no pod",
        spoil: |commands| commands.retain(|it| !matches!(it, Command::Delete { .. })),
        world: "spec two",
        breaks: &[Property::Laws, Property::NewSpec, Property::Deletion, Property::Conflicts],
    },
    Spoiled {
        name: "writes what it does not declare",
        spoil: write_undeclared,
        world: "failing",
        breaks: &[Property::Declared],
    },
];

fn create_another(commands: &mut Vec<Command>) {
    let extra = commands.iter().find(|command| matches!(command, Command::Create { .. })).cloned();
    if let Some(Command::Create { resource, mut object }) = extra {
        object["metadata"]["name"] = "web-extra".into();
        commands.push(Command::Create { resource, object });
    }
}

fn write_undeclared(commands: &mut Vec<Command>) {
    let key = ObjectKey::namespaced(CONFIG_MAPS, "default", "quota");
    commands.push(Command::Delete { key, options: DeleteOptions::default() });
}

/// Plants each of them in an operator.
///
/// # Panics
/// When one gets through, or something else is found broken.
pub fn are_caught<O: Operator + Clone + Sync>(operator: O, suite_of: impl Fn(Mutant<O>) -> Suite) {
    for spoiled in SPOILED {
        let plan = Plan::small().with_seeds(0..0).in_world(spoiled.world);
        let outcome = suite_of(Mutant::of(operator.clone(), spoiled.spoil)).run(&plan, &|_, _| ());
        let failure = outcome.failures.first();
        let failure = failure.unwrap_or_else(|| panic!("one that {} gets through", spoiled.name));
        let (property, problem) = (failure.property, &failure.problem);
        assert!(spoiled.breaks.contains(&property), "one that {}: {property}: {problem}", spoiled.name);
    }
}
