//! The states of a CronJob.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | * | * | more is to be done |
//! | * | CreationRefused | a creation was refused |
//! | * | Suspended | it is suspended |
//! | * | Terminating | deletion was asked for |
//! | Waiting | Starting | a time has come |
//! | Waiting | Replacing | a time has come, and an earlier Job makes room |
//! | Waiting | Blocked | a time has come, and an earlier Job still runs |
//! | Starting | Waiting | the Job is made |
//! | Replacing | Waiting | the Job is made |
//! | Blocked | Starting | no earlier Job runs |
//! | Suspended | Waiting | it is resumed |
//! | CreationRefused | Starting | the creation is tried again |

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJobStatus, Job};
use sampan_core::operator::EventKind;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::calendar::Trouble;
use crate::plan::View;
use crate::status;

/// Something the machine wants done. What it takes to do it follows from the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    /// Make the Job of a time.
    Start(Timestamp),
    /// Delete a Job.
    Delete(Arc<Job>),
    /// Tell users something.
    Announce(EventKind, &'static str, String),
    /// Write the status as it should be.
    WriteStatus(Box<CronJobStatus>),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const MORE: &str = "more is to be done";
const REFUSED: &str = "a creation was refused";
const AGAIN: &str = "the creation is tried again";
const DELETED: &str = "deletion was asked for";
const SUSPENDED: &str = "it is suspended";
const RESUMED: &str = "it is resumed";
const DUE: &str = "a time has come";
const REPLACES: &str = "a time has come, and an earlier Job makes room";
const BUSY: &str = "a time has come, and an earlier Job still runs";
const MADE: &str = "the Job is made";
const FREE: &str = "no earlier Job runs";

/// The chart of the CronJob machine.
static CHART: Chart = Chart {
    name: "cronjob",
    states: &[
        Named { name: "Waiting", meaning: "No time has come that is not served." },
        Named { name: "Starting", meaning: "A time has come; its Job is being made." },
        Named { name: "Replacing", meaning: "A time has come; its Job takes the place of those that still run." },
        Named { name: "Blocked", meaning: "A time has come; its Job may not be made beside the one that runs." },
        Named { name: "Suspended", meaning: "No Job is made until it is resumed." },
        Named { name: "Unschedulable", meaning: "No time will ever come: the schedule or its time zone is none." },
        Named { name: "CreationRefused", meaning: "A Job may not be created; it is tried again." },
        Named { name: "Terminating", meaning: "The CronJob is being deleted." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: ANY, to: ANY, guard: MORE },
        Edge { from: ANY, to: "CreationRefused", guard: REFUSED },
        Edge { from: ANY, to: "Suspended", guard: SUSPENDED },
        Edge { from: ANY, to: "Terminating", guard: DELETED },
        Edge { from: "Waiting", to: "Starting", guard: DUE },
        Edge { from: "Waiting", to: "Replacing", guard: REPLACES },
        Edge { from: "Waiting", to: "Blocked", guard: BUSY },
        Edge { from: "Starting", to: "Waiting", guard: MADE },
        Edge { from: "Replacing", to: "Waiting", guard: MADE },
        Edge { from: "Blocked", to: "Starting", guard: FREE },
        Edge { from: "Suspended", to: "Waiting", guard: RESUMED },
        Edge { from: "CreationRefused", to: "Starting", guard: AGAIN },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        if self.is_terminating() {
            State::terminating()
        } else if self.is_suspended() {
            State::suspended()
        } else if self.due.is_none() {
            if self.next().is_some() { State::waiting() } else { State::unschedulable() }
        } else if self.is_blocked() || self.is_taken {
            State::blocked()
        } else if self.refusal.is_some() {
            State::creation_refused()
        } else if !self.replaced().is_empty() {
            State::replacing()
        } else {
            State::starting()
        }
    }

    /// All that is to be done in that state.
    fn wanted(&self, state: &State) -> Vec<Intent> {
        let started = match state {
            State::Unobserved {} => return Vec::new(),
            State::Starting {} | State::Replacing {} => self.due,
            _ => None,
        };
        let mut intents: Vec<Intent> = Vec::new();
        if started.is_some() {
            intents.extend(self.replaced().into_iter().map(Intent::Delete));
            intents.extend(started.map(Intent::Start));
        }
        if !self.is_terminating() {
            intents.extend(self.outdated().into_iter().map(Intent::Delete));
        }
        intents.extend(self.news(state));
        let status = status::status(self, started);
        if self.cron.status.as_ref() != Some(&status) {
            intents.push(Intent::WriteStatus(Box::new(status)));
        }
        intents
    }

    /// What users are told of Jobs that are no longer active, and of what goes wrong.
    fn news(&self, state: &State) -> Vec<Intent> {
        let ended = status::ended(self).into_iter().map(|(name, how)| match how {
            Some(how) => {
                let text = format!("Saw completed job: {name}, status: {how}");
                Intent::Announce(EventKind::Normal, "SawCompletedJob", text)
            }
            None => Intent::Announce(EventKind::Normal, "MissingJob", format!("Active job went missing: {name}")),
        });
        let refusal = self.refusal.as_ref().filter(|_| matches!(state, State::CreationRefused {}));
        let refused = refusal.map(|refusal| {
            Intent::Announce(EventKind::Warning, "FailedCreate", format!("Error creating job: {}", refusal.0))
        });
        let is_starting = matches!(state, State::Starting {} | State::Replacing {});
        let missed = (is_starting && self.has_missed_many()).then(|| {
            let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            Intent::Announce(EventKind::Warning, "TooManyMissedTimes", text.to_owned())
        });
        ended.chain(refused).chain(missed).collect()
    }

    /// What users are told once, when it is entered: that a Job may not be made.
    fn notice(&self) -> Option<Intent> {
        let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
        self.is_blocked().then(|| Intent::Announce(EventKind::Normal, "JobAlreadyActive", text.to_owned()))
    }

    /// Why no time will ever come.
    fn trouble(&self) -> String {
        let schedule = self.spec().map(|spec| spec.schedule.as_str()).unwrap_or_default();
        match &self.calendar {
            Err(Trouble::Zone(zone)) => format!("invalid timeZone: {zone:?}"),
            Err(Trouble::Schedule(why)) => format!("unparseable schedule: {schedule:?} : {why}"),
            Ok(_) => format!("invalid schedule: {schedule} : it does not come due within five years"),
        }
    }

    /// Names what the CronJob waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        if self.is_terminating() {
            return;
        }
        if self.is_suspended() {
            return trace.waiting_for("it is resumed", "spec.suspend", None);
        }
        if let Some(refusal) = self.refusal.as_ref().filter(|_| self.due.is_some()) {
            trace.waiting_for("the creation is accepted", refusal.0.clone(), None);
        }
        if self.is_blocked() {
            trace.waiting_for("no earlier Job runs", format!("{} of them run", self.active().count()), None);
        } else if self.is_taken {
            trace.waiting_for("the name of its Job is free", "somebody else's Job has it", None);
        }
        match self.next() {
            Some(next) => trace.waiting_for("the next time comes", self.schedule(), Some(next)),
            None => trace.waiting_for("the schedule names a time", self.trouble(), None),
        }
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The CronJob machine.
pub type CronJobMachine = Observer<Behaviour>;

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
            State::Suspended {} => SUSPENDED,
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

    /// The same, and users are told.
    #[action]
    fn enter_and_tell(context: &mut Scene) {
        let state = context.view.classify();
        context.intents.extend(context.view.notice());
        context.intents.extend(context.view.wanted(&state));
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn waiting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Waiting {} => stay(context, state),
            state @ State::Starting {} => context.take(DUE, state),
            state @ State::Replacing {} => context.take(REPLACES, state),
            state @ State::Blocked {} => context.take(BUSY, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn starting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Starting {} => stay(context, state),
            state @ State::Waiting {} => context.take(MADE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn replacing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Replacing {} => stay(context, state),
            state @ State::Waiting {} => context.take(MADE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_and_tell")]
    fn blocked(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Blocked {} => stay(context, state),
            state @ State::Starting {} => context.take(FREE, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn suspended(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Suspended {} => stay(context, state),
            state @ State::Waiting {} => context.take(RESUMED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter")]
    fn unschedulable(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Unschedulable {} => stay(context, state),
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
    fn terminating(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Terminating {} => stay(context, state),
            _ => Super,
        }
    }
}
