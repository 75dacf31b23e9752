//! The states of a volume.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Available | Available | its status is not what it should be |
//! | Available | Bound | its claim names it |
//! | Reserved | Bound | its claim names it |
//! | Bound | Bound | its status is not what it should be |
//! | Bound | Released | its claim is gone |
//! | Released | Released | its status is not what it should be |
//! | Released | Reclaiming | its policy is to be carried out |
//! | Released | Failed | its policy is to be carried out |
//! | Reclaiming | Releasing | it is being deleted |
//! | Misbound | Available | it is held for nobody |
//! | InUse | Releasing | no claim uses it |
//! | Releasing | Held | its finalizer is removed |

use k8s_openapi::api::core::v1::PersistentVolume;
use sampan_core::resource::volume::VOLUME_PROTECTION;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{Standing, View};
use crate::status;

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Store the volume as it should be.
    Amend(Box<PersistentVolume>),
    /// Delete the volume.
    Delete,
    /// Write the status as it should be.
    WriteStatus,
    /// Warn users: a reason and a message.
    Warn(&'static str, String),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const CLAIMED: &str = "its claim names it";
const STALE: &str = "its status is not what it should be";
const LEFT: &str = "its claim is gone";
const RECLAIMED: &str = "its policy is to be carried out";
const DELETED: &str = "it is being deleted";
const FREED: &str = "it is held for nobody";
const UNCLAIMED: &str = "no claim uses it";
const LET_GO: &str = "its finalizer is removed";

/// The chart of the volume machine.
static CHART: Chart = Chart {
    name: "persistentvolume",
    states: &[
        Named { name: "Available", meaning: "No claim has it." },
        Named { name: "Reserved", meaning: "It is held for a claim that does not name it yet." },
        Named { name: "Bound", meaning: "It is its claim's." },
        Named { name: "Misbound", meaning: "The claim it is held for has another volume: it is being freed." },
        Named { name: "Released", meaning: "Its claim is gone; it keeps the data." },
        Named { name: "Reclaiming", meaning: "Its claim is gone and its policy is Delete: it is being deleted." },
        Named { name: "Failed", meaning: "Its claim is gone, and nobody can do what its policy says." },
        Named { name: "InUse", meaning: "It is being deleted and stays while its claim is there." },
        Named {
            name: "Releasing",
            meaning: "It is being deleted and no claim uses it: its finalizer is being removed.",
        },
        Named { name: "Held", meaning: "Its node removes the data, or somebody else's finalizer holds it." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Available", to: "Available", guard: STALE },
        Edge { from: "Available", to: "Bound", guard: CLAIMED },
        Edge { from: "Reserved", to: "Bound", guard: CLAIMED },
        Edge { from: "Bound", to: "Bound", guard: STALE },
        Edge { from: "Bound", to: "Released", guard: LEFT },
        Edge { from: "Released", to: "Released", guard: STALE },
        Edge { from: "Released", to: "Reclaiming", guard: RECLAIMED },
        Edge { from: "Released", to: "Failed", guard: RECLAIMED },
        Edge { from: "Reclaiming", to: "Releasing", guard: DELETED },
        Edge { from: "Misbound", to: "Available", guard: FREED },
        Edge { from: "InUse", to: "Releasing", guard: UNCLAIMED },
        Edge { from: "Releasing", to: "Held", guard: LET_GO },
    ],
};

impl View {
    fn classify(&self) -> State {
        match self.standing() {
            Standing::Available => State::available(),
            Standing::Reserved => State::reserved(),
            Standing::Bound => State::bound(),
            Standing::Misbound => State::misbound(),
            Standing::Released => State::released(),
            Standing::Reclaiming => State::reclaiming(),
            Standing::Failed => State::failed(),
            Standing::InUse => State::in_use(),
            Standing::Releasing => State::releasing(),
            Standing::Held => State::held(),
        }
    }

    /// What the volume waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        let holder = || crate::plan::holder(&self.volume).map(|key| key.to_string()).unwrap_or_default();
        match self.standing() {
            Standing::Reserved => trace.waiting_for(CLAIMED, holder(), None),
            Standing::InUse => trace.waiting_for(UNCLAIMED, holder(), None),
            Standing::Held => {
                let others = self.volume.metadata.finalizers.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
                trace.waiting_for("its finalizers are removed", others, None);
            }
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

/// The volume machine.
pub type VolumeMachine = Observer<Behaviour>;

type Scene = sampan_machine::Scene<View, Intent>;

/// Every state that shows in the status writes it where it is not what it should be.
fn tell(context: &mut Scene) {
    if !status::is_current(&context.view) {
        context.intents.push(Intent::WriteStatus);
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

    /// What every state does with a view no edge of its own leads to: above all, deletion.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take(RECLASSIFIED, state)
    }

    #[action]
    fn enter_shown(context: &mut Scene) {
        tell(context);
    }

    #[state(superstate = "observed", entry_action = "enter_shown")]
    fn available(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Available {} if status::is_current(&context.view) => Handled,
            state @ State::Available {} => context.take(STALE, state),
            state @ State::Bound {} => context.take(CLAIMED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn reserved(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Reserved {} => Handled,
            state @ State::Bound {} => context.take(CLAIMED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_shown")]
    fn bound(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Bound {} if status::is_current(&context.view) => Handled,
            state @ State::Bound {} => context.take(STALE, state),
            state @ State::Released {} => context.take(LEFT, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_misbound")]
    fn misbound(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Available {} => context.take(FREED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_misbound(context: &mut Scene) {
        let unbound = context.view.unbound();
        context.intents.push(Intent::Amend(Box::new(unbound)));
    }

    #[state(superstate = "observed", entry_action = "enter_shown")]
    fn released(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Released {} if status::is_current(&context.view) => Handled,
            state @ State::Released {} => context.take(STALE, state),
            state @ (State::Reclaiming {} | State::Failed {}) => context.take(RECLAIMED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_reclaiming")]
    fn reclaiming(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Releasing {} => context.take(DELETED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_reclaiming(context: &mut Scene) {
        context.intents.push(Intent::Delete);
    }

    #[state(superstate = "observed", entry_action = "enter_failed")]
    fn failed(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Failed {} if status::is_current(&context.view) => Handled,
            _ => Super,
        }
    }

    /// Why is told with the status that says so, and not again.
    #[action]
    fn enter_failed(context: &mut Scene) {
        if status::is_current(&context.view) {
            return;
        }
        let (reason, message) = context.view.failure();
        context.intents.extend([Intent::WriteStatus, Intent::Warn(reason, message)]);
    }

    #[state(superstate = "observed")]
    fn in_use(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::InUse {} => Handled,
            state @ State::Releasing {} => context.take(UNCLAIMED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_releasing")]
    fn releasing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Held {} => context.take(LET_GO, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_releasing(context: &mut Scene) {
        let mut volume = (*context.view.volume).clone();
        volume.metadata.finalizers.get_or_insert_default().retain(|it| it != VOLUME_PROTECTION);
        context.intents.push(Intent::Amend(Box::new(volume)));
    }

    #[state(superstate = "observed")]
    fn held(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Held {} => Handled,
            _ => Super,
        }
    }
}
