//! The states of a namespace.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Furnishing | Furnishing | something every namespace has is gone |
//! | Furnishing | Active | it has what every namespace has |
//! | Active | Furnishing | something every namespace has is gone |
//! | Emptying | Emptying | something is left in it |
//! | Emptying | Finalizing | nothing is left in it |
//! | Finalizing | Held | its finalizer is removed |

use std::sync::Arc;

use sampan_core::object::Object;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{Piece, View};
use crate::status;

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Create the `default` ServiceAccount.
    CreateAccount,
    /// Create the ConfigMap with the root certificate.
    CreateCertificate,
    /// Put the root certificate back.
    RenewCertificate,
    /// Delete something in the namespace.
    Delete(Arc<Object>),
    /// Let the namespace go.
    Finalize,
    /// Write the status as it should be.
    WriteStatus,
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const FURNISHED: &str = "it has what every namespace has";
const LOST: &str = "something every namespace has is gone";
const REMAINS: &str = "something is left in it";
const EMPTY: &str = "nothing is left in it";
const LET_GO: &str = "its finalizer is removed";

/// The chart of the namespace machine.
static CHART: Chart = Chart {
    name: "namespace",
    states: &[
        Named {
            name: "Furnishing",
            meaning: "It lacks its ServiceAccount or root certificate; they are being created.",
        },
        Named { name: "Active", meaning: "It is in use." },
        Named { name: "Emptying", meaning: "It is being deleted, and so is everything in it." },
        Named { name: "Finalizing", meaning: "It is being deleted and empty: its finalizer is being removed." },
        Named { name: "Held", meaning: "It is empty and let go of, but somebody else's finalizer holds it." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Furnishing", to: "Furnishing", guard: LOST },
        Edge { from: "Furnishing", to: "Active", guard: FURNISHED },
        Edge { from: "Active", to: "Furnishing", guard: LOST },
        Edge { from: "Emptying", to: "Emptying", guard: REMAINS },
        Edge { from: "Emptying", to: "Finalizing", guard: EMPTY },
        Edge { from: "Finalizing", to: "Held", guard: LET_GO },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        match (self.is_deleted(), self.is_held()) {
            (false, _) if self.is_furnished() => State::active(),
            (false, _) => State::furnishing(),
            (true, true) if self.contents.is_empty() => State::finalizing(),
            (true, true) => State::emptying(),
            (true, false) => State::held(),
        }
    }

    /// Whether emptying has anything to do but wait.
    fn is_stirring(&self) -> bool {
        !self.deletable().is_empty() || !status::is_current(self)
    }

    pub(crate) fn wait(&self, trace: &mut Trace) {
        if self.is_deleted() && !self.contents.is_empty() {
            let left: Vec<String> =
                self.remaining().iter().map(|(resource, count)| format!("{count} {resource}")).collect();
            trace.waiting_for(EMPTY, format!("left: {}", left.join(", ")), None);
        }
        if let Some(refused) = self.refused.as_ref().filter(|_| !self.is_deleted() && !self.is_furnished()) {
            trace.waiting_for(FURNISHED, refused.status.message.clone(), None);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The namespace machine.
pub type NamespaceMachine = Observer<Behaviour>;

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

    /// What every state does with a view no edge of its own leads to: above all, deletion.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take(RECLASSIFIED, state)
    }

    #[state(superstate = "observed", entry_action = "enter_furnishing")]
    fn furnishing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Furnishing {} => context.take(LOST, state),
            state @ State::Active {} => context.take(FURNISHED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_furnishing(context: &mut Scene) {
        context.intents.extend(context.view.next_piece().map(|piece| match piece {
            Piece::Account => Intent::CreateAccount,
            Piece::Certificate => Intent::CreateCertificate,
            Piece::Renewal => Intent::RenewCertificate,
        }));
    }

    #[state(superstate = "observed")]
    fn active(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Active {} => Handled,
            state @ State::Furnishing {} => context.take(LOST, state),
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
        context.intents.push(Intent::Finalize);
    }

    /// The status tells that nothing is left; it is not written where the namespace goes with its finalizer.
    #[action]
    fn enter_held(context: &mut Scene) {
        context.intents.push(Intent::WriteStatus);
    }

    #[state(superstate = "observed", entry_action = "enter_held")]
    fn held(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Held {} => Handled,
            _ => Super,
        }
    }
}
