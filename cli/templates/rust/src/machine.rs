//! The states of a ShipGreeting.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Published | Changing | its ConfigMap does not say what it should |
//! | Silent | Changing | its ConfigMap does not say what it should |
//! | Changing | Changing | its ConfigMap does not say what it should |
//! | Changing | Published | its ConfigMap says the message |
//! | Changing | Silent | its ConfigMap is gone |

use sampan::machine::{ANY, Chart, Edge, Observed, Observer, State as Named, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::View;

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Bring the ConfigMap to what it should be.
    Bring,
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const DIFFERS: &str = "its ConfigMap does not say what it should";
const SAYS: &str = "its ConfigMap says the message";
const GONE: &str = "its ConfigMap is gone";

/// The chart of the machine: `graph` draws it, and a test holds it against what happens.
static CHART: Chart = Chart {
    name: "ship-greeting",
    states: &[
        Named { name: "Published", meaning: "Its ConfigMap says the message." },
        Named { name: "Silent", meaning: "It has no message and no ConfigMap." },
        Named { name: "Changing", meaning: "Its ConfigMap is being brought to what it should be." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Published", to: "Changing", guard: DIFFERS },
        Edge { from: "Silent", to: "Changing", guard: DIFFERS },
        Edge { from: "Changing", to: "Changing", guard: DIFFERS },
        Edge { from: "Changing", to: "Published", guard: SAYS },
        Edge { from: "Changing", to: "Silent", guard: GONE },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        match (self.is_so(), self.message()) {
            (false, _) => State::changing(),
            (true, Some(_)) => State::published(),
            (true, None) => State::silent(),
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan::machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The machine.
pub type GreetingMachine = Observer<Behaviour>;

type Scene = sampan::machine::Scene<View, Intent>;

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
    fn published(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Published {} => Handled,
            state @ State::Changing {} => context.take(DIFFERS, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn silent(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Silent {} => Handled,
            state @ State::Changing {} => context.take(DIFFERS, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_changing")]
    fn changing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Changing {} => context.take(DIFFERS, state),
            state @ State::Published {} => context.take(SAYS, state),
            state @ State::Silent {} => context.take(GONE, state),
            State::Unobserved {} => Super,
        }
    }

    /// Commands come from entry actions, as a function of the view: a machine made anew after a crash issues them again.
    #[action]
    fn enter_changing(context: &mut Scene) {
        context.intents.push(Intent::Bring);
    }
}
