//! The states of a Job.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | * | * | more is to be done |
//! | * | Claiming | ownership is to be settled |
//! | * | CreationRefused | a creation was refused |
//! | * | Suspended | it is suspended |
//! | * | Succeeding | enough has succeeded |
//! | * | Failing | it has failed |
//! | * | Terminating | deletion was asked for |
//! | Claiming | * | ownership is settled |
//! | CreationRefused | Starting | the creation is tried again |
//! | Starting | Running | every pod exists |
//! | Running | Starting | a pod is missing |
//! | Running | BackingOff | a pod has failed |
//! | Running | Shrinking | pods are too many |
//! | Shrinking | Running | no pod is too many |
//! | BackingOff | Starting | the wait is over |
//! | Suspended | Starting | it is resumed |
//! | Succeeding | Complete | no pod is left to wait for |
//! | Failing | Failed | no pod is left to wait for |
//! | Complete | Expired | its time after the end is over |
//! | Failed | Expired | its time after the end is over |

use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use sampan_podset::CreationRefusal;
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::View;
use crate::pod::Place;
use crate::status::{self, News};
use crate::tally::Outcome as End;

/// Something the machine wants done. What it takes to do it follows from the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    /// Take a pod nobody controls.
    Adopt(Arc<Pod>),
    /// Let a pod go that no longer matches.
    Disown(Arc<Pod>),
    /// Let a pod go whose end is counted, or does not count.
    Release(Arc<Pod>),
    /// Make a pod, of an index where the Job has them.
    Create(Option<Place>),
    /// Mark a pod as one that should not run.
    Dismiss(Arc<Pod>),
    /// Delete a pod that should not run.
    Delete(Arc<Pod>),
    /// Delete the Job and what it has: it ended long enough ago.
    Expire,
    /// Tell users that pods could not be created.
    ReportRefusal(String),
    /// Tell users what became of the Job.
    Announce(News),
    /// Write the status as it should be.
    WriteStatus(Box<JobStatus>),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const MORE: &str = "more is to be done";
const CLAIMS: &str = "ownership is to be settled";
const CLAIMED: &str = "ownership is settled";
const REFUSED: &str = "a creation was refused";
const AGAIN: &str = "the creation is tried again";
const DELETED: &str = "deletion was asked for";
const SUSPENDED: &str = "it is suspended";
const RESUMED: &str = "it is resumed";
const EXISTS: &str = "every pod exists";
const MISSING: &str = "a pod is missing";
const SURPLUS: &str = "pods are too many";
const FITS: &str = "no pod is too many";
const FAILURE: &str = "a pod has failed";
const WAITED: &str = "the wait is over";
const MET: &str = "enough has succeeded";
const GIVEN_UP: &str = "it has failed";
const SETTLED: &str = "no pod is left to wait for";
const EXPIRED: &str = "its time after the end is over";

