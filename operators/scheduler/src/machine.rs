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
//! | Fitting | Placed | bound to its node |

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_core::Timestamp;
use sampan_machine::{ANY, Chart, Edge, Machine, State as Named, Trace, UNOBSERVED};
use statig::prelude::*;

use crate::plan::Search;
use crate::status;

/// Something the machine wants done.
pub(crate) enum Intent {
    /// Give the pod this node.
    Bind(String),
    /// Store the pod's status.
    Report(Box<Pod>),
    /// Tell users why the pod has no node.
    Warn(String),
}

/// What the machine looks at, and where it puts its intents.
pub(crate) struct Scene {
    pub(crate) pod: Arc<Pod>,
    pub(crate) search: Search,
    pub(crate) now: Timestamp,
    pub(crate) intents: Vec<Intent>,
    pub(crate) trace: Trace,
}

/// What a machine is told: that there is something to look at.
pub(crate) struct Observed;

const UNGATED: &str = "no scheduling gate is left";

/// The chart of the scheduler's machine.
pub(crate) static CHART: Chart = Chart {
    name: "scheduler",
    states: &[
        Named { name: "Gated", meaning: "Somebody holds the pod back by a scheduling gate." },
        Named { name: "Unschedulable", meaning: "No node fits; a change of a node or room on one wakes it." },
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
        Edge { from: "Fitting", to: "Placed", guard: "bound to its node" },
    ],
};

/// Whether a pod is to be placed now.
pub(crate) fn needs_node(pod: &Pod) -> bool {
    !is_placed(pod) && !is_withdrawn(pod) && !is_gated(pod)
}

fn is_placed(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

fn is_withdrawn(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_gated(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty())
}

impl Scene {
    /// The state this scene is in: a function of what is seen alone.
    fn classify(&self) -> State {
        if is_placed(&self.pod) {
            return State::placed();
        }
        if is_withdrawn(&self.pod) {
            return State::withdrawn();
        }
        if is_gated(&self.pod) {
            return State::gated();
        }
        match self.search.node() {
            Some(_) => State::fitting(),
            None => State::unschedulable(),
        }
    }

    fn take(&mut self, guard: &'static str, to: State) -> Outcome<State> {
        self.trace.because(guard);
        Transition(to)
    }

    fn has_said_why(&self) -> bool {
        status::says(&self.pod, &self.search.message())
    }
}

#[derive(Default, Clone)]
struct Behaviour;

/// The scheduler's machine, one per pod that waits for a node.
#[derive(Clone)]
pub struct SchedulerMachine(StateMachine<Behaviour>);

impl Default for SchedulerMachine {
    fn default() -> Self {
        Self(Behaviour.state_machine())
    }
}

impl Machine for SchedulerMachine {
    fn state(&self) -> &'static str {
        name(self.0.state())
    }
}

impl SchedulerMachine {
    /// Its states and edges.
    pub fn chart() -> &'static Chart {
        &CHART
    }

    /// Looks at the scene and leaves its intents in it.
    pub(crate) fn observe(&mut self, scene: &mut Scene) {
        self.0.handle_with_context(&Observed, scene);
    }
}

fn name(state: &State) -> &'static str {
    match state {
        State::Unobserved {} => UNOBSERVED,
        State::Gated {} => "Gated",
        State::Unschedulable {} => "Unschedulable",
        State::Fitting {} => "Fitting",
        State::Placed {} => "Placed",
        State::Withdrawn {} => "Withdrawn",
    }
}

#[state_machine(
    initial = "State::unobserved()",
    state(derive(Debug, Clone, PartialEq, Eq)),
    after_transition = "Self::after_transition"
)]
impl Behaviour {
    #[state]
    fn unobserved(context: &mut Scene, event: &Observed) -> Outcome<State> {
        let Observed = event;
        let state = context.classify();
        context.take("first observation", state)
    }

    /// What every state does with a pod no edge of its own leads to: it is being deleted, it was bound by somebody else.
    #[superstate]
    fn observed(context: &mut Scene) -> Outcome<State> {
        let state = context.classify();
        context.take("reclassified", state)
    }

    #[state(superstate = "observed", entry_action = "enter_gated")]
    fn gated(context: &mut Scene) -> Outcome<State> {
        match context.classify() {
            State::Gated {} => {
                context.trace.waiting_for("no scheduling gate", "spec.schedulingGates is not empty", None);
                Handled
            }
            state @ (State::Fitting {} | State::Unschedulable {}) => context.take(UNGATED, state),
            _ => Super,
        }
    }

    #[action]
    fn enter_gated(context: &mut Scene) {
        context.trace.waiting_for("no scheduling gate", "spec.schedulingGates is not empty", None);
    }

