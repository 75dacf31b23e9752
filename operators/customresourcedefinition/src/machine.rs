//! The states of a CustomResourceDefinition.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Nameless | Nameless | another has another of its names |
//! | Nameless | Accepting | its names are free |
//! | Accepting | Accepting | it asks for other names |
//! | Accepting | Establishing | its names are accepted |
//! | Establishing | Established | the type is served |
//! | Emptying | Emptying | objects of it are left |
//! | Emptying | Finalizing | no object of it is left |
//! | Finalizing | Held | its finalizer is removed |

use std::sync::Arc;

use sampan_core::object::Object;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::View;
use crate::status;

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Write the status as it should be.
    WriteStatus,
    /// Delete an object of the type.
    Delete(Arc<Object>),
    /// Let the definition go.
    LetGo,
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const OTHERS: &str = "another has another of its names";
const FREE: &str = "its names are free";
const ASKS: &str = "it asks for other names";
const ACCEPTED: &str = "its names are accepted";
const SERVED: &str = "the type is served";
const REMAINS: &str = "objects of it are left";
const EMPTY: &str = "no object of it is left";
const LET_GO: &str = "its finalizer is removed";

/// The chart of the machine.
static CHART: Chart = Chart {
    name: "customresourcedefinition",
    states: &[
        Named { name: "Nameless", meaning: "Another has one of the names it asks for; it waits for it." },
        Named {
            name: "Accepting",
            meaning: "The names it asks for are free: they become its own, and the type is served.",
        },
        Named { name: "Establishing", meaning: "The type is served: it is being said so." },
        Named { name: "Established", meaning: "The type is in use." },
        Named { name: "Emptying", meaning: "It is being deleted, and so are all objects of the type." },
        Named {
            name: "Finalizing",
            meaning: "It is being deleted and no object is left: its finalizer is being removed.",
        },
        Named { name: "Held", meaning: "It is let go of, but somebody else's finalizer holds it." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Nameless", to: "Nameless", guard: OTHERS },
        Edge { from: "Nameless", to: "Accepting", guard: FREE },
        Edge { from: "Accepting", to: "Accepting", guard: ASKS },
        Edge { from: "Accepting", to: "Establishing", guard: ACCEPTED },
        Edge { from: "Establishing", to: "Established", guard: SERVED },
        Edge { from: "Emptying", to: "Emptying", guard: REMAINS },
        Edge { from: "Emptying", to: "Finalizing", guard: EMPTY },
        Edge { from: "Finalizing", to: "Held", guard: LET_GO },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        match (self.is_deleted(), self.is_held()) {
            (true, true) if self.instances.is_empty() => State::finalizing(),
            (true, true) => State::emptying(),
            (true, false) => State::held(),
            (false, _) if !self.has_its_names() => match self.settle_names() {
                (_, Some(_)) => State::nameless(),
                (_, None) => State::accepting(),
            },
            (false, _) if self.is("Established") => State::established(),
            (false, _) => State::establishing(),
        }
    }

    /// Whether emptying has anything to do but wait.
    fn is_stirring(&self) -> bool {
        !self.deletable().is_empty() || !status::is_current(self)
    }

    pub(crate) fn wait(&self, trace: &mut Trace) {
        if self.is_deleted() && !self.instances.is_empty() {
            trace.waiting_for(EMPTY, format!("{} are left", self.instances.len()), None);
        } else if let (false, false, (_, Some(conflict))) =
            (self.is_deleted(), self.has_its_names(), self.settle_names())
        {
            trace.waiting_for(FREE, conflict.message, None);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The machine of a definition.
pub type CustomResourceDefinitionMachine = Observer<Behaviour>;

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

    /// What every state does with a view no edge of its own leads to: above all, deletion and other names.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take(RECLASSIFIED, state)
    }

    #[state(superstate = "observed", entry_action = "enter_told")]
    fn nameless(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Nameless {} if status::is_current(&context.view) => Handled,
            state @ State::Nameless {} => context.take(OTHERS, state),
            state @ State::Accepting {} => context.take(FREE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_told")]
    fn accepting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Accepting {} if status::is_current(&context.view) => Handled,
            state @ State::Accepting {} => context.take(ASKS, state),
            state @ State::Establishing {} => context.take(ACCEPTED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_told")]
    fn establishing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Establishing {} => Handled,
            state @ State::Established {} => context.take(SERVED, state),
            _ => Super,
        }
    }

    /// What each of these states does is said in the status, and nowhere else.
    #[action]
    fn enter_told(context: &mut Scene) {
        context.intents.push(Intent::WriteStatus);
    }

    #[state(superstate = "observed")]
    fn established(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Established {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_emptying")]
    fn emptying(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Emptying {} if !context.view.is_stirring() => Handled,
            state @ State::Emptying {} => context.take(REMAINS, state),
            state @ State::Finalizing {} => context.take(EMPTY, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_emptying(context: &mut Scene) {
        context.intents.extend(context.view.deletable().into_iter().map(Intent::Delete));
        context.intents.push(Intent::WriteStatus);
    }

    #[state(superstate = "observed", entry_action = "enter_finalizing")]
    fn finalizing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Finalizing {} => Handled,
            state @ State::Held {} => context.take(LET_GO, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_finalizing(context: &mut Scene) {
        context.intents.push(Intent::LetGo);
    }

    #[state(superstate = "observed", entry_action = "enter_told")]
    fn held(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Held {} => Handled,
            _ => Super,
        }
    }
}
