//! The states of whatever keeps so many pods.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | * | Claiming | ownership is to be settled |
//! | * | CreationRefused | a creation was refused |
//! | * | Terminating | deletion was asked for |
//! | Claiming | * | ownership is settled |
//! | ScalingUp | ScalingUp | replicas are missing |
//! | ScalingUp | AwaitingReady | every replica exists |
//! | ScalingUp | Steady | every replica is available |
//! | ScalingDown | ScalingDown | replicas are too many |
//! | ScalingDown | AwaitingReady | no replica is too many |
//! | ScalingDown | Steady | every replica is available |
//! | AwaitingReady | AwaitingReady | the status differs |
//! | AwaitingReady | Steady | every replica is available |
//! | AwaitingReady | ScalingUp | a replica is gone |
//! | Steady | Steady | the status differs |
//! | Steady | AwaitingReady | a replica became unavailable |
//! | Steady | ScalingUp | a replica is gone |
//! | CreationRefused | CreationRefused | the status differs |
//! | CreationRefused | ScalingUp | the creation is tried again |
//! | Terminating | Terminating | the status differs |

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use super::plan::View;
use super::status;

/// Something the machine wants done. What it takes to do it follows from the view.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Create so many pods.
    Create(usize),
    /// Delete a pod.
    Delete(Arc<Pod>),
    /// Take a pod nobody controls.
    Adopt(Arc<Pod>),
    /// Let a pod go that no longer matches.
    Release(Arc<Pod>),
    /// Tell users that pods could not be created.
    ReportRefusal(String),
    /// Write the status as it should be.
    WriteStatus,
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const CLAIMS: &str = "ownership is to be settled";
const CLAIMED: &str = "ownership is settled";
const REFUSED: &str = "a creation was refused";
const DELETED: &str = "deletion was asked for";
const MISSING: &str = "replicas are missing";
const EXISTS: &str = "every replica exists";
const AVAILABLE: &str = "every replica is available";
const SURPLUS: &str = "replicas are too many";
const NO_SURPLUS: &str = "no replica is too many";
const GONE: &str = "a replica is gone";
const UNAVAILABLE: &str = "a replica became unavailable";
const AGAIN: &str = "the creation is tried again";
const STATUS: &str = "the status differs";

const STATES: &[Named] = &[
    Named { name: "Claiming", meaning: "Matching orphans are adopted, pods that no longer match are let go." },
    Named { name: "ScalingUp", meaning: "Pods are missing and are being created." },
    Named { name: "ScalingDown", meaning: "Pods are too many and are being deleted." },
    Named { name: "AwaitingReady", meaning: "All pods exist, but not all are available." },
    Named { name: "Steady", meaning: "As many pods are available as are wanted." },
    Named { name: "CreationRefused", meaning: "Pods are missing and may not be created; it is tried again." },
    Named { name: "Terminating", meaning: "The set is being deleted." },
];

const EDGES: &[Edge] = &[
    Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
    Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
    Edge { from: ANY, to: "Claiming", guard: CLAIMS },
    Edge { from: ANY, to: "CreationRefused", guard: REFUSED },
    Edge { from: ANY, to: "Terminating", guard: DELETED },
    Edge { from: "Claiming", to: ANY, guard: CLAIMED },
    Edge { from: "ScalingUp", to: "ScalingUp", guard: MISSING },
    Edge { from: "ScalingUp", to: "AwaitingReady", guard: EXISTS },
    Edge { from: "ScalingUp", to: "Steady", guard: AVAILABLE },
    Edge { from: "ScalingDown", to: "ScalingDown", guard: SURPLUS },
    Edge { from: "ScalingDown", to: "AwaitingReady", guard: NO_SURPLUS },
    Edge { from: "ScalingDown", to: "Steady", guard: AVAILABLE },
    Edge { from: "AwaitingReady", to: "AwaitingReady", guard: STATUS },
    Edge { from: "AwaitingReady", to: "Steady", guard: AVAILABLE },
    Edge { from: "AwaitingReady", to: "ScalingUp", guard: GONE },
    Edge { from: "Steady", to: "Steady", guard: STATUS },
    Edge { from: "Steady", to: "AwaitingReady", guard: UNAVAILABLE },
    Edge { from: "Steady", to: "ScalingUp", guard: GONE },
    Edge { from: "CreationRefused", to: "CreationRefused", guard: STATUS },
    Edge { from: "CreationRefused", to: "ScalingUp", guard: AGAIN },
    Edge { from: "Terminating", to: "Terminating", guard: STATUS },
];