    #[state(superstate = "observed", entry_action = "enter_unschedulable")]
    fn unschedulable(context: &mut Scene) -> Outcome<State> {
        match context.classify() {
            State::Unschedulable {} if context.has_said_why() => {
                context.trace.waiting_for("a node that fits", context.search.message(), None);
                Handled
            }
            state @ State::Unschedulable {} => context.take("the reasons changed", state),
            state @ State::Fitting {} => context.take("a node fits", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_unschedulable(context: &mut Scene) {
        let message = context.search.message();
        context.trace.waiting_for("a node that fits", message.clone(), None);
        if !context.has_said_why() {
            let changed = status::unschedulable(&context.pod, &message, context.now);
            context.intents.push(Intent::Report(Box::new(changed)));
            context.intents.push(Intent::Warn(message));
        }
    }

    /// The binding commits with the move to this state; should it ever be found undone, the superstate enters anew.
    #[state(superstate = "observed", entry_action = "enter_fitting")]
    fn fitting(context: &mut Scene) -> Outcome<State> {
        match context.classify() {
            state @ State::Placed {} => context.take("bound to its node", state),
            _ => Super,
        }
    }

    #[action]
    fn enter_fitting(context: &mut Scene) {
        context.intents.extend(context.search.node().map(|node| Intent::Bind(node.to_owned())));
    }

    #[state(superstate = "observed")]
    fn placed(context: &mut Scene) -> Outcome<State> {
        match context.classify() {
            State::Placed {} => Handled,
            _ => Super,
        }
    }

    #[state(superstate = "observed")]
    fn withdrawn(context: &mut Scene) -> Outcome<State> {
        match context.classify() {
            State::Withdrawn {} => Handled,
            _ => Super,
        }
    }

    fn after_transition(&mut self, source: &State, target: &State, context: &mut Scene) {
        context.trace.crossed(name(source), name(target));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::api::core::v1::Node;
    use serde_json::json;

    use super::*;
    use crate::plan::{Candidate, Wanted};

    /// A small world: is the pod gated, placed, deleted, and what does the only node have?
    #[derive(Debug, Clone, Copy)]
    struct World {
        gated: bool,
        placed: bool,
        deleted: bool,
        cpus: u8,
    }

    fn worlds() -> Vec<World> {
        let flags = [false, true];
        let mut worlds = Vec::new();
        for (gated, placed, deleted) in flags.iter().flat_map(|a| flags.map(|b| flags.map(|c| (*a, b, c)))).flatten() {
            worlds.extend([0, 1, 4].map(|cpus| World { gated, placed, deleted, cpus }));
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
        if needs_node(&pod) && world.cpus > 0 {
            let amounts = json!({"cpu": world.cpus.to_string(), "pods": "10"});
            let node: Arc<Node> = Arc::new(
                serde_json::from_value(json!({"metadata": {"name": "n"}, "status": {"allocatable": amounts}})).unwrap(),
            );
            search.weigh(&Wanted::of(&pod), &node, |_| Candidate { node: node.clone(), pods: vec![] });
        }
        let now = Timestamp::UNIX_EPOCH;
        Scene { pod: Arc::new(pod), search, now, intents: Vec::new(), trace: Trace::default() }
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
        let world = World { gated: false, placed: false, deleted: false, cpus: 4 };
        let mut machine = SchedulerMachine::default();
        for _ in 0..2 {
            let mut scene = scene(world, None);
            machine.observe(&mut scene);
            assert!(matches!(scene.intents.as_slice(), [Intent::Bind(node)] if node == "n"));
        }
    }

    #[test]
    fn a_reason_is_told_once() {
        let world = World { gated: false, placed: false, deleted: false, cpus: 1 };
        let mut machine = SchedulerMachine::default();
        let mut first = scene(world, None);
        machine.observe(&mut first);
        let Some(Intent::Report(told)) = first.intents.first() else { panic!("nothing was said") };
        assert!(matches!(first.intents.last(), Some(Intent::Warn(message)) if message.contains("Insufficient cpu")));
        for mut machine in [machine, SchedulerMachine::default()] {
            let mut second = scene(world, Some(told));
            machine.observe(&mut second);
            assert_eq!(second.intents.len(), 0);
            assert_eq!(second.trace.unmet().len(), 1);
        }
    }

    #[test]
    fn the_documentation_holds_the_chart() {
        let documented: Vec<&str> =
            include_str!("machine.rs").lines().filter_map(|line| line.strip_prefix("//! |")).collect();
        let table = CHART.table();
        let declared: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix('|')).collect();
        assert_eq!(documented, declared);
    }
}
