//! The states of a Deployment.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | * | * | more is to be done |
//! | * | Claiming | ownership is to be settled |
//! | * | CreationRefused | the creation was refused |
//! | * | Terminating | deletion was asked for |
//! | Claiming | * | ownership is settled |
//! | CreationRefused | Creating | the creation is tried again |
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

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentStatus, ReplicaSet};
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{self, Resize};
use crate::status::{self, NewSet};
use crate::view::{View, revision_of};

/// Something the machine wants done. What it takes to do it follows from the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    /// Take a ReplicaSet nobody controls.
    Adopt(Arc<ReplicaSet>),
    /// Let a ReplicaSet go that no longer matches.
    Release(Arc<ReplicaSet>),
    /// Make the present template's ReplicaSet, of this size.
    CreateSet(i32),
    /// Count that the name for it is taken, which leads to another.
    CountCollision,
    /// Tell users that it may not be made.
    ReportRefusal(String),
    /// Size a ReplicaSet.
    Resize(Resize),
    /// Delete a ReplicaSet history no longer holds.
    Forget(String),
    /// Have a ReplicaSet take over what changed in the Deployment.
    Renew(Arc<ReplicaSet>),
    /// Write the revision of the present template on the Deployment.
    SayRevision,
    /// Write the status as it should be.
    WriteStatus(Box<DeploymentStatus>),
}

/// How many old ReplicaSets are kept where the spec does not say.
const HISTORY_LIMIT: i32 = 10;

/// A rollout that stands still is looked at again when its deadline passes: the name users read.
const DEADLINE: &str = "no progress within the deadline";

const CLAIMS: &str = "ownership is to be settled";
const CLAIMED: &str = "ownership is settled";
const REFUSED: &str = "the creation was refused";
const AGAIN: &str = "the creation is tried again";
const DELETED: &str = "deletion was asked for";

/// A state that still has something to do is entered again, and does it.
const MORE: &str = "more is to be done";

/// The chart of the Deployment machine.
static CHART: Chart = Chart {
    name: "deployment",
    states: &[
        Named {
            name: "Claiming",
            meaning: "Matching ReplicaSets without a controller are adopted, others are let go.",
        },
        Named { name: "Creating", meaning: "The present template has no ReplicaSet yet." },
        Named {
            name: "CreationRefused",
            meaning: "The present template's ReplicaSet may not be made; it is tried again.",
        },
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
        Edge { from: ANY, to: "Claiming", guard: CLAIMS },
        Edge { from: ANY, to: "CreationRefused", guard: REFUSED },
        Edge { from: ANY, to: "Terminating", guard: DELETED },
        Edge { from: "Claiming", to: ANY, guard: CLAIMED },
        Edge { from: "CreationRefused", to: "Creating", guard: AGAIN },
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
        if self.has_claims() {
            return State::claiming();
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
            return if self.refusal.is_some() { State::creation_refused() } else { State::creating() };
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

    /// All that is to be done in that state: its own part, then what follows from the view in every state.
    fn work(&self, state: &State) -> Vec<Intent> {
        let mut work = self.own_work(state);
        if matches!(state, State::Claiming {}) {
            return work;
        }
        let new_set = new_set(&work);
        if !self.is_terminating() {
            let renewable = self.renewable().filter(|set| !writes(&work, set.metadata.name.as_deref()));
            let renewals: Vec<Intent> = renewable.cloned().map(Intent::Renew).collect();
            work.extend(renewals);
        }
        if (self.new.is_some() || new_set == NewSet::Created) && !self.says_revision() {
            work.push(Intent::SayRevision);
        }
        let status = status::status(self, new_set);
        if self.deployment.status.as_ref() != Some(&status) {
            work.push(Intent::WriteStatus(Box::new(status)));
        }
        work
    }

    fn own_work(&self, state: &State) -> Vec<Intent> {
        match state {
            State::Claiming {} => {
                let adopted = self.orphans.iter().cloned().map(Intent::Adopt);
                adopted.chain(self.strays.iter().cloned().map(Intent::Release)).collect()
            }
            State::Creating {} => vec![self.creation()],
            State::CreationRefused {} => self.report().into_iter().collect(),
            State::Resizing {} => resizes(self.proportional()),
            State::Recreating {} | State::RollingOut {} | State::Stalled {} | State::Degraded {} => {
                resizes(self.next_sizes())
            }
            State::Complete {} => self.forgettable(),
            State::Paused {} => [resizes(self.paused_sizes()), self.forgettable()].concat(),
            State::Terminating {} | State::Unobserved {} => Vec::new(),
        }
    }

    /// What is told of a refusal, once.
    fn report(&self) -> Option<Intent> {
        let refusal = self.refusal.as_deref()?;
        let news = !status::tells_of_refusal(self, refusal);
        news.then(|| Intent::ReportRefusal(status::refused_message(self, refusal)))
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
    fn forgettable(&self) -> Vec<Intent> {
        let limit = self.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(HISTORY_LIMIT);
        let old = self.old.iter().zip(&self.sets.old).filter(|(set, _)| set.metadata.deletion_timestamp.is_none());
        let revisions: Vec<_> = old
            .map(|(set, size)| {
                (size.name.clone(), revision_of(set).unwrap_or_default(), size.replicas == 0 && size.existing == 0)
            })
            .collect();
        plan::beyond_history(&revisions, limit).into_iter().map(Intent::Forget).collect()
    }

    /// A paused rollout stays where it is, but a new number of replicas is followed.
    fn paused_sizes(&self) -> Vec<Resize> {
        match self.sets.was_resized(self.bounds) || self.sets.replicas() == 0 {
            true => self.proportional(),
            false => Vec::new(),
        }
    }

    /// Names what the rollout waits for, with its values.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        if let Some(refusal) = self.refusal.as_ref().filter(|_| self.new.is_none()) {
            trace.waiting_for("the new ReplicaSet may be created", refusal.clone(), None);
        }
        if self.is_terminating() || self.is_complete() {
            return;
        }
        let available = self.sets.new.as_ref().map_or(0, |new| new.available);
        if available < self.bounds.replicas {
            let detail = format!("{available} of {} updated replicas are available", self.bounds.replicas);
            trace.waiting_for("every replica is available", detail, self.next_look());
        }
        if self.sets.old_pods() > 0 {
            let detail = format!("{} pods of earlier templates are left", self.sets.old_pods());
            trace.waiting_for("every pod is of the present template", detail, self.next_look());
        }
    }

    /// When a rollout is to be looked at again without any change: at its deadline.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        let moves = !self.is_terminating() && !self.is_complete();
        self.deadline().filter(|deadline| moves && *deadline > self.now)
    }
}

