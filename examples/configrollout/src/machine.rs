//! The states of a Deployment, as its roll-outs see it.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Following | Behind | its ConfigMap holds something else |
//! | Behind | Behind | its ConfigMap holds something else |
//! | Behind | Following | it rolls with what the ConfigMap holds |
//! | Missing | Behind | its ConfigMap is there |

use sampan::machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{View, map_of};

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Make the pods anew, with what the ConfigMap holds.
    Roll,
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const CHANGED: &str = "its ConfigMap holds something else";
const ROLLED: &str = "it rolls with what the ConfigMap holds";
const FOUND: &str = "its ConfigMap is there";

/// The chart of the machine: `graph` draws it, and a test holds it against what happens.
static CHART: Chart = Chart {
    name: "configrollout",
    states: &[
        Named { name: "Unconcerned", meaning: "It names no ConfigMap." },
        Named { name: "Missing", meaning: "The ConfigMap it names is not there: its pods stay as they are." },
        Named { name: "Behind", meaning: "Its pods are being made anew, with what its ConfigMap holds." },
        Named { name: "Following", meaning: "Its pods are made with what its ConfigMap holds." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Following", to: "Behind", guard: CHANGED },
        Edge { from: "Behind", to: "Behind", guard: CHANGED },
        Edge { from: "Behind", to: "Following", guard: ROLLED },
        Edge { from: "Missing", to: "Behind", guard: FOUND },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        match (map_of(&self.deployment), &self.map) {
            (None, _) => State::unconcerned(),
            (Some(_), None) => State::missing(),
            (Some(_), Some(_)) if self.is_rolled() => State::following(),
            (Some(_), Some(_)) => State::behind(),
        }
    }

    /// What the Deployment waits for: `why` shows it.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        if let (Some(map), None) = (map_of(&self.deployment), &self.map) {
            trace.waiting_for(FOUND, map.to_string(), None);
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
pub type RolloutMachine = Observer<Behaviour>;

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
    fn unconcerned(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Unconcerned {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn missing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Missing {} => Handled,
            state @ State::Behind {} => context.take(FOUND, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_behind")]
    fn behind(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Behind {} => context.take(CHANGED, state),
            state @ State::Following {} => context.take(ROLLED, state),
            _ => Super,
        }
    }

    /// Commands come from entry actions, as a function of the view: a machine made anew after a crash issues them again.
    #[action]
    fn enter_behind(context: &mut Scene) {
        context.intents.push(Intent::Roll);
    }

    #[state(superstate = "observed")]
    fn following(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Following {} => Handled,
            state @ State::Behind {} => context.take(CHANGED, state),
            _ => Super,
        }
    }
}