/// The chart of the Job machine.
static CHART: Chart = Chart {
    name: "job",
    states: &[
        Named { name: "Claiming", meaning: "Matching orphans are adopted, pods that no longer match are let go." },
        Named { name: "Starting", meaning: "Pods are missing and are being created." },
        Named { name: "Running", meaning: "As many pods run as should, or as can before others are gone." },
        Named { name: "BackingOff", meaning: "A pod has failed; the next is made after a while." },
        Named { name: "Shrinking", meaning: "Pods are too many; they are marked and deleted." },
        Named { name: "Suspended", meaning: "No pod runs until it is resumed." },
        Named { name: "Succeeding", meaning: "Enough has succeeded; what still runs goes." },
        Named { name: "Failing", meaning: "It has failed; what still runs goes." },
        Named { name: "Complete", meaning: "It has succeeded." },
        Named { name: "Failed", meaning: "It has failed, and no pod of it runs." },
        Named { name: "Expired", meaning: "It ended long enough ago and is deleted with its pods." },
        Named { name: "CreationRefused", meaning: "A pod may not be created; it is tried again." },
        Named { name: "ManagedByOther", meaning: "Another controller looks after it, as it says." },
        Named { name: "Terminating", meaning: "It is being deleted, and its pods are let go of." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: ANY, to: ANY, guard: MORE },
        Edge { from: ANY, to: "Claiming", guard: CLAIMS },
        Edge { from: ANY, to: "CreationRefused", guard: REFUSED },
        Edge { from: ANY, to: "Suspended", guard: SUSPENDED },
        Edge { from: ANY, to: "Succeeding", guard: MET },
        Edge { from: ANY, to: "Failing", guard: GIVEN_UP },
        Edge { from: ANY, to: "Terminating", guard: DELETED },
        Edge { from: "Claiming", to: ANY, guard: CLAIMED },
        Edge { from: "CreationRefused", to: "Starting", guard: AGAIN },
        Edge { from: "Starting", to: "Running", guard: EXISTS },
        Edge { from: "Running", to: "Starting", guard: MISSING },
        Edge { from: "Running", to: "BackingOff", guard: FAILURE },
        Edge { from: "Running", to: "Shrinking", guard: SURPLUS },
        Edge { from: "Shrinking", to: "Running", guard: FITS },
        Edge { from: "BackingOff", to: "Starting", guard: WAITED },
        Edge { from: "Suspended", to: "Starting", guard: RESUMED },
        Edge { from: "Succeeding", to: "Complete", guard: SETTLED },
        Edge { from: "Failing", to: "Failed", guard: SETTLED },
        Edge { from: "Complete", to: "Expired", guard: EXPIRED },
        Edge { from: "Failed", to: "Expired", guard: EXPIRED },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        if self.is_foreign() {
            return State::managed_by_other();
        }
        if self.is_terminating() {
            return State::terminating();
        }
        match self.end() {
            Some(_) if self.is_expired() => State::expired(),
            Some((End::Success, _)) => State::complete(),
            Some((End::Failure, _)) => State::failed(),
            None if self.has_claims() => State::claiming(),
            None => match self.work.verdict.as_ref().map(|verdict| verdict.outcome) {
                Some(End::Success) => State::succeeding(),
                Some(End::Failure) => State::failing(),
                None => self.classify_open(),
            },
        }
    }

    /// Where nothing is decided yet.
    fn classify_open(&self) -> State {
        let work = &self.work;
        if self.is_suspended() {
            State::suspended()
        } else if self.met_refusal().is_some() {
            State::creation_refused()
        } else if !work.dismiss.is_empty() || !work.delete.is_empty() {
            State::shrinking()
        } else if !work.create.is_empty() {
            State::starting()
        } else if work.retry_at.is_some() {
            State::backing_off()
        } else {
            State::running()
        }
    }

    /// Why pods that are missing may not be created.
    fn met_refusal(&self) -> Option<&CreationRefusal> {
        self.refusal.as_ref().filter(|_| self.work.missing > 0)
    }

    /// All that is to be done in that state.
    fn wanted(&self, state: &State) -> Vec<Intent> {
        match state {
            State::Unobserved {} | State::ManagedByOther {} => Vec::new(),
            State::Claiming {} => {
                let adopted = self.adoptable().cloned().map(Intent::Adopt);
                adopted.chain(self.strays.iter().cloned().map(Intent::Disown)).collect()
            }
            State::Expired {} => vec![Intent::Expire],
            _ => [self.wanted_of_pods(), self.wanted_beside()].concat(),
        }
    }

    fn wanted_of_pods(&self) -> Vec<Intent> {
        let work = &self.work;
        let released = work.release.iter().cloned().map(Intent::Release);
        let dismissed = work.dismiss.iter().cloned().map(Intent::Dismiss);
        let deleted = work.delete.iter().cloned().map(Intent::Delete);
        let created = work.create.iter().copied().map(Intent::Create);
        created.chain(released).chain(dismissed).chain(deleted).collect()
    }

    fn wanted_beside(&self) -> Vec<Intent> {
        let status = status::status(self);
        let reported = self.met_refusal().map(|refusal| Intent::ReportRefusal(refusal.message.clone()));
        let announced = status::news(self, &status).into_iter().map(Intent::Announce);
        let is_current = self.job.status.as_ref() == Some(&status);
        reported
            .into_iter()
            .chain(announced)
            .chain((!is_current).then(|| Intent::WriteStatus(Box::new(status.clone()))))
            .collect()
    }

    /// Names what the Job waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        if self.is_foreign() || self.is_terminating() {
            return;
        }
        if self.end().is_some() {
            if let Some(at) = self.expires_at() {
                trace.waiting_for("its time after the end is over", "ttlSecondsAfterFinished", Some(at));
            }
            return;
        }
        let work = &self.work;
        if let Some(refusal) = self.met_refusal() {
            trace.waiting_for("the creation is accepted", refusal.message.clone(), None);
        }
        if self.is_suspended() {
            trace.waiting_for("it is resumed", "spec.suspend", None);
        } else if let Some(at) = work.retry_at {
            trace.waiting_for("the wait after a failure is over", "", Some(at));
        }
        if work.blocked > 0 {
            trace.waiting_for("a pod on its way out has ended", format!("{} to be replaced", work.blocked), None);
        }
        if work.active > 0 {
            trace.waiting_for("a pod ends", format!("{} of them run", work.active), self.deadline());
        } else if work.terminating > 0 {
            trace.waiting_for("a pod on its way out has ended", format!("{} of them", work.terminating), None);
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The Job machine.
pub type JobMachine = Observer<Behaviour>;

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
            State::Suspended {} => SUSPENDED,
            State::Succeeding {} => MET,
            State::Failing {} => GIVEN_UP,
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
            State::Claiming {} | State::Terminating {} => Super,
            state => context.take(CLAIMED, state),
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn starting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Starting {} => stay(context, state),
            state @ State::Running {} => context.take(EXISTS, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn running(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Running {} => stay(context, state),
            state @ State::Starting {} => context.take(MISSING, state),
            state @ State::BackingOff {} => context.take(FAILURE, state),
            state @ State::Shrinking {} => context.take(SURPLUS, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn backing_off(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::BackingOff {} => stay(context, state),
            state @ State::Starting {} => context.take(WAITED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn shrinking(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Shrinking {} => stay(context, state),
            state @ State::Running {} => context.take(FITS, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn suspended(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Suspended {} => stay(context, state),
            state @ State::Starting {} => context.take(RESUMED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn succeeding(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Succeeding {} => stay(context, state),
            state @ State::Complete {} => context.take(SETTLED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn failing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Failing {} => stay(context, state),
            state @ State::Failed {} => context.take(SETTLED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn complete(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Complete {} => stay(context, state),
            state @ State::Expired {} => context.take(EXPIRED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn failed(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Failed {} => stay(context, state),
            state @ State::Expired {} => context.take(EXPIRED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn expired(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Expired {} => stay(context, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn creation_refused(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::CreationRefused {} => stay(context, state),
            state @ State::Starting {} => context.take(AGAIN, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn managed_by_other(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::ManagedByOther {} => Handled,
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
