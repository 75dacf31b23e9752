//! The states of a pod on its way to a node.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first observation |
//! | * | * | reclassified |
//! | Gated | Fitting | no scheduling gate is left |
//! | Gated | Unschedulable | no scheduling gate is left |
//! | Unschedulable | Fitting | a node fits |
//! | Unschedulable | Unschedulable | the reasons changed |
//! | Unschedulable | AwaitingVolumes | a node fits |
//! | Gated | AwaitingVolumes | no scheduling gate is left |
//! | Gated | Preempting | no scheduling gate is left |
//! | Unschedulable | Preempting | others give way |
//! | Preempting | Preempting | more is to be done for it |
//! | Preempting | Unschedulable | nobody gives way any more |
//! | Preempting | Fitting | a node fits |
//! | AwaitingVolumes | AwaitingVolumes | a claim needs a node |
//! | AwaitingVolumes | Fitting | its volumes are there |
//! | Fitting | Placed | bound to its node |

use k8s_openapi::api::core::v1::Pod;
use sampan_machine::{ANY, Chart, Edge, Observed, Observer, State as Named, Trace, UNOBSERVED, crossed};
use statig::prelude::*;
use strum::IntoStaticStr;

use crate::occupants::nominated_node;
use crate::plan::{self, View};
use crate::status;

/// Something the machine wants done.
pub enum Intent {
    /// Write into its claims and their volumes what they need on the node.
    SettleClaims,
    /// Give the pod this node.
    Bind(String),
    /// Have others give way.
    Preempt,
    /// Store the pod's status.
    Report(Box<Pod>),
    /// Tell users why the pod has no node.
    Warn(String),
}

const PROVIDED: &str = "its volumes are there";
const UNGATED: &str = "no scheduling gate is left";

/// The chart of the scheduler's machine.
static CHART: Chart = Chart {
    name: "scheduler",
    states: &[
        Named { name: "Gated", meaning: "Somebody holds the pod back by a scheduling gate." },
        Named { name: "Unschedulable", meaning: "No node fits; a change of a node or room on one wakes it." },
        Named { name: "Preempting", meaning: "No node fits; pods of lower priority give way on one." },
        Named { name: "AwaitingVolumes", meaning: "A node fits; somebody makes its volumes there before it gets it." },
        Named { name: "Fitting", meaning: "A node fits and is being given to the pod." },
        Named { name: "Placed", meaning: "The pod has its node." },
        Named { name: "Withdrawn", meaning: "The pod is being deleted or has ended: it needs no node any more." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: "first observation" },
        Edge { from: ANY, to: ANY, guard: "reclassified" },
        Edge { from: "Gated", to: "Fitting", guard: UNGATED },
        Edge { from: "Gated", to: "Unschedulable", guard: UNGATED },
        Edge { from: "Unschedulable", to: "Fitting", guard: "a node fits" },
        Edge { from: "Unschedulable", to: "Unschedulable", guard: "the reasons changed" },
        Edge { from: "Unschedulable", to: "AwaitingVolumes", guard: "a node fits" },
        Edge { from: "Gated", to: "AwaitingVolumes", guard: UNGATED },
        Edge { from: "Gated", to: "Preempting", guard: UNGATED },
        Edge { from: "Unschedulable", to: "Preempting", guard: "others give way" },
        Edge { from: "Preempting", to: "Preempting", guard: "more is to be done for it" },
        Edge { from: "Preempting", to: "Unschedulable", guard: "nobody gives way any more" },
        Edge { from: "Preempting", to: "Fitting", guard: "a node fits" },
        Edge { from: "AwaitingVolumes", to: "AwaitingVolumes", guard: "a claim needs a node" },
        Edge { from: "AwaitingVolumes", to: "Fitting", guard: PROVIDED },
        Edge { from: "Fitting", to: "Placed", guard: "bound to its node" },
    ],
};

impl View {
    /// The state this view is in: a function of the view alone.
    fn classify(&self) -> State {
        if plan::is_placed(&self.pod) {
            return State::placed();
        }
        if plan::is_withdrawn(&self.pod) {
            return State::withdrawn();
        }
        if plan::is_gated(&self.pod) {
            return State::gated();
        }
        match self.search.node() {
            Some(_) if self.awaits_volumes() => State::awaiting_volumes(),
            Some(_) => State::fitting(),
            None if self.preemption.way().is_some() => State::preempting(),
            None => State::unschedulable(),
        }
    }

    fn awaits_volumes(&self) -> bool {
        self.search.chosen().is_some_and(|node| self.claims.awaits_others(node))
    }

    /// Whether a claim is yet to be told where its volume is to be.
    fn has_open_choices(&self) -> bool {
        self.search.chosen().is_some_and(|node| !self.claims.choices(node).is_empty())
    }

