//! The states of a DaemonSet.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | * | * | more is to be done |
//! | * | Claiming | ownership is to be settled |
//! | * | CreationRefused | a creation was refused |
//! | * | Terminating | deletion was asked for |
//! | Claiming | * | ownership is settled |
//! | CreationRefused | Placing | the creation is tried again |
//! | Placing | AwaitingReady | every node has its pod |
//! | Placing | Steady | every pod is available |
//! | Clearing | Steady | no pod is where none should be |
//! | RollingOut | Placing | an earlier pod makes room |
//! | RollingOut | Steady | every pod is available |
//! | AwaitingReady | Steady | every pod is available |
//! | AwaitingReady | Placing | a node lacks its pod |
//! | Steady | AwaitingReady | a pod became unavailable |
//! | Steady | Placing | a node lacks its pod |
//! | Steady | RollingOut | the template is another |

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSetStatus};
use k8s_openapi::api::core::v1::Pod;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::View;
use crate::status;

/// Something the machine wants done. What it takes to do it follows from the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    /// Take a pod nobody controls.
    Adopt(Arc<Pod>),
    /// Let a pod go that no longer matches.
    Release(Arc<Pod>),
    /// Keep the present template as the revision of that number.
    Record(i64),
    /// Delete a revision history no longer holds.
    Forget(Arc<ControllerRevision>),
    /// Make the pod of a node.
    Create(String),
    /// Delete a pod that has ended, to be made again.
    Remake(Arc<Pod>),
    /// Delete a pod: none should be there, or one of another template.
    Delete(Arc<Pod>),
    /// Tell users that something could not be created.
    ReportRefusal(String),
    /// Write the status as it should be.
    WriteStatus(Box<DaemonSetStatus>),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const MORE: &str = "more is to be done";
const CLAIMS: &str = "ownership is to be settled";
const CLAIMED: &str = "ownership is settled";
const REFUSED: &str = "a creation was refused";
const AGAIN: &str = "the creation is tried again";
const DELETED: &str = "deletion was asked for";
const TEMPLATE: &str = "the template is another";
const ROOM: &str = "an earlier pod makes room";
const EXISTS: &str = "every node has its pod";
const AVAILABLE: &str = "every pod is available";
const CLEARED: &str = "no pod is where none should be";
const GONE: &str = "a node lacks its pod";
const UNAVAILABLE: &str = "a pod became unavailable";

