//! The states of a cluster role, as its aggregation sees it.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Aggregated | Aggregating | the roles it is made of allow something else |
//! | Aggregating | Aggregating | the roles it is made of allow something else |
//! | Aggregating | Aggregated | its rules are theirs |

use sampan_core::access::PolicyRule;
use sampan_machine::{ANY, Chart, Edge, Machine, State as Named, Trace, UNOBSERVED};
use statig::prelude::*;

use crate::plan::View;

/// What the machine looks at, and where it puts what it wants written.
pub(crate) struct Scene {
    pub(crate) view: View,
    pub(crate) written: Option<Vec<PolicyRule>>,
    pub(crate) trace: Trace,
}

/// What a machine is told: that there is something to look at.
pub(crate) struct Observed;

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const CHANGED: &str = "the roles it is made of allow something else";
const SETTLED: &str = "its rules are theirs";

/// The chart of the aggregation's machine.
pub(crate) static CHART: Chart = Chart {
    name: "clusterroleaggregation",
    states: &[
        Named { name: "Plain", meaning: "Its rules are its own." },
        Named { name: "Aggregating", meaning: "The rules of the roles it is made of are being written into it." },
        Named { name: "Aggregated", meaning: "Its rules are those of the roles it is made of." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Aggregated", to: "Aggregating", guard: CHANGED },
        Edge { from: "Aggregating", to: "Aggregating", guard: CHANGED },
        Edge { from: "Aggregating", to: "Aggregated", guard: SETTLED },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        match (self.is_aggregated, &self.missing) {
            (false, _) => State::plain(),
            (true, Some(_)) => State::aggregating(),
            (true, None) => State::aggregated(),
        }
    }
}

#[derive(Default, Clone)]
struct Behaviour;

/// The aggregation's machine.
#[derive(Clone)]
pub struct AggregationMachine(StateMachine<Behaviour>);

impl Default for AggregationMachine {
    fn default() -> Self {
        Self(Behaviour.state_machine())
    }
}

impl Machine for AggregationMachine {
    fn state(&self) -> &'static str {
        name(self.0.state())
    }
}

impl AggregationMachine {
    /// Its states and edges.
    pub fn chart() -> &'static Chart {
        &CHART
    }

    /// Looks at the scene and leaves in it what is to be written.
    pub(crate) fn observe(&mut self, scene: &mut Scene) {
        self.0.handle_with_context(&Observed, scene);
    }
}

fn name(state: &State) -> &'static str {
    match state {
        State::Unobserved {} => UNOBSERVED,
        State::Plain {} => "Plain",
        State::Aggregating {} => "Aggregating",
        State::Aggregated {} => "Aggregated",
    }
}

impl Scene {
    pub(crate) fn new(view: View, trace: Trace) -> Self {
        Self { view, written: None, trace }
    }

    fn take(&mut self, guard: &'static str, to: State) -> Outcome<State> {
        self.trace.because(guard);
        Transition(to)
    }
}

#[state_machine(
    initial = "State::unobserved()",
    state(derive(Debug, Clone, PartialEq, Eq)),
    after_transition = "Self::after_transition"
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
    fn plain(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Plain {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_aggregating")]
    fn aggregating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Aggregating {} => context.take(CHANGED, state),
            state @ State::Aggregated {} => context.take(SETTLED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_aggregating(context: &mut Scene) {
        context.written.clone_from(&context.view.missing);
    }

    #[state(superstate = "observed")]
    fn aggregated(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Aggregated {} => Handled,
            state @ State::Aggregating {} => context.take(CHANGED, state),
            _ => Super,
        }
    }

    fn after_transition(&mut self, source: &State, target: &State, context: &mut Scene) {
        context.trace.crossed(name(source), name(target));
    }
}
