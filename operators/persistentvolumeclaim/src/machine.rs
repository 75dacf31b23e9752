//! The states of a claim.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Amending | AwaitingConsumer | it has what it lacked |
//! | Amending | AwaitingProvisioner | it has what it lacked |
//! | Amending | AwaitingVolume | it has what it lacked |
//! | Amending | Binding | it has what it lacked |
//! | Amending | Amending | it has what it lacked |
//! | AwaitingConsumer | Amending | a pod of it has a node |
//! | AwaitingConsumer | Binding | there is a volume for it |
//! | AwaitingProvisioner | Binding | there is a volume for it |
//! | AwaitingVolume | Binding | there is a volume for it |
//! | Binding | Bound | it is bound |
//! | Bound | Bound | its status is not what it should be |
//! | Bound | Lost | its volume is gone |
//! | InUse | Releasing | no pod uses it |
//! | Releasing | Held | its finalizer is removed |

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use sampan_core::resource::volume::CLAIM_PROTECTION;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use sampan_storage::reserved_for;
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{Notice, Standing, View};
use crate::{provision, status};

/// Something the machine wants done.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Store the claim with what it lacks.
    Amend(Box<PersistentVolumeClaim>),
    /// Bind claim and volume to each other.
    Bind {
        /// The claim, bound.
        claim: Box<PersistentVolumeClaim>,
        /// The volume, held for it.
        volume: Box<PersistentVolume>,
    },
    /// Make a volume for the claim, and bind them.
    Provision {
        /// The claim, bound.
        claim: Box<PersistentVolumeClaim>,
        /// The new volume, held for it.
        volume: Box<PersistentVolume>,
    },
    /// Write the status as it should be.
    WriteStatus,
    /// Tell users.
    Tell(Notice),
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const AMENDED: &str = "it has what it lacked";
const CONSUMED: &str = "a pod of it has a node";
const OFFERED: &str = "there is a volume for it";
const BOUND: &str = "it is bound";
const STALE: &str = "its status is not what it should be";
const LOST: &str = "its volume is gone";
const UNUSED: &str = "no pod uses it";
const LET_GO: &str = "its finalizer is removed";