    /// What the pod waits for.
    pub(crate) fn wait(&self, trace: &mut Trace) {
        match self.classify() {
            State::Gated {} => trace.waiting_for("no scheduling gate", "spec.schedulingGates is not empty", None),
            State::AwaitingVolumes {} => {
                let node = self.search.node().unwrap_or_default();
                trace.waiting_for(PROVIDED, format!("they are being made on {node}"), None);
            }
            State::Unschedulable {} => trace.waiting_for("a node that fits", self.message(), None),
            State::Preempting {} => {
                let (node, leaving) =
                    self.preemption.way().map(|way| (&*way.node, way.victims.len())).unwrap_or_default();
                trace.waiting_for("others give way", format!("{leaving} of lower priority leave {node}"), None);
            }
            _ => {}
        }
    }

    fn has_said_why(&self) -> bool {
        status::says(&self.pod, &self.message()) && nominated_node(&self.pod) == self.promised()
    }

    /// Why the pod has no node, and why nobody gives way to it.
    fn message(&self) -> String {
        let why = self.search.message();
        match self.preemption.message() {
            Some(preemption) => format!("{why} preemption: {preemption}"),
            None => why,
        }
    }

    /// The node others give way on.
    fn promised(&self) -> Option<&str> {
        self.preemption.way().map(|way| &*way.node)
    }

    /// Whether those who give way have all been told to, and go.
    fn is_under_way(&self) -> bool {
        self.preemption.way().is_none_or(|way| way.unmarked().chain(way.marked()).next().is_none())
    }

    /// The pod, saying why it has no node.
    fn told(&self) -> Pod {
        let told = status::unschedulable(&self.pod, &self.message(), self.now);
        status::nominated(told, self.promised())
    }
}

/// How it goes from one state to the next.
#[derive(Default, Clone)]
pub struct Behaviour;

impl sampan_machine::Behaviour for Behaviour {
    const CHART: &'static Chart = &CHART;
}

