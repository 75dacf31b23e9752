//! The states of a pod, as its node keeps it or does not.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Settled | Tolerating | its node has a taint that it tolerates for a while |
//! | Tolerating | Settled | no taint drives it away any more |
//! | Settled | Evicting | its node has a taint that it does not tolerate |
//! | Tolerating | Evicting | its node has a taint that it does not tolerate |
//! | Evicting | Evicting | it is marked |
//! | Evicting | Leaving | its deletion was asked for |
//! | Settled | Marked | somebody says that it is about to go |
//! | Marked | Settled | nobody says so any more |
//! | Marked | Unmarking | it has stayed for too long |
//! | Unmarking | Settled | what was said is taken back |
//! | * | Orphaned | its node is not there |
//! | * | Removing | nobody is there who could end it |
//! | Removing | Removing | it is marked |
//! | Removing | Held | its finalizers hold it |

use jiff::Timestamp;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::plan::{Fate, View, node_of};

/// Something the machine wants done. What it takes follows from the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Mark it as one that a taint drives away, then delete it.
    Evict,
    /// Mark it as failed, then remove it by force.
    Remove,
    /// Take back that it is about to go.
    Unmark,
}

const FIRST: &str = "first observation";
const RECLASSIFIED: &str = "reclassified";
const TOLERATED: &str = "its node has a taint that it tolerates for a while";
const FREED: &str = "no taint drives it away any more";
const DRIVEN: &str = "its node has a taint that it does not tolerate";
const MARKED: &str = "it is marked";
const DELETED: &str = "its deletion was asked for";
const SAID: &str = "somebody says that it is about to go";
const UNSAID: &str = "nobody says so any more";
const STAYED: &str = "it has stayed for too long";
const TAKEN_BACK: &str = "what was said is taken back";
const ORPHANED: &str = "its node is not there";
const FORSAKEN: &str = "nobody is there who could end it";
const HELD: &str = "its finalizers hold it";

/// The chart of the evictor's machine.
static CHART: Chart = Chart {
    name: "evictor",
    states: &[
        Named { name: "Settled", meaning: "Nothing takes it from where it is." },
        Named {
            name: "Tolerating",
            meaning: "Its node has taints, and it leaves when it has tolerated them for long enough.",
        },
        Named {
            name: "Evicting",
            meaning: "Its node has a taint that it does not tolerate; it is marked and deleted.",
        },
        Named { name: "Leaving", meaning: "It is being deleted, and its node ends it as soon as it can." },
        Named { name: "Marked", meaning: "Somebody says that it is about to go, and nobody has deleted it." },
        Named { name: "Unmarking", meaning: "It was said that it is about to go, and it stays: that is taken back." },
        Named { name: "Orphaned", meaning: "It is bound to a node that is not there, but may be about to register." },
        Named { name: "Removing", meaning: "Nobody is there who could end it; it is marked as failed and removed." },
        Named { name: "Held", meaning: "It is removed, but somebody's finalizers hold it." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: RECLASSIFIED },
        Edge { from: "Settled", to: "Tolerating", guard: TOLERATED },
        Edge { from: "Tolerating", to: "Settled", guard: FREED },
        Edge { from: "Settled", to: "Evicting", guard: DRIVEN },
        Edge { from: "Tolerating", to: "Evicting", guard: DRIVEN },
        Edge { from: "Evicting", to: "Evicting", guard: MARKED },
        Edge { from: "Evicting", to: "Leaving", guard: DELETED },
        Edge { from: "Settled", to: "Marked", guard: SAID },
        Edge { from: "Marked", to: "Settled", guard: UNSAID },
        Edge { from: "Marked", to: "Unmarking", guard: STAYED },
        Edge { from: "Unmarking", to: "Settled", guard: TAKEN_BACK },
        Edge { from: ANY, to: "Orphaned", guard: ORPHANED },
        Edge { from: ANY, to: "Removing", guard: FORSAKEN },
        Edge { from: "Removing", to: "Removing", guard: MARKED },
        Edge { from: "Removing", to: "Held", guard: HELD },
    ],
};

