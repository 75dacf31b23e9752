//! The states of a Deployment.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | * | * | more is to be done |
//! | Creating | RollingOut | the template has its ReplicaSet |
//! | Creating | Degraded | the template has its ReplicaSet |
//! | Resizing | RollingOut | every ReplicaSet has its share |
//! | Recreating | Creating | every old pod is gone |
//! | RollingOut | Degraded | every pod is of the present template |
//! | RollingOut | Complete | every replica is available |
//! | RollingOut | Stalled | no progress within the deadline |
//! | Stalled | Complete | every replica is available |
//! | Degraded | Complete | every replica is available |
//! | Degraded | Stalled | no progress within the deadline |
//! | Complete | Degraded | a replica became unavailable |

use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{self, Resize};
use crate::view::{View, revision_of};

/// Something the machine wants done. What it takes to do it follows from the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Make the present template's ReplicaSet, of this size.
    CreateSet(i32),
    /// Count that the name for it is taken, which leads to another.
    CountCollision,
    /// Size a ReplicaSet.
    Resize(Resize),
    /// Delete a ReplicaSet history no longer holds.
    Forget(String),
}

/// How many old ReplicaSets are kept where the spec does not say.
const HISTORY_LIMIT: i32 = 10;

/// A rollout that stands still is looked at again when its deadline passes: the name users read.
const DEADLINE: &str = "no progress within the deadline";

/// A state that still has something to do is entered again, and does it.
const MORE: &str = "more is to be done";