/// The chart of the claim machine.
static CHART: Chart = Chart {
    name: "persistentvolumeclaim",
    states: &[
        Named {
            name: "Amending",
            meaning: "Its class or provisioner is being written into it, or a lost node taken out.",
        },
        Named { name: "AwaitingConsumer", meaning: "Its class waits for the first pod that uses it." },
        Named { name: "AwaitingProvisioner", meaning: "Somebody else makes its volume." },
        Named {
            name: "AwaitingVolume",
            meaning: "No volume fits, the one it names is not to be had, or none can be made.",
        },
        Named { name: "Binding", meaning: "There is a volume for it; they are being bound to each other." },
        Named { name: "Bound", meaning: "It has its volume." },
        Named { name: "Lost", meaning: "It was bound, and its volume is gone or another's." },
        Named { name: "InUse", meaning: "It is being deleted and stays while pods use it." },
        Named { name: "Releasing", meaning: "It is being deleted and no pod uses it: its finalizer is being removed." },
        Named { name: "Held", meaning: "It is let go of, but somebody else's finalizer holds it." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Amending", to: "AwaitingConsumer", guard: AMENDED },
        Edge { from: "Amending", to: "AwaitingProvisioner", guard: AMENDED },
        Edge { from: "Amending", to: "AwaitingVolume", guard: AMENDED },
        Edge { from: "Amending", to: "Binding", guard: AMENDED },
        Edge { from: "Amending", to: "Amending", guard: AMENDED },
        Edge { from: "AwaitingConsumer", to: "Amending", guard: CONSUMED },
        Edge { from: "AwaitingConsumer", to: "Binding", guard: OFFERED },
        Edge { from: "AwaitingProvisioner", to: "Binding", guard: OFFERED },
        Edge { from: "AwaitingVolume", to: "Binding", guard: OFFERED },
        Edge { from: "Binding", to: "Bound", guard: BOUND },
        Edge { from: "Bound", to: "Bound", guard: STALE },
        Edge { from: "Bound", to: "Lost", guard: LOST },
        Edge { from: "InUse", to: "Releasing", guard: UNUSED },
        Edge { from: "Releasing", to: "Held", guard: LET_GO },
    ],
};

impl View {
    fn classify(&self) -> State {
        match self.standing() {
            Standing::InUse => State::in_use(),
            Standing::Releasing => State::releasing(),
            Standing::Held => State::held(),
            Standing::Amending(_) => State::amending(),
            Standing::AwaitingConsumer => State::awaiting_consumer(),
            Standing::AwaitingProvisioner => State::awaiting_provisioner(),
            Standing::AwaitingVolume(_) => State::awaiting_volume(),
            Standing::Binding => State::binding(),
            Standing::Bound => State::bound(),
            Standing::Lost(_) => State::lost(),
        }
    }

    /// What the claim waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        match self.standing() {
            Standing::InUse => trace.waiting_for(UNUSED, format!("used by {}", self.users.join(", ")), None),
            Standing::AwaitingConsumer => trace.waiting_for(CONSUMED, Self::consumer_notice().message, None),
            Standing::AwaitingProvisioner => trace.waiting_for(OFFERED, self.provisioner_notice().message, None),
            Standing::Binding => {
                if let Some(notice) = self.refusal_notice() {
                    trace.waiting_for("its volume may be created", notice.message, None);
                }
            }
            Standing::AwaitingVolume(notice) => trace.waiting_for(OFFERED, notice.message, None),
            Standing::Held => {
                let others = self.claim.metadata.finalizers.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
                trace.waiting_for("its finalizers are removed", others, None);
            }
            _ => {}
        }
    }

    /// How the claim gets the volume there is for it, or that is made for it.
    fn binding(&self) -> Option<Intent> {
        if let Some(volume) = self.named.as_ref().or(self.found.as_ref()) {
            let name = volume.metadata.name.as_deref()?;
            let claim = Box::new(provision::bound(&self.claim, name));
            return Some(Intent::Bind { claim, volume: Box::new(reserved_for(volume, &self.claim)) });
        }
        let volume = Box::new(provision::volume(self)?);
        let claim = Box::new(provision::bound(&self.claim, volume.metadata.name.as_deref()?));
        Some(Intent::Provision { claim, volume })
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The claim machine.
pub type ClaimMachine = Observer<Behaviour>;

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

    /// What every state does with a view no edge of its own leads to: above all, deletion.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take(RECLASSIFIED, state)
    }

    #[state(superstate = "observed", entry_action = "enter_amending")]
    fn amending(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ (State::Amending {}
            | State::AwaitingConsumer {}
            | State::AwaitingProvisioner {}
            | State::AwaitingVolume {}
            | State::Binding {}) => context.take(AMENDED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_amending(context: &mut Scene) {
        if let Standing::Amending(amendment) = context.view.standing() {
            let claim = provision::amended(&context.view.claim, &amendment);
            context.intents.push(Intent::Amend(Box::new(claim)));
        }
    }

    #[state(superstate = "observed", entry_action = "enter_awaiting_consumer")]
    fn awaiting_consumer(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::AwaitingConsumer {} => Handled,
            state @ State::Amending {} => context.take(CONSUMED, state),
            state @ State::Binding {} => context.take(OFFERED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_awaiting_consumer(context: &mut Scene) {
        context.intents.push(Intent::Tell(View::consumer_notice()));
    }

    #[state(superstate = "observed", entry_action = "enter_awaiting_provisioner")]
    fn awaiting_provisioner(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::AwaitingProvisioner {} => Handled,
            state @ State::Binding {} => context.take(OFFERED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_awaiting_provisioner(context: &mut Scene) {
        context.intents.push(Intent::Tell(context.view.provisioner_notice()));
    }

    #[state(superstate = "observed", entry_action = "enter_awaiting_volume")]
    fn awaiting_volume(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::AwaitingVolume {} => Handled,
            state @ State::Binding {} => context.take(OFFERED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_awaiting_volume(context: &mut Scene) {
        if let Standing::AwaitingVolume(notice) = context.view.standing() {
            context.intents.push(Intent::Tell(notice));
        }
    }

    #[state(superstate = "observed", entry_action = "enter_binding")]
    fn binding(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Bound {} => context.take(BOUND, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_binding(context: &mut Scene) {
        // What was refused just now is told of, and tried again by a later step.
        let intent = context.view.refusal_notice().map(Intent::Tell).or_else(|| context.view.binding());
        context.intents.extend(intent);
    }

    #[state(superstate = "observed", entry_action = "enter_bound")]
    fn bound(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Bound {} if status::is_current(&context.view) => Handled,
            state @ State::Bound {} => context.take(STALE, state),
            state @ State::Lost {} => context.take(LOST, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_bound(context: &mut Scene) {
        if !status::is_current(&context.view) {
            context.intents.push(Intent::WriteStatus);
        }
    }

    #[state(superstate = "observed", entry_action = "enter_lost")]
    fn lost(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Lost {} if status::is_current(&context.view) => Handled,
            _ => Super,
        }
    }

    /// What was lost is told with the status that says so, and not again.
    #[action]
    fn enter_lost(context: &mut Scene) {
        if status::is_current(&context.view) {
            return;
        }
        context.intents.push(Intent::WriteStatus);
        if let Standing::Lost(notice) = context.view.standing() {
            context.intents.push(Intent::Tell(notice));
        }
    }

    #[state(superstate = "observed")]
    fn in_use(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::InUse {} => Handled,
            state @ State::Releasing {} => context.take(UNUSED, state),
            _ => Super,
        }
    }

    /// One that is still to be let go of is another: it came, and was deleted, before it was looked at.
    #[state(superstate = "observed", entry_action = "enter_releasing")]
    fn releasing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Held {} => context.take(LET_GO, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_releasing(context: &mut Scene) {
        let mut claim = (*context.view.claim).clone();
        claim.metadata.finalizers.get_or_insert_default().retain(|it| it != CLAIM_PROTECTION);
        context.intents.push(Intent::Amend(Box::new(claim)));
    }

    #[state(superstate = "observed")]
    fn held(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Held {} => Handled,
            _ => Super,
        }
    }
}