/// The chart of the DaemonSet machine.
static CHART: Chart = Chart {
    name: "daemonset",
    states: &[
        Named { name: "Claiming", meaning: "Matching orphans are adopted, pods that no longer match are let go." },
        Named { name: "Placing", meaning: "Nodes lack their pod; each gets one." },
        Named { name: "Clearing", meaning: "Pods are where none or another should be, or have ended; they go." },
        Named { name: "RollingOut", meaning: "Pods of earlier templates are replaced, node by node." },
        Named { name: "AwaitingReady", meaning: "Every node has its pod, but not all are available." },
        Named { name: "Steady", meaning: "Every node that should run a pod has one that is available." },
        Named { name: "CreationRefused", meaning: "A revision or pod may not be created; it is tried again." },
        Named { name: "Terminating", meaning: "The DaemonSet is being deleted." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: ANY, to: ANY, guard: MORE },
        Edge { from: ANY, to: "Claiming", guard: CLAIMS },
        Edge { from: ANY, to: "CreationRefused", guard: REFUSED },
        Edge { from: ANY, to: "Terminating", guard: DELETED },
        Edge { from: "Claiming", to: ANY, guard: CLAIMED },
        Edge { from: "CreationRefused", to: "Placing", guard: AGAIN },
        Edge { from: "Placing", to: "AwaitingReady", guard: EXISTS },
        Edge { from: "Placing", to: "Steady", guard: AVAILABLE },
        Edge { from: "Clearing", to: "Steady", guard: CLEARED },
        Edge { from: "RollingOut", to: "Placing", guard: ROOM },
        Edge { from: "RollingOut", to: "Steady", guard: AVAILABLE },
        Edge { from: "AwaitingReady", to: "Steady", guard: AVAILABLE },
        Edge { from: "AwaitingReady", to: "Placing", guard: GONE },
        Edge { from: "Steady", to: "AwaitingReady", guard: UNAVAILABLE },
        Edge { from: "Steady", to: "Placing", guard: GONE },
        Edge { from: "Steady", to: "RollingOut", guard: TEMPLATE },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        if self.is_terminating() {
            State::terminating()
        } else if self.has_claims() {
            State::claiming()
        } else if self.is_refused() {
            State::creation_refused()
        } else if self.is_rolling() {
            State::rolling_out()
        } else if self.missing() > 0 {
            State::placing()
        } else if !self.upkeep().is_empty() {
            State::clearing()
        } else if self.available() < self.desired() {
            State::awaiting_ready()
        } else {
            State::steady()
        }
    }

    /// All that is to be done in that state.
    fn wanted(&self, state: &State) -> Vec<Intent> {
        match state {
            State::Unobserved {} => Vec::new(),
            State::Claiming {} => {
                let adopted = self.orphans.iter().cloned().map(Intent::Adopt);
                adopted.chain(self.strays.iter().cloned().map(Intent::Release)).collect()
            }
            State::Terminating {} => self.news(status::status(self)).into_iter().collect(),
            _ => [self.wanted_of_pods(), self.wanted_beside()].concat(),
        }
    }

    fn wanted_of_pods(&self) -> Vec<Intent> {
        if self.collides || self.refusal.as_ref().is_some_and(|refusal| refusal.of_revision) {
            // The status counts a collision, and the count leads to another name. Without its revision no pod is made.
            return Vec::new();
        }
        let work = self.work();
        let recorded = self.update.unrecorded(&self.revisions).map(Intent::Record).into_iter();
        let created = work.create.into_iter().map(Intent::Create);
        let remade = work.remake.into_iter().map(Intent::Remake);
        let deleted = work.delete.into_iter().map(Intent::Delete);
        recorded.chain(created).chain(remade).chain(deleted).collect()
    }

    fn wanted_beside(&self) -> Vec<Intent> {
        let forgotten = self.forgettable().into_iter().map(Intent::Forget);
        let refusal = self.refusal.as_ref().filter(|refusal| !status::tells_of(self, refusal));
        let reported = refusal.map(|refusal| Intent::ReportRefusal(refusal.message.clone()));
        forgotten.chain(reported).chain(self.news(status::status(self))).collect()
    }

    fn news(&self, status: DaemonSetStatus) -> Option<Intent> {
        (self.set.status.as_ref() != Some(&status)).then(|| Intent::WriteStatus(Box::new(status)))
    }

    /// Names what the set waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        if self.is_terminating() {
            return;
        }
        if let Some(refusal) = self.refusal.as_ref().filter(|_| self.is_refused()) {
            trace.waiting_for("the creation is accepted", refusal.message.clone(), None);
        }
        for wait in self.work().waits {
            trace.waiting_for(wait.guard, wait.detail, wait.until);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The DaemonSet machine.
pub type DaemonSetMachine = Observer<Behaviour>;

type Scene = sampan_machine::Scene<View, Intent>;

/// Stays, and enters the state again where it has more to do.
fn stay(scene: &mut Scene, state: State) -> Outcome<State> {
    match scene.view.wanted(&state).is_empty() {
        true => Handled,
        false => scene.take(MORE, state),
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

    /// Every edge leads to the state the view is in: what is to be done there follows from the view alone.
    #[action]
    fn enter(context: &mut Scene) {
        let state = context.view.classify();
        context.intents.extend(context.view.wanted(&state));
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn claiming(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Claiming {} | State::Terminating {} | State::CreationRefused {} => Super,
            state => context.take(CLAIMED, state),
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn placing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Placing {} => stay(context, state),
            state @ State::AwaitingReady {} => context.take(EXISTS, state),
            state @ State::Steady {} => context.take(AVAILABLE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn clearing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Clearing {} => stay(context, state),
            state @ State::Steady {} => context.take(CLEARED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn rolling_out(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::RollingOut {} => stay(context, state),
            state @ State::Placing {} => context.take(ROOM, state),
            state @ State::Steady {} => context.take(AVAILABLE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn awaiting_ready(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::AwaitingReady {} => stay(context, state),
            state @ State::Steady {} => context.take(AVAILABLE, state),
            state @ State::Placing {} => context.take(GONE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn steady(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Steady {} => stay(context, state),
            state @ State::AwaitingReady {} => context.take(UNAVAILABLE, state),
            state @ State::Placing {} => context.take(GONE, state),
            state @ State::RollingOut {} => context.take(TEMPLATE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn creation_refused(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::CreationRefused {} => stay(context, state),
            state @ State::Placing {} => context.take(AGAIN, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn terminating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Terminating {} => stay(context, state),
            _ => Super,
        }
    }
}