impl View {
    fn classify(&self) -> State {
        match self.fate() {
            Fate::Settled => State::settled(),
            Fate::Tolerating(_) => State::tolerating(),
            Fate::Evicting => State::evicting(),
            Fate::Marked(_) => State::marked(),
            Fate::Unmarking => State::unmarking(),
            Fate::Leaving => State::leaving(),
            Fate::Orphaned(_) => State::orphaned(),
            Fate::Removing(_) => State::removing(),
            Fate::Held => State::held(),
        }
    }

    /// What the pod waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        let node = node_of(&self.pod).unwrap_or_default();
        match self.fate() {
            Fate::Tolerating(until) => {
                trace.waiting_for("its tolerations end", format!("node {node} has taints"), Some(until));
            }
            Fate::Marked(until) => {
                trace.waiting_for("it is deleted", "it says DisruptionTarget".to_owned(), Some(until));
            }
            Fate::Leaving => trace.waiting_for("its node ends it", format!("node {node} has taints"), None),
            Fate::Orphaned(until) => {
                trace.waiting_for("its node registers", format!("there is no node {node}"), Some(until));
            }
            Fate::Held => {
                let finalizers = self.pod.metadata.finalizers.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
                trace.waiting_for("its finalizers are removed", finalizers, None);
            }
            Fate::Settled | Fate::Evicting | Fate::Unmarking | Fate::Removing(_) => {}
        }
    }

    /// When something becomes of the pod though nothing changes.
    pub(crate) fn look_again_at(&self) -> Option<Timestamp> {
        match self.fate() {
            Fate::Tolerating(until) => Some(self.marked_until().map_or(until, |marked| marked.min(until))),
            Fate::Orphaned(until) | Fate::Marked(until) => Some(until),
            _ => None,
        }
    }
}

/// How it goes from one state to the next.
///
/// A taint may not say since when it is there; then it counts from when it was first seen, and again from the start of the
/// next process, as in Kubernetes. It decides when the pod goes, never whether: so it may be forgotten.
#[derive(Default, Clone)]
pub struct Behaviour {
    noticed: Option<Timestamp>,
}

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The evictor's machine.
pub type EvictorMachine = Observer<Behaviour>;

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

    /// What every state does with a view no edge of its own leads to.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Orphaned {} => context.take(ORPHANED, state),
            state @ State::Removing {} => context.take(FORSAKEN, state),
            state => context.take(RECLASSIFIED, state),
        }
    }

    #[state(superstate = "observed")]
    fn settled(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Settled {} => Handled,
            state @ State::Tolerating {} => context.take(TOLERATED, state),
            state @ State::Evicting {} => context.take(DRIVEN, state),
            state @ State::Marked {} => context.take(SAID, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn marked(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Marked {} => Handled,
            state @ State::Settled {} => context.take(UNSAID, state),
            state @ State::Unmarking {} => context.take(STAYED, state),
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_unmarking")]
    fn unmarking(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Settled {} => context.take(TAKEN_BACK, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_unmarking(context: &mut Scene) {
        context.intents.push(Intent::Unmark);
    }

    #[state(superstate = "observed", entry_action = "enter_tolerating", exit_action = "leave_tolerating")]
    fn tolerating(&mut self, context: &mut Scene) -> Outcome<State> {
        context.view.noticed = self.noticed;
        match context.view.classify() {
            State::Tolerating {} => Handled,
            state @ State::Settled {} => context.take(FREED, state),
            state @ State::Evicting {} => context.take(DRIVEN, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_tolerating(&mut self, context: &mut Scene) {
        self.noticed = context.view.is_undated().then_some(context.view.now);
        context.view.noticed = self.noticed;
    }

    #[action]
    fn leave_tolerating(&mut self) {
        self.noticed = None;
    }

    #[state(superstate = "observed", entry_action = "enter_evicting")]
    fn evicting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Evicting {} => context.take(MARKED, state),
            state @ State::Leaving {} => context.take(DELETED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_evicting(context: &mut Scene) {
        context.intents.push(Intent::Evict);
    }

    #[state(superstate = "observed")]
    fn leaving(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Leaving {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn orphaned(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Orphaned {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_removing")]
    fn removing(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Removing {} => context.take(MARKED, state),
            state @ State::Held {} => context.take(HELD, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_removing(context: &mut Scene) {
        context.intents.push(Intent::Remove);
    }

    #[state(superstate = "observed")]
    fn held(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Held {} => Handled,
            _ => Super,
        }
    }
}