/// The scheduler's machine, one per pod that waits for a node.
pub type SchedulerMachine = Observer<Behaviour>;

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
        context.take("first observation", state)
    }

    /// What every state does with a pod no edge of its own leads to: it is being deleted, it was bound by somebody else.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.view.classify();
        context.take("reclassified", state)
    }

    #[state(superstate = "observed")]
    fn gated(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Gated {} => Handled,
            state
            @ (State::Fitting {} | State::Unschedulable {} | State::AwaitingVolumes {} | State::Preempting {}) => {
                context.take(UNGATED, state)
            }
            _ => Super,
        }
    }

    #[state(superstate = "observed", entry_action = "enter_unschedulable")]
    fn unschedulable(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Unschedulable {} if context.view.has_said_why() => Handled,
            state @ State::Unschedulable {} => context.take("the reasons changed", state),
            state @ (State::Fitting {} | State::AwaitingVolumes {}) => context.take("a node fits", state),
            state @ State::Preempting {} => context.take("others give way", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_unschedulable(context: &mut Scene) {
        if !context.view.has_said_why() {
            context.intents.push(Intent::Report(Box::new(context.view.told())));
            context.intents.push(Intent::Warn(context.view.message()));
        }
    }

    #[state(superstate = "observed", entry_action = "enter_preempting")]
    fn preempting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Preempting {} if context.view.has_said_why() && context.view.is_under_way() => Handled,
            state @ State::Preempting {} => context.take("more is to be done for it", state),
            state @ State::Unschedulable {} => context.take("nobody gives way any more", state),
            state @ State::Fitting {} => context.take("a node fits", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_preempting(context: &mut Scene) {
        if !context.view.has_said_why() {
            context.intents.push(Intent::Report(Box::new(context.view.told())));
            context.intents.push(Intent::Warn(context.view.message()));
        }
        if !context.view.is_under_way() {
            context.intents.push(Intent::Preempt);
        }
    }

    #[state(superstate = "observed", entry_action = "enter_awaiting_volumes")]
    fn awaiting_volumes(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::AwaitingVolumes {} if !context.view.has_open_choices() => Handled,
            state @ State::AwaitingVolumes {} => context.take("a claim needs a node", state),
            state @ State::Fitting {} => context.take(PROVIDED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_awaiting_volumes(context: &mut Scene) {
        if context.view.has_open_choices() {
            context.intents.push(Intent::SettleClaims);
        }
    }

    /// The binding commits with the move to this state; should it ever be found undone, the superstate enters anew.
    #[state(superstate = "observed", entry_action = "enter_fitting")]
    fn fitting(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            state @ State::Placed {} => context.take("bound to its node", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_fitting(context: &mut Scene) {
        context.intents.push(Intent::SettleClaims);
        context.intents.extend(context.view.search.node().map(|node| Intent::Bind(node.to_owned())));
    }

    #[state(superstate = "observed")]
    fn placed(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Placed {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn withdrawn(context: &mut Scene) -> Outcome<State> {
        match context.view.classify() {
            State::Withdrawn {} => Handled,
            _ => Super,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Node;
    use sampan_core::Timestamp;
    use sampan_core::store::Snapshot;
    use sampan_machine::{Machine as _, Observe as _};
    use serde_json::json;

    use super::*;
    use crate::occupants::Occupants;
    use crate::plan::needs_node;
    use crate::preemption::{Preemption, Way};
    use crate::search::{Search, Wanted};
    use crate::volumes::Claims;

    /// A small world: is the pod gated, placed, deleted, and what does the only node have?
    #[derive(Debug, Clone, Copy)]
    struct World {
        gated: bool,
        placed: bool,
        deleted: bool,
        cpus: u8,
        /// Somebody of lower priority is there to give way.
        lower: bool,
        /// Somebody makes the pod's volume, and knows on which node.
        awaits: bool,
        selected: bool,
    }

    fn worlds() -> Vec<World> {
        let flags = [false, true];
        let mut worlds = Vec::new();
        for (gated, placed, deleted) in flags.iter().flat_map(|a| flags.map(|b| flags.map(|c| (*a, b, c)))).flatten() {
            for (awaits, selected) in [(false, false), (true, false), (true, true)] {
                worlds.extend([(0, false), (1, false), (1, true), (4, false)].map(|(cpus, lower)| World {
                    gated,
                    placed,
                    deleted,
                    cpus,
                    lower,
                    awaits,
                    selected,
                }));
            }
        }
        worlds
    }

    fn scene(world: World, said: Option<&Pod>) -> Scene {
        let mut pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "c", "resources": {"requests": {"cpu": "2"}}}]}}))
        .unwrap();
        let spec = pod.spec.as_mut().unwrap();
        spec.scheduling_gates = world.gated.then(|| vec![k8s_openapi::api::core::v1::PodSchedulingGate::default()]);
        spec.node_name = world.placed.then(|| "n".to_owned());
        if world.deleted {
            pod.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        }
        pod.status = said.and_then(|said| said.status.clone());
        let mut search = Search::new(1);
        let claims = Claims::in_a_world(world.awaits, world.selected);
        if needs_node(&pod) && world.cpus > 0 {
            let amounts = json!({"cpu": world.cpus.to_string(), "pods": "10"});
            let node: Arc<Node> = Arc::new(
                serde_json::from_value(json!({"metadata": {"name": "n"}, "status": {"allocatable": amounts}})).unwrap(),
            );
            let snapshot = Snapshot::default();
            search.weigh(&Wanted::of(&pod, &claims, &snapshot, &BTreeSet::new()), &node, || {
                Occupants::counted(Vec::new(), &pod)
            });
        }
        let now = Timestamp::UNIX_EPOCH;
        let preemption = match needs_node(&pod) && world.lower {
            true => Preemption::Making(Box::new(Way { node: "n".to_owned(), victims: vec![Arc::new(Pod::default())] })),
            false => Preemption::Untried,
        };
        Scene::new(View { pod: Arc::new(pod), search, preemption, claims, now })
    }

    #[test]
    fn declared_edges_are_those_observed() {
        CHART.check().unwrap();
        let mut seen = BTreeSet::new();
        for first in worlds() {
            for second in worlds() {
                let mut machine = SchedulerMachine::default();
                for world in [first, second] {
                    let mut scene = scene(world, None);
                    machine.observe(&mut scene);
                    for crossing in scene.trace.crossings() {
                        let edge = CHART.edge(crossing.from, crossing.to, crossing.guard);
                        seen.insert(
                            *edge.unwrap_or_else(|| panic!("{crossing:?} is not declared: {first:?} {second:?}")),
                        );
                    }
                }
                let mut fresh = SchedulerMachine::default();
                fresh.observe(&mut scene(second, None));
                assert_eq!(machine.state(), fresh.state(), "{first:?} {second:?}");
            }
        }
        assert_eq!(seen, CHART.edges.iter().copied().collect());
    }

    #[test]
    fn a_fresh_machine_asks_for_what_the_old_one_asked_for() {
        let world = World {
            gated: false,
            placed: false,
            deleted: false,
            cpus: 4,
            lower: false,
            awaits: false,
            selected: false,
        };
        let mut machine = SchedulerMachine::default();
        for _ in 0..2 {
            let mut scene = scene(world, None);
            machine.observe(&mut scene);
            assert!(matches!(scene.intents.as_slice(), [Intent::SettleClaims, Intent::Bind(node)] if node == "n"));
        }
    }

    #[test]
    fn a_reason_is_told_once() {
        let world = World {
            gated: false,
            placed: false,
            deleted: false,
            cpus: 1,
            lower: false,
            awaits: false,
            selected: false,
        };
        let mut machine = SchedulerMachine::default();
        let mut first = scene(world, None);
        machine.observe(&mut first);
        let Some(Intent::Report(told)) = first.intents.first() else { panic!("nothing was said") };
        assert!(matches!(first.intents.last(), Some(Intent::Warn(message)) if message.contains("Insufficient cpu")));
        for mut machine in [machine, SchedulerMachine::default()] {
            let mut second = scene(world, Some(told));
            machine.observe(&mut second);
            assert_eq!(second.intents.len(), 0);
            second.view.wait(&mut second.trace);
            assert_eq!(second.trace.unmet().len(), 1);
        }
    }
}
