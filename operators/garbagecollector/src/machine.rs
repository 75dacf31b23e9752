//! The states of an object, as its owners and dependents see it.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Orphaning | Orphaning | dependents still name it |
//! | Orphaning | Releasing | no dependent holds it |
//! | AwaitingDependents | Releasing | no dependent holds it |

use std::sync::Arc;

use sampan_core::gateway::Propagation;
use sampan_core::object::{Object, Uid};
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{ORPHAN, View};

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Delete the object.
    Collect(Propagation),
    /// Drop the references to owners that are gone.
    Disown(Vec<Uid>),
    /// No longer hold the owners.
    Unblock,
    /// Drop a dependent's reference to the object.
    DisownDependent(Arc<Object>),
    /// Remove the finalizer that held the object.
    Release(&'static str),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const LEFT: &str = "dependents still name it";
const NONE_LEFT: &str = "no dependent holds it";

/// What would let the collector judge an owner of a kind that is not served.
const KNOWN: &str = "its owner's kind is served";

/// The chart of the garbage collector's machine.
static CHART: Chart = Chart {
    name: "garbagecollector",
    states: &[
        Named { name: "Kept", meaning: "Every owner it names exists, or it names none." },
        Named {
            name: "Disowning",
            meaning: "Some of its owners are gone or wait for it, others keep it: it no longer names the first.",
        },
        Named {
            name: "Unblocking",
            meaning: "Its owners wait for it and a dependent of its own waits as well: it no longer holds them, so that a circle \
                      of owners comes to an end.",
        },
        Named { name: "Collecting", meaning: "All its owners are gone or wait for it to go: it is being deleted." },
        Named { name: "Orphaning", meaning: "It goes alone: its dependents no longer name it." },
        Named { name: "AwaitingDependents", meaning: "It goes after the dependents that block it." },
        Named { name: "Releasing", meaning: "No dependent holds it any more: its finalizer is being removed." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Orphaning", to: "Orphaning", guard: LEFT },
        Edge { from: "Orphaning", to: "Releasing", guard: NONE_LEFT },
        Edge { from: "AwaitingDependents", to: "Releasing", guard: NONE_LEFT },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        match self.held_by {
            Some(ORPHAN) if !self.dependents.is_empty() => State::orphaning(),
            Some(finalizer) if finalizer != ORPHAN && self.blocking > 0 => State::awaiting_dependents(),
            Some(_) => State::releasing(),
            None if self.is_deleted => State::kept(),
            None if self.is_unowned() && self.is_in_circle => State::unblocking(),
            None if self.is_unowned() => State::collecting(),
            None if !self.gone.is_empty() || !self.waiting.is_empty() => State::disowning(),
            None => State::kept(),
        }
    }

    pub(crate) fn wait(&self, trace: &mut Trace) {
        if let Some(kind) = self.unheard_of.first() {
            trace.waiting_for(KNOWN, format!("{kind} is not served: whether its owner exists nobody can tell"), None);
        }
        if self.held_by.is_some() && self.blocking > 0 {
            trace.waiting_for(NONE_LEFT, format!("{} dependents are left", self.blocking), None);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The garbage collector's machine.
pub type GarbageCollectorMachine = Observer<Behaviour>;

type Scene = sampan_machine::Scene<View, Intent>;

#[state_machine(
    initial = "State::unobserved()",
    state(derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)),
    after_transition = "crossed"
)]
impl Behaviour {
    #[state]
    fn unobserved(context: &mut Scene, event: &Observed) -> Outcome<State> {
        let Observed = event;
        let state = context.view.classify();
        context.take(FIRST, state)
    }

    /// What every state does with a view no edge of its own leads to.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take(RECLASSIFIED, state)
    }

    #[state(superstate = "observed")]
    fn kept(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Kept {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_disowning")]
    fn disowning() -> Outcome<State> {
        Super
    }

    #[action]
    fn enter_disowning(context: &mut Scene) {
        let lost = context.view.gone.iter().chain(&context.view.waiting).cloned().collect();
        context.intents.push(Intent::Disown(lost));
    }

    #[state(superstate = "observed", entry_action = "enter_unblocking")]
    fn unblocking() -> Outcome<State> {
        Super
    }

    #[action]
    fn enter_unblocking(context: &mut Scene) {
        context.intents.push(Intent::Unblock);
    }

    #[state(superstate = "observed", entry_action = "enter_collecting")]
    fn collecting() -> Outcome<State> {
        Super
    }

    /// A dependent an owner waits for goes the same way where it has dependents itself; others go in the background.
    #[action]
    fn enter_collecting(context: &mut Scene) {
        let propagation = match context.view.is_awaited_owner {
            true => Propagation::Foreground,
            false => Propagation::Background,
        };
        context.intents.push(Intent::Collect(propagation));
    }

    #[state(superstate = "observed", entry_action = "enter_orphaning")]
    fn orphaning(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Orphaning {} => context.take(LEFT, state),
            state @ State::Releasing {} => context.take(NONE_LEFT, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_orphaning(context: &mut Scene) {
        context.intents.extend(context.view.to_disown().cloned().map(Intent::DisownDependent));
    }

    #[state(superstate = "observed")]
    fn awaiting_dependents(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::AwaitingDependents {} => Handled,
            state @ State::Releasing {} => context.take(NONE_LEFT, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_releasing")]
    fn releasing() -> Outcome<State> {
        Super
    }

    #[action]
    fn enter_releasing(context: &mut Scene) {
        context.intents.extend(context.view.held_by.map(Intent::Release));
    }
}
