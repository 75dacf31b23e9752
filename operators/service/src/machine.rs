//! The states of a Service.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Publishing | Publishing | more is to be written |
//! | Publishing | Serving | it is published, and an endpoint is ready |
//! | Publishing | Unready | it is published, and no endpoint is ready |
//! | Publishing | Mirrored | the endpoints listed by hand are copied |
//! | Publishing | Unattached | nothing of it is left, and nobody lists endpoints |
//! | Publishing | Referring | nothing of it is left, and the name stands for another |
//! | Serving | Publishing | its endpoints are not as they should be |
//! | Unready | Publishing | its endpoints are not as they should be |

use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{Change, Role, View};

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const MORE: &str = "more is to be written";
const READY: &str = "it is published, and an endpoint is ready";
const NONE_READY: &str = "it is published, and no endpoint is ready";
const COPIED: &str = "the endpoints listed by hand are copied";
const NOBODY: &str = "nothing of it is left, and nobody lists endpoints";
const ELSEWHERE: &str = "nothing of it is left, and the name stands for another";
const DIFFERENT: &str = "its endpoints are not as they should be";

/// The chart of the Service machine.
static CHART: Chart = Chart {
    name: "service",
    states: &[
        Named {
            name: "Publishing",
            meaning: "Its endpoints or its status are not as they should be; they are being written.",
        },
        Named { name: "Serving", meaning: "Its endpoints are published, and one at least is ready." },
        Named { name: "Unready", meaning: "Its endpoints are published; none is ready." },
        Named { name: "Mirrored", meaning: "It has no selector; the Endpoints somebody wrote are copied into slices." },
        Named {
            name: "Unattached",
            meaning: "It has no selector, and nothing is to be copied: others list its endpoints.",
        },
        Named { name: "Referring", meaning: "It stands for a name elsewhere and has no endpoints." },
        Named { name: "Leaving", meaning: "It is being deleted; nothing is written for it any more." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Publishing", to: "Publishing", guard: MORE },
        Edge { from: "Publishing", to: "Serving", guard: READY },
        Edge { from: "Publishing", to: "Unready", guard: NONE_READY },
        Edge { from: "Publishing", to: "Mirrored", guard: COPIED },
        Edge { from: "Publishing", to: "Unattached", guard: NOBODY },
        Edge { from: "Publishing", to: "Referring", guard: ELSEWHERE },
        Edge { from: "Serving", to: "Publishing", guard: DIFFERENT },
        Edge { from: "Unready", to: "Publishing", guard: DIFFERENT },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        match self.role {
            Role::Leaving => State::leaving(),
            _ if !self.changes.is_empty() => State::publishing(),
            Role::Referring => State::referring(),
            Role::Unattached => State::unattached(),
            Role::Mirrored => State::mirrored(),
            Role::Selecting if self.ready > 0 => State::serving(),
            Role::Selecting => State::unready(),
        }
    }

    pub(crate) fn wait(&self, trace: &mut Trace) {
        if let Some(refused) = self.refused.as_ref().filter(|_| !self.changes.is_empty()) {
            trace.waiting_for("its endpoints are published", refused.status.message.clone(), None);
        }
        if self.role == Role::Selecting && self.ready == 0 {
            trace.waiting_for("a pod it selects is ready", format!("selected: {}", self.selected), None);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The Service machine.
pub type ServiceMachine = Observer<Behaviour>;

type Scene = sampan_machine::Scene<View, Change>;

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

    /// What every state does with a view no edge of its own leads to: another spec, deletion.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take(RECLASSIFIED, state)
    }

    #[state(superstate = "observed", entry_action = "enter_publishing")]
    fn publishing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Publishing {} if context.view.next().is_empty() => Handled,
            state @ State::Publishing {} => context.take(MORE, state),
            state @ State::Serving {} => context.take(READY, state),
            state @ State::Unready {} => context.take(NONE_READY, state),
            state @ State::Mirrored {} => context.take(COPIED, state),
            state @ State::Unattached {} => context.take(NOBODY, state),
            state @ State::Referring {} => context.take(ELSEWHERE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_publishing(context: &mut Scene) {
        context.intents.extend(context.view.next());
    }

    #[state(superstate = "observed")]
    fn serving(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Serving {} => Handled,
            state @ State::Publishing {} => context.take(DIFFERENT, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn unready(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Unready {} => Handled,
            state @ State::Publishing {} => context.take(DIFFERENT, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn mirrored(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Mirrored {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn unattached(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Unattached {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn referring(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Referring {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn leaving(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Leaving {} => Handled,
            _ => Super,
        }
    }
}
