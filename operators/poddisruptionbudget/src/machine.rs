//! The states of a disruption budget.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Unmatched | Unmatched | its status is not what it should be |
//! | Allowing | Allowing | its status is not what it should be |
//! | Blocking | Blocking | its status is not what it should be |
//! | Failing | Failing | its status is not what it should be |
//! | Allowing | Blocking | no more pods may go |
//! | Blocking | Allowing | enough pods are healthy |

use sampan_core::operator::EventKind;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{Standing, View};

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Write the status as it should be.
    WriteStatus,
    /// Tell users: a reason and a message.
    Tell(EventKind, &'static str, String),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const STALE: &str = "its status is not what it should be";
const SPENT: &str = "no more pods may go";
const HEALTHY: &str = "enough pods are healthy";

/// The chart of the budget machine.
static CHART: Chart = Chart {
    name: "poddisruptionbudget",
    states: &[
        Named { name: "Unmatched", meaning: "It selects no pods." },
        Named { name: "Allowing", meaning: "Pods may be evicted." },
        Named { name: "Blocking", meaning: "No pod may be evicted until more are healthy." },
        Named { name: "Failing", meaning: "It cannot be told how many pods are expected, so none may be evicted." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Unmatched", to: "Unmatched", guard: STALE },
        Edge { from: "Allowing", to: "Allowing", guard: STALE },
        Edge { from: "Blocking", to: "Blocking", guard: STALE },
        Edge { from: "Failing", to: "Failing", guard: STALE },
        Edge { from: "Allowing", to: "Blocking", guard: SPENT },
        Edge { from: "Blocking", to: "Allowing", guard: HEALTHY },
    ],
};

impl View {
    fn classify(&self) -> State {
        match self.standing() {
            Standing::Unmatched => State::unmatched(),
            Standing::Allowing => State::allowing(),
            Standing::Blocking => State::blocking(),
            Standing::Failing => State::failing(),
        }
    }

    /// What the budget waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        let (healthy, desired) = (self.wanted.current_healthy, self.wanted.desired_healthy);
        match self.standing() {
            Standing::Blocking if self.wanted.expected_pods == 0 => {
                trace.waiting_for("pods that somebody controls", self.unmanaged.join(", "), None);
            }
            Standing::Blocking => trace.waiting_for(HEALTHY, format!("{healthy} > {desired}"), None),
            _ => {}
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The budget machine.
pub type BudgetMachine = Observer<Behaviour>;

type Scene = sampan_machine::Scene<View, Intent>;

/// Writes the status where it is not what it should be; true where it was not.
fn tell(context: &mut Scene) -> bool {
    let is_news = !context.view.is_told();
    if is_news {
        context.intents.push(Intent::WriteStatus);
    }
    is_news
}

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

    #[action]
    fn enter_shown(context: &mut Scene) {
        if tell(context) && !context.view.unmanaged.is_empty() {
            context.intents.push(Intent::Tell(EventKind::Warning, "UnmanagedPods", context.view.unmanaged_message()));
        }
    }

    #[state(superstate = "observed", entry_action = "enter_unmatched")]
    fn unmatched(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Unmatched {} if context.view.is_told() => Handled,
            state @ State::Unmatched {} => context.take(STALE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_unmatched(context: &mut Scene) {
        if tell(context) {
            context.intents.push(Intent::Tell(EventKind::Normal, "NoPods", "No matching pods found".to_owned()));
        }
    }

    #[state(superstate = "observed", entry_action = "enter_shown")]
    fn allowing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Allowing {} if context.view.is_told() => Handled,
            state @ State::Allowing {} => context.take(STALE, state),
            state @ State::Blocking {} => context.take(SPENT, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_shown")]
    fn blocking(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Blocking {} if context.view.is_told() => Handled,
            state @ State::Blocking {} => context.take(STALE, state),
            state @ State::Allowing {} => context.take(HEALTHY, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_failing")]
    fn failing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Failing {} if context.view.is_told() => Handled,
            state @ State::Failing {} => context.take(STALE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_failing(context: &mut Scene) {
        if !tell(context) {
            return;
        }
        let why = context.view.failure.clone().unwrap_or_default();
        let message = format!("Failed to calculate the number of expected pods: {why}");
        context.intents.push(Intent::Tell(EventKind::Warning, "CalculateExpectedPodCountFailed", message));
    }
}