fn resizes(sizes: Vec<Resize>) -> Vec<Intent> {
    sizes.into_iter().map(Intent::Resize).collect()
}

/// What becomes of the present template's set.
fn new_set(work: &[Intent]) -> NewSet {
    let becomes = |intent: &Intent| match intent {
        Intent::CreateSet(_) => Some(NewSet::Created),
        Intent::CountCollision => Some(NewSet::Collided),
        _ => None,
    };
    work.iter().find_map(becomes).unwrap_or(NewSet::AsItIs)
}

/// Whether that set is written or deleted anyway.
fn writes(work: &[Intent], name: Option<&str>) -> bool {
    work.iter().any(|intent| match intent {
        Intent::Resize(resize) => Some(resize.name.as_str()) == name,
        Intent::Forget(forgotten) => Some(forgotten.as_str()) == name,
        _ => false,
    })
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
    match scene.view.work(&state).is_empty() {
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
        context.take("first observation", state)
    }

    /// What every state does with a view no edge of its own leads to: the spec changed, the Deployment is being deleted,
    /// somebody else had a hand in it.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        let guard = match state {
            State::Terminating {} => DELETED,
            State::Claiming {} => CLAIMS,
            State::CreationRefused {} => REFUSED,
            _ => "reclassified",
        };
        context.take(guard, state)
    }

    /// Every edge leads to the state the view is in: what is to be done there follows from the view alone.
    #[action]
    fn enter(context: &mut Scene) {
        let state = context.view.classify();
        context.intents.extend(context.view.work(&state));
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn claiming(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Claiming {} | State::Terminating {} | State::CreationRefused {} => Super,
            state => context.take(CLAIMED, state),
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn creation_refused(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::CreationRefused {} => stay(context, state),
            state @ State::Creating {} => context.take(AGAIN, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn creating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Creating {} => stay(context, state),
            state @ (State::RollingOut {} | State::Degraded {}) => {
                context.take("the template has its ReplicaSet", state)
            }
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn resizing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Resizing {} => stay(context, state),
            state @ State::RollingOut {} => context.take("every ReplicaSet has its share", state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn recreating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Recreating {} => stay(context, state),
            state @ State::Creating {} => context.take("every old pod is gone", state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn rolling_out(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::RollingOut {} => stay(context, state),
            state @ State::Degraded {} => context.take("every pod is of the present template", state),
            state @ State::Complete {} => context.take("every replica is available", state),
            state @ State::Stalled {} => context.take(DEADLINE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn stalled(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Stalled {} => stay(context, state),
            state @ State::Complete {} => context.take("every replica is available", state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn degraded(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Degraded {} => stay(context, state),
            state @ State::Complete {} => context.take("every replica is available", state),
            state @ State::Stalled {} => context.take(DEADLINE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn complete(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Complete {} => stay(context, state),
            state @ State::Degraded {} => context.take("a replica became unavailable", state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn paused(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Paused {} => stay(context, state),
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
