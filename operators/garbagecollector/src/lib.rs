//! The garbage collector: what becomes of objects when their owners go.
//!
//! | propagation | what happens |
//! | --- | --- |
//! | background | the owner goes at once, its dependents after it |
//! | foreground | the owner waits until the dependents that block it are gone |
//! | orphan | the dependents stay, and no longer name the owner |
//!
//! Every object may be an owner or a dependent, so that there is a machine for any of them; only those with something to do
//! are woken.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod owners;
mod plan;

use sampan_core::gateway::DeleteOptions;
use sampan_core::object::{Object, ObjectKey, OwnerReference};
use sampan_core::operator::{Command, Context, Declaration, Guarding, Mapping, Operator, Wake, WriteVerb};
use sampan_core::store::{IndexKey, ReadKey, Snapshot};
use sampan_machine::Chart;

pub use machine::GarbageCollectorMachine;
use machine::Intent;
use plan::View;

/// The garbage collector.
#[derive(Debug, Clone, Copy, Default)]
pub struct GarbageCollector;

impl Operator for GarbageCollector {
    type Machine = GarbageCollectorMachine;

    fn chart(&self) -> &'static Chart {
        GarbageCollectorMachine::chart()
    }

    fn machine(&self) -> GarbageCollectorMachine {
        GarbageCollectorMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of_everything("garbagecollector")
            .concerned_with(may_concern)
            .writing_everything(WriteVerb::Update)
            .writing_everything(WriteVerb::Delete);
        for watch in &mut declaration.watches {
            watch.wakes = Mapping::function(concerned);
        }
        declaration.guarding = Guarding::Decisive {
            because: "an owner that is gone never comes back with the same uid, every write names its object's revision, and who \
                      is held for its dependents rests on them",
        };
        declaration
    }

    fn step(&self, machine: &mut GarbageCollectorMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(object) = cx.primary_object() else { return };
        cx.rests_on(ReadKey::Object(object.key().clone()));
        if plan::holding_finalizer(&object).is_some() {
            // It may only be let go while nobody new names it as owner.
            cx.rests_on(ReadKey::Index(IndexKey::Owner(object.metadata().uid.clone())));
        }
        let registry = cx.registry();
        let can_tell = |owner: &OwnerReference| registry.knows_kind(owners::group(owner), &owner.kind);
        let view = View::of(&object, cx.unguarded(), can_tell);
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for intent in intents {
            carry_out(intent, &object, cx);
        }
    }
}

fn carry_out(intent: Intent, object: &Object, cx: &mut Context<'_>) {
    match intent {
        Intent::Collect(propagation) => {
            let revision = Some(object.revision());
            cx.delete_object(
                object,
                DeleteOptions { revision, propagation: Some(propagation), ..DeleteOptions::default() },
            );
        }
        Intent::Disown(owners) => {
            let object = plan::without_owners(object.value(), &owners);
            cx.command(Command::Update { key: cx.key().clone(), object });
        }
        Intent::Unblock => {
            let object = plan::without_blocking(object.value());
            cx.command(Command::Update { key: cx.key().clone(), object });
        }
        Intent::DisownDependent(dependent) => {
            let owner = object.metadata().uid.clone();
            let value = plan::without_owners(dependent.value(), &[owner]);
            cx.command(Command::Update { key: dependent.key().clone(), object: value });
        }
        Intent::Release(finalizer) => {
            let object = plan::without_finalizer(object.value(), finalizer);
            cx.command(Command::Update { key: cx.key().clone(), object });
        }
    }
}

/// At start: whatever names an owner, or is held for its dependents.
fn may_concern(object: &Object) -> bool {
    !object.metadata().owner_references.is_empty() || plan::holding_finalizer(object).is_some()
}

/// Whom a change concerns: the object itself where it has lost an owner or is held for its dependents, its dependents where
/// it goes, and its owners that wait for it.
fn concerned(object: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    let is_gone = snapshot.get(object.key()).is_none_or(|now| now.metadata().uid != object.metadata().uid);
    // Which kinds are served the step sees.
    if !is_gone && View::of(object, snapshot, |_| true).has_work() {
        keys.push(object.key().clone());
    }
    if is_gone || object.metadata().is_terminating() {
        keys.extend(owners::dependents(object, snapshot).map(|dependent| dependent.key().clone()));
    }
    let owners = owners::present(object, snapshot);
    keys.extend(owners.filter(|owner| plan::holding_finalizer(owner).is_some()).map(|owner| owner.key().clone()));
    keys
}
