//! The states of a Node.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | * | Silent | nothing is heard of it |
//! | Awaited | Ready | it says it is ready |
//! | NotReady | Ready | it says it is ready |
//! | Lost | Ready | it says it is ready |
//! | Awaited | NotReady | it says it is not ready |
//! | Ready | NotReady | it says it is not ready |
//! | Lost | NotReady | it says it is not ready |
//! | Silent | Lost | its conditions say that nothing is known of it |
//! | Ready | Ready | its taints are not what they should be |
//! | NotReady | NotReady | its taints are not what they should be |
//! | Lost | Lost | its taints are not what they should be |

use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{Standing, View};
use crate::taints;

/// Something the machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Say that nothing is known of it any more, and that its pods are not ready.
    GiveUp,
    /// Set its taints.
    Taint,
    /// Tell users that there is a new node.
    Welcome,
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const SILENT: &str = "nothing is heard of it";
const READY: &str = "it says it is ready";
const NOT_READY: &str = "it says it is not ready";
const GIVEN_UP: &str = "its conditions say that nothing is known of it";
const TAINTS: &str = "its taints are not what they should be";

/// The chart of the Node machine.
static CHART: Chart = Chart {
    name: "node",
    states: &[
        Named { name: "Awaited", meaning: "It has not said yet how it is." },
        Named { name: "Ready", meaning: "It says it is ready, and is heard of." },
        Named { name: "NotReady", meaning: "It says it is not ready." },
        Named { name: "Silent", meaning: "Nothing was heard of it for too long: its conditions become unknown." },
        Named { name: "Lost", meaning: "It does not answer; its conditions and taints say so." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: ANY, to: "Silent", guard: SILENT },
        Edge { from: "Awaited", to: "Ready", guard: READY },
        Edge { from: "NotReady", to: "Ready", guard: READY },
        Edge { from: "Lost", to: "Ready", guard: READY },
        Edge { from: "Awaited", to: "NotReady", guard: NOT_READY },
        Edge { from: "Ready", to: "NotReady", guard: NOT_READY },
        Edge { from: "Lost", to: "NotReady", guard: NOT_READY },
        Edge { from: "Silent", to: "Lost", guard: GIVEN_UP },
        Edge { from: "Ready", to: "Ready", guard: TAINTS },
        Edge { from: "NotReady", to: "NotReady", guard: TAINTS },
        Edge { from: "Lost", to: "Lost", guard: TAINTS },
    ],
};

impl View {
    fn classify(&self) -> State {
        match self.standing() {
            Standing::Awaited => State::awaited(),
            Standing::Ready => State::ready(),
            Standing::NotReady => State::not_ready(),
            Standing::Silent => State::silent(),
            Standing::Lost => State::lost(),
        }
    }

    /// What the node waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        match self.standing() {
            Standing::Awaited => {
                trace.waiting_for(READY, "it has not said yet how it is", Some(self.silent_at()));
            }
            Standing::Lost => trace.waiting_for(READY, "it does not answer", None),
            Standing::NotReady => trace.waiting_for(READY, "it says it is not", None),
            Standing::Ready | Standing::Silent => {}
        }
        if taints::is_withheld(self) {
            trace.waiting_for("most nodes are ready", format!("{:?} disruption: pods stay", self.disruption), None);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The Node machine.
pub type NodeMachine = Observer<Behaviour>;

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
        match context.view.classify() {
            state @ State::Silent {} => context.take(SILENT, state),
            state => context.take(RECLASSIFIED, state),
        }
    }

    #[state(superstate = "observed", entry_action = "enter_awaited")]
    fn awaited(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Awaited {} if context.view.is_tainted_right() => Handled,
            state @ State::Ready {} => context.take(READY, state),
            state @ State::NotReady {} => context.take(NOT_READY, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_awaited(context: &mut Scene) {
        context.intents.extend([Intent::Welcome, Intent::Taint]);
    }

    #[action]
    fn enter_told(context: &mut Scene) {
        context.intents.push(Intent::Taint);
    }

    #[state(superstate = "observed", entry_action = "enter_awaited")]
    fn ready(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Ready {} if context.view.is_tainted_right() => Handled,
            state @ State::Ready {} => context.take(TAINTS, state),
            state @ State::NotReady {} => context.take(NOT_READY, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_told")]
    fn not_ready(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::NotReady {} if context.view.is_tainted_right() => Handled,
            state @ State::NotReady {} => context.take(TAINTS, state),
            state @ State::Ready {} => context.take(READY, state),
            _ => Super,
        }
    }

    /// Where it has more pods than one commit may change, the rest of them comes first.
    #[state(superstate = "observed", entry_action = "enter_silent")]
    fn silent(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Lost {} => context.take(GIVEN_UP, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_silent(context: &mut Scene) {
        context.intents.push(Intent::GiveUp);
    }

    #[state(superstate = "observed", entry_action = "enter_told")]
    fn lost(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Lost {} if context.view.is_tainted_right() => Handled,
            state @ State::Lost {} => context.take(TAINTS, state),
            state @ State::Ready {} => context.take(READY, state),
            state @ State::NotReady {} => context.take(NOT_READY, state),
            _ => Super,
        }
    }
}
