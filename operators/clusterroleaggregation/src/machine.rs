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
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::View;

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Write the rules of the roles it is made of into it.
    Write(Vec<PolicyRule>),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const CHANGED: &str = "the roles it is made of allow something else";
const SETTLED: &str = "its rules are theirs";

/// The chart of the aggregation's machine.
static CHART: Chart = Chart {
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

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The aggregation's machine.
pub type AggregationMachine = Observer<Behaviour>;

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
        context.intents.extend(context.view.missing.clone().map(Intent::Write));
    }

    #[state(superstate = "observed")]
    fn aggregated(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Aggregated {} => Handled,
            state @ State::Aggregating {} => context.take(CHANGED, state),
            _ => Super,
        }
    }
}
