//! The states of a resource quota.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | Roomy | Roomy | its status is not what it should be |
//! | Exhausted | Exhausted | its status is not what it should be |
//! | Roomy | Exhausted | a limit is reached |
//! | Exhausted | Roomy | there is room again |

use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::View;

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Write the status as it should be.
    WriteStatus,
}

const FIRST: &str = "first observation";
const STALE: &str = "its status is not what it should be";
const REACHED: &str = "a limit is reached";
const ROOM: &str = "there is room again";

/// The chart of the quota machine.
static CHART: Chart = Chart {
    name: "resourcequota",
    states: &[
        Named { name: "Roomy", meaning: "There is room for more of everything it limits." },
        Named { name: "Exhausted", meaning: "Of something it limits, all that may be is used." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: "Roomy", to: "Roomy", guard: STALE },
        Edge { from: "Exhausted", to: "Exhausted", guard: STALE },
        Edge { from: "Roomy", to: "Exhausted", guard: REACHED },
        Edge { from: "Exhausted", to: "Roomy", guard: ROOM },
    ],
};

impl View {
    fn classify(&self) -> State {
        if self.exhausted.is_empty() { State::roomy() } else { State::exhausted() }
    }

    /// What whoever wants more waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        let told: Vec<String> = self.exhausted.iter().map(|(of, used)| format!("{of} {used}")).collect();
        if !told.is_empty() {
            trace.waiting_for(ROOM, told.join(", "), None);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The quota machine.
pub type QuotaMachine = Observer<Behaviour>;

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

    /// Every state writes the status where it is not what it should be.
    #[action]
    fn enter_told(context: &mut Scene) {
        if !context.view.is_told() {
            context.intents.push(Intent::WriteStatus);
        }
    }

    #[state(entry_action = "enter_told")]
    fn roomy(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Exhausted {} => context.take(REACHED, state),
            _ if context.view.is_told() => Handled,
            state => context.take(STALE, state),
        }
    }

    #[state(entry_action = "enter_told")]
    fn exhausted(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Roomy {} => context.take(ROOM, state),
            _ if context.view.is_told() => Handled,
            state => context.take(STALE, state),
        }
    }
}