/// The chart of the Deployment machine.
static CHART: Chart = Chart {
    name: "deployment",
    states: &[
        Named { name: "Creating", meaning: "The present template has no ReplicaSet yet." },
        Named { name: "Resizing", meaning: "The replicas changed during a rollout: every ReplicaSet takes its share." },
        Named { name: "Recreating", meaning: "Old pods go before the new ones may come." },
        Named { name: "RollingOut", meaning: "Pods of the present template replace the others." },
        Named { name: "Stalled", meaning: "The rollout has not moved within its deadline; it goes on trying." },
        Named { name: "Degraded", meaning: "Rolled out, but not every replica is available." },
        Named { name: "Complete", meaning: "Every replica is of the present template and available." },
        Named { name: "Paused", meaning: "The rollout waits for its user; replicas still follow the spec." },
        Named { name: "Terminating", meaning: "The Deployment is being deleted." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: "first observation" },
        Edge { from: ANY, to: ANY, guard: "reclassified" },
        Edge { from: ANY, to: ANY, guard: MORE },
        Edge { from: "Creating", to: "RollingOut", guard: "the template has its ReplicaSet" },
        Edge { from: "Creating", to: "Degraded", guard: "the template has its ReplicaSet" },
        Edge { from: "Resizing", to: "RollingOut", guard: "every ReplicaSet has its share" },
        Edge { from: "Recreating", to: "Creating", guard: "every old pod is gone" },
        Edge { from: "RollingOut", to: "Degraded", guard: "every pod is of the present template" },
        Edge { from: "RollingOut", to: "Complete", guard: "every replica is available" },
        Edge { from: "RollingOut", to: "Stalled", guard: DEADLINE },
        Edge { from: "Stalled", to: "Complete", guard: "every replica is available" },
        Edge { from: "Degraded", to: "Complete", guard: "every replica is available" },
        Edge { from: "Degraded", to: "Stalled", guard: DEADLINE },
        Edge { from: "Complete", to: "Degraded", guard: "a replica became unavailable" },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        if self.is_terminating() {
            return State::terminating();
        }
        if self.is_paused() {
            return State::paused();
        }
        let rolled_out = self.is_rolled_out();
        if rolled_out && self.is_complete() {
            return State::complete();
        }
        if self.recreates()
            && self.sets.may_old_pods_run()
            && self.sets.new.as_ref().is_none_or(|new| new.replicas == 0)
        {
            return State::recreating();
        }
        if self.new.is_none() {
            return State::creating();
        }
        if !self.recreates() && self.sets.was_resized(self.bounds) && !self.proportional().is_empty() {
            return State::resizing();
        }
        match (self.timed_out(), rolled_out) {
            (true, _) => State::stalled(),
            (false, true) => State::degraded(),
            (false, false) => State::rolling_out(),
        }
    }

    fn proportional(&self) -> Vec<Resize> {
        plan::proportional(&self.sets, self.bounds, self.recreates())
    }

    fn next_sizes(&self) -> Vec<Resize> {
        match self.recreates() {
            true => plan::recreate(&self.sets, self.bounds),
            false => plan::roll(&self.sets, self.bounds),
        }
    }

    /// How the present template's ReplicaSet comes to be. A name that is taken is no name.
    fn creation(&self) -> Intent {
        match self.collides {
            true => Intent::CountCollision,
            false => Intent::CreateSet(plan::initial_size(&self.sets, self.bounds, self.recreates())),
        }
    }

    /// Old ReplicaSets beyond the history limit.
    fn forgettable(&self) -> Vec<String> {
        let limit = self.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(HISTORY_LIMIT);
        let old = self.old.iter().zip(&self.sets.old).filter(|(set, _)| set.metadata.deletion_timestamp.is_none());
        let revisions: Vec<_> = old
            .map(|(set, size)| {
                (size.name.clone(), revision_of(set).unwrap_or_default(), size.replicas == 0 && size.existing == 0)
            })
            .collect();
        plan::beyond_history(&revisions, limit)
    }

    /// Whether a Deployment in that state has nothing to do but wait.
    fn is_settled(&self, state: &State) -> bool {
        match state {
            State::Creating {} => false,
            State::Resizing {} => self.proportional().is_empty(),
            State::Recreating {} | State::RollingOut {} | State::Stalled {} | State::Degraded {} => {
                self.next_sizes().is_empty()
            }
            State::Complete {} => self.forgettable().is_empty(),
            State::Paused {} => self.paused_sizes().is_empty() && self.forgettable().is_empty(),
            State::Terminating {} | State::Unobserved {} => true,
        }
    }

    /// A paused rollout stays where it is, but a new number of replicas is followed.
    fn paused_sizes(&self) -> Vec<Resize> {
        match self.sets.was_resized(self.bounds) || self.sets.replicas() == 0 {
            true => self.proportional(),
            false => Vec::new(),
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The Deployment machine.
pub type DeploymentMachine = Observer<Behaviour>;

type Scene = sampan_machine::Scene<View, Intent>;

/// Stays, and enters the state again where it has more to do.
fn stay(scene: &mut Scene, state: State) -> Outcome<State> {
    match scene.view.is_settled(&state) {
        true => Handled,
        false => scene.take(MORE, state),
    }
}

fn forget(scene: &mut Scene) {
    scene.intents.extend(scene.view.forgettable().into_iter().map(Intent::Forget));
}

fn resize(scene: &mut Scene, sizes: Vec<Resize>) {
    scene.intents.extend(sizes.into_iter().map(Intent::Resize));
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
        context.take("first observation", state)
    }

    /// What every state does with a view no edge of its own leads to: the spec changed, the Deployment is being deleted,
    /// somebody else had a hand in it.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take("reclassified", state)
    }

    #[state(superstate = "observed", entry_action = "enter_creating")]
    fn creating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Creating {} => stay(context, state),
            state @ (State::RollingOut {} | State::Degraded {}) => {
                context.take("the template has its ReplicaSet", state)
            }
            _ => Super,
        }
    }

    #[action]
    fn enter_creating(context: &mut Scene) {
        context.intents.push(context.view.creation());
    }

    #[state(superstate = "observed", entry_action = "enter_resizing")]
    fn resizing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Resizing {} => stay(context, state),
            state @ State::RollingOut {} => context.take("every ReplicaSet has its share", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_resizing(context: &mut Scene) {
        let sizes = context.view.proportional();
        resize(context, sizes);
    }

    #[state(superstate = "observed", entry_action = "enter_recreating")]
    fn recreating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Recreating {} => stay(context, state),
            state @ State::Creating {} => context.take("every old pod is gone", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_recreating(context: &mut Scene) {
        let sizes = context.view.next_sizes();
        resize(context, sizes);
    }

    #[state(superstate = "observed", entry_action = "enter_rolling_out")]
    fn rolling_out(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::RollingOut {} => stay(context, state),
            state @ State::Degraded {} => context.take("every pod is of the present template", state),
            state @ State::Complete {} => context.take("every replica is available", state),
            state @ State::Stalled {} => context.take(DEADLINE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_rolling_out(context: &mut Scene) {
        let sizes = context.view.next_sizes();
        resize(context, sizes);
    }

    #[state(superstate = "observed", entry_action = "enter_stalled")]
    fn stalled(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Stalled {} => stay(context, state),
            state @ State::Complete {} => context.take("every replica is available", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_stalled(context: &mut Scene) {
        let sizes = context.view.next_sizes();
        resize(context, sizes);
    }

    #[state(superstate = "observed", entry_action = "enter_degraded")]
    fn degraded(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Degraded {} => stay(context, state),
            state @ State::Complete {} => context.take("every replica is available", state),
            state @ State::Stalled {} => context.take(DEADLINE, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_degraded(context: &mut Scene) {
        let sizes = context.view.next_sizes();
        resize(context, sizes);
    }

    #[state(superstate = "observed", entry_action = "enter_complete")]
    fn complete(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Complete {} => stay(context, state),
            state @ State::Degraded {} => context.take("a replica became unavailable", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_complete(context: &mut Scene) {
        forget(context);
    }

    #[state(superstate = "observed", entry_action = "enter_paused")]
    fn paused(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Paused {} => stay(context, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_paused(context: &mut Scene) {
        let sizes = context.view.paused_sizes();
        resize(context, sizes);
        forget(context);
    }

    #[state(superstate = "observed")]
    fn terminating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Terminating {} => Handled,
            _ => Super,
        }
    }
}