/// The chart of the machine, under the name of an operator.
pub const fn chart(name: &'static str) -> Chart {
    Chart { name, states: STATES, edges: EDGES }
}

static CHART: Chart = chart("replicas");

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        if self.is_terminating() {
            State::terminating()
        } else if self.has_claims() {
            State::claiming()
        } else if self.missing() > 0 && self.refusal.is_some() {
            State::creation_refused()
        } else if self.missing() > 0 {
            State::scaling_up()
        } else if self.surplus() > 0 {
            State::scaling_down()
        } else if self.available() < self.desired() {
            State::awaiting_ready()
        } else {
            State::steady()
        }
    }

    /// What the set waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        if let Some(refusal) = self.refusal.as_ref().filter(|_| self.missing() > 0) {
            trace.waiting_for("pods may be created", refusal.message.clone(), None);
        } else if self.available() < self.desired() && !self.is_terminating() {
            let detail = format!("available {}, wanted {}", self.available(), self.desired());
            trace.waiting_for(AVAILABLE, detail, self.next_available());
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The machine.
pub type ReplicasMachine = Observer<Behaviour>;

type Scene = sampan_machine::Scene<View, Intent>;

/// Stays, and enters the state again where the status does not say what is.
fn stay(scene: &mut Scene, state: State) -> Outcome<State> {
    if status::is_current(&scene.view) { Handled } else { scene.take(STATUS, state) }
}

fn report(scene: &mut Scene) {
    if !status::is_current(&scene.view) {
        scene.intents.push(Intent::WriteStatus);
    }
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
        let guard = match state {
            State::Terminating {} => DELETED,
            State::Claiming {} => CLAIMS,
            State::CreationRefused {} => REFUSED,
            _ => RECLASSIFIED,
        };
        context.take(guard, state)
    }

    #[state(superstate = "observed", entry_action = "enter_claiming")]
    fn claiming(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Claiming {} | State::Terminating {} | State::CreationRefused {} => Super,
            state => context.take(CLAIMED, state),
        }
    }

    #[action]
    fn enter_claiming(context: &mut Scene) {
        context.intents.extend(context.view.orphans.iter().cloned().map(Intent::Adopt));
        context.intents.extend(context.view.strays.iter().cloned().map(Intent::Release));
    }

    #[state(superstate = "observed", entry_action = "enter_scaling_up")]
    fn scaling_up(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::ScalingUp {} => context.take(MISSING, state),
            state @ State::AwaitingReady {} => context.take(EXISTS, state),
            state @ State::Steady {} => context.take(AVAILABLE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_scaling_up(context: &mut Scene) {
        context.intents.push(Intent::Create(context.view.creatable()));
    }

    #[state(superstate = "observed", entry_action = "enter_scaling_down")]
    fn scaling_down(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::ScalingDown {} => context.take(SURPLUS, state),
            state @ State::AwaitingReady {} => context.take(NO_SURPLUS, state),
            state @ State::Steady {} => context.take(AVAILABLE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_scaling_down(context: &mut Scene) {
        context.intents.extend(context.view.victims().into_iter().map(Intent::Delete));
    }

    #[state(superstate = "observed", entry_action = "enter_awaiting_ready")]
    fn awaiting_ready(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::AwaitingReady {} => stay(context, state),
            state @ State::Steady {} => context.take(AVAILABLE, state),
            state @ State::ScalingUp {} => context.take(GONE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_awaiting_ready(context: &mut Scene) {
        report(context);
    }

    #[state(superstate = "observed", entry_action = "enter_steady")]
    fn steady(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Steady {} => stay(context, state),
            state @ State::AwaitingReady {} => context.take(UNAVAILABLE, state),
            state @ State::ScalingUp {} => context.take(GONE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_steady(context: &mut Scene) {
        report(context);
    }

    #[state(superstate = "observed", entry_action = "enter_creation_refused")]
    fn creation_refused(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::CreationRefused {} if context.view.creatable() == 0 => stay(context, state),
            state @ State::ScalingUp {} => context.take(AGAIN, state),
            _ => Super,
        }
    }

    /// What fits is created, and the rest is told of, once for each reason.
    #[action]
    fn enter_creation_refused(context: &mut Scene) {
        context.intents.push(Intent::Create(context.view.creatable()));
        if let Some(refusal) = context.view.refusal.as_ref().filter(|_| !status::tells_of_failure(&context.view)) {
            context.intents.push(Intent::ReportRefusal(refusal.message.clone()));
        }
        report(context);
    }

    #[state(superstate = "observed", entry_action = "enter_terminating")]
    fn terminating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Terminating {} => stay(context, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_terminating(context: &mut Scene) {
        report(context);
    }
}
