//! The states of the cluster's ended pods.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | Within | Collecting | more pods have ended than are kept |
//! | Collecting | Collecting | more are left than are kept |
//! | Collecting | Within | no more are left than are kept |

use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::View;

/// Something the machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Delete the oldest.
    Collect,
}

const FIRST: &str = "first observation";
const EXCEEDED: &str = "more pods have ended than are kept";
const KEPT: &str = "no more are left than are kept";
const LEFT: &str = "more are left than are kept";

/// The chart of the pod collector's machine.
static CHART: Chart = Chart {
    name: "podcollector",
    states: &[
        Named { name: "Within", meaning: "No more pods have ended than are kept." },
        Named { name: "Collecting", meaning: "The oldest of the pods that have ended are being deleted." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: "Within", to: "Collecting", guard: EXCEEDED },
        Edge { from: "Collecting", to: "Collecting", guard: LEFT },
        Edge { from: "Collecting", to: "Within", guard: KEPT },
    ],
};

impl View {
    fn classify(&self) -> State {
        if self.surplus() > 0 { State::collecting() } else { State::within() }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The pod collector's machine.
pub type PodCollectorMachine = Observer<Behaviour>;

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

    #[state]
    fn within(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Collecting {} => context.take(EXCEEDED, state),
            _ => Handled,
        }
    }

    #[state(entry_action = "enter_collecting")]
    fn collecting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Within {} => context.take(KEPT, state),
            state => context.take(LEFT, state),
        }
    }

    #[action]
    fn enter_collecting(context: &mut Scene) {
        context.intents.push(Intent::Collect);
    }
}
