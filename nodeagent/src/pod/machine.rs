//! The machine of a pod on its node.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | Unobserved | * | first look |
//! | * | * | more is to be done |
//! | * | * | observed anew |
//! | * | Terminating | deletion is requested |
//! | * | Removed | nothing is left on the node |
//! | * | Succeeded | every container ended well |
//! | * | Failed | a container failed for good, the deadline passed or the node refused it |
//! | Preparing | Pulling | an image is awaited |
//! | Preparing | Starting | a container can be started |
//! | Preparing | BackingOff | a failure is to be tried again later |
//! | Pulling | Starting | a container can be started |
//! | Pulling | BackingOff | a failure is to be tried again later |
//! | Starting | Pulling | an image is awaited |
//! | Starting | Initializing | an init container runs |
//! | Starting | Running | every container runs |
//! | Starting | Ready | every container is ready |
//! | Starting | BackingOff | a failure is to be tried again later |
//! | Initializing | Pulling | an image is awaited |
//! | Initializing | Starting | a container can be started |
//! | Initializing | BackingOff | a failure is to be tried again later |
//! | Running | Ready | every container is ready |
//! | Running | Pulling | an image is awaited |
//! | Running | BackingOff | a failure is to be tried again later |
//! | Ready | Running | a container is not ready |
//! | Ready | Pulling | an image is awaited |
//! | Ready | BackingOff | a failure is to be tried again later |
//! | BackingOff | Pulling | an image is awaited |
//! | BackingOff | Starting | a container can be started |
//! | BackingOff | Initializing | an init container runs |
//! | BackingOff | Running | every container runs |
//! | BackingOff | Ready | every container is ready |
//!
//! A machine is derived: at every moment its state is the one a fresh machine would classify. Commands come only from entry
//! actions, as functions of the scene; a state is entered anew when there is more to do in it.

use sampan_machine::{ANY, Chart, Edge, State as ChartState, Trace, UNOBSERVED};
use statig::prelude::*;

use super::command::Command;
use super::plan::{self, Class};
use super::situation::Scene;

const WORK_REMAINS: &str = "more is to be done";
const OBSERVED_ANEW: &str = "observed anew";
const CLASSIFIED: &str = "first look";
const DELETED: &str = "deletion is requested";
const CLEARED: &str = "nothing is left on the node";
const ENDED_WELL: &str = "every container ended well";
const ENDED_BADLY: &str = "a container failed for good, the deadline passed or the node refused it";
const PREPARED_IMAGE_AWAITED: &str = "an image is awaited";
const STARTABLE: &str = "a container can be started";
const INIT_RUNS: &str = "an init container runs";
const ALL_RUN: &str = "every container runs";
const ALL_READY: &str = "every container is ready";
const NOT_READY: &str = "a container is not ready";
const TRY_LATER: &str = "a failure is to be tried again later";

macro_rules! states {
    ($($name:literal: $meaning:literal),* $(,)?) => { &[$(ChartState { name: $name, meaning: $meaning }),*] };
}

macro_rules! edges {
    ($($from:expr => $to:expr, $guard:expr);* $(;)?) => { &[$(Edge { from: $from, to: $to, guard: $guard }),*] };
}

/// The states and edges of a pod on its node.
pub static CHART: Chart = Chart {
    name: "pod",
    states: states![
        "Preparing": "Config maps, secrets or volumes are awaited.",
        "Pulling": "An image is looked for or pulled.",
        "Starting": "The sandbox or a container is being started.",
        "Initializing": "Init containers run, one after the other.",
        "Running": "Every container runs, not every one is ready.",
        "Ready": "Every container is ready.",
        "BackingOff": "Something failed and is tried again later.",
        "Terminating": "Containers are being stopped because the pod is deleted.",
        "Succeeded": "Every container ended well, for good.",
        "Failed": "A container failed for good, or the pod's time was up.",
        "Removed": "Nothing is left on the node.",
    ],
    edges: edges![
        UNOBSERVED => ANY, CLASSIFIED;
        ANY => ANY, WORK_REMAINS;
        ANY => ANY, OBSERVED_ANEW;
        ANY => "Terminating", DELETED;
        ANY => "Removed", CLEARED;
        ANY => "Succeeded", ENDED_WELL;
        ANY => "Failed", ENDED_BADLY;
        "Preparing" => "Pulling", PREPARED_IMAGE_AWAITED;
        "Preparing" => "Starting", STARTABLE;
        "Preparing" => "BackingOff", TRY_LATER;
        "Pulling" => "Starting", STARTABLE;
        "Pulling" => "BackingOff", TRY_LATER;
        "Starting" => "Pulling", PREPARED_IMAGE_AWAITED;
        "Starting" => "Initializing", INIT_RUNS;
        "Starting" => "Running", ALL_RUN;
        "Starting" => "Ready", ALL_READY;
        "Starting" => "BackingOff", TRY_LATER;
        "Initializing" => "Pulling", PREPARED_IMAGE_AWAITED;
        "Initializing" => "Starting", STARTABLE;
        "Initializing" => "BackingOff", TRY_LATER;
        "Running" => "Ready", ALL_READY;
        "Running" => "Pulling", PREPARED_IMAGE_AWAITED;
        "Running" => "BackingOff", TRY_LATER;
        "Ready" => "Running", NOT_READY;
        "Ready" => "Pulling", PREPARED_IMAGE_AWAITED;
        "Ready" => "BackingOff", TRY_LATER;
        "BackingOff" => "Pulling", PREPARED_IMAGE_AWAITED;
        "BackingOff" => "Starting", STARTABLE;
        "BackingOff" => "Initializing", INIT_RUNS;
        "BackingOff" => "Running", ALL_RUN;
        "BackingOff" => "Ready", ALL_READY;
    ],
};

/// What one step found and did.
#[derive(Debug, Default)]
pub struct Step {
    /// What the runtime is told.
    pub commands: Vec<Command>,
    /// The edges crossed and what is waited for.
    pub trace: Trace,
}

/// The scene as handlers and entry actions see it, and what they collect.
struct Work<'a> {
    scene: Scene<'a>,
    step: Step,
}

impl Work<'_> {
    /// Takes the edge to `target` that `guard` lets.
    fn go(&mut self, target: State, guard: &'static str) -> Outcome<State> {
        self.step.trace.because(guard);
        Transition(target)
    }

    /// Enters `same` anew when there is more to do in it.
    fn stay(&mut self, same: State, duties: fn(&Scene<'_>) -> Vec<Command>) -> Outcome<State> {
        if duties(&self.scene).is_empty() {
            return Handled;
        }
        self.go(same, WORK_REMAINS)
    }
}

/// The machine's storage: none, for its state is derived.
#[derive(Debug, Clone, Copy, Default)]
struct Lifecycle;

#[state_machine(
    initial = "State::unobserved()",
    visibility = "pub(super)",
    state(derive(Debug, Clone, Copy, PartialEq, Eq)),
    after_transition = "Self::after_transition"
)]
impl Lifecycle {
    #[state]
    fn unobserved(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        context.go(State::of(*event), CLASSIFIED)
    }

    #[state(superstate = "present", entry_action = "enter_preparing")]
    fn preparing(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Preparing => context.stay(State::preparing(), plan::bring_up),
            Class::Pulling => context.go(State::pulling(), PREPARED_IMAGE_AWAITED),
            Class::Starting => context.go(State::starting(), STARTABLE),
            Class::BackingOff => context.go(State::backing_off(), TRY_LATER),
            _ => Super,
        }
    }

    #[action]
    fn enter_preparing(context: &mut Work<'_>) {
        context.step.commands = plan::bring_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_pulling")]
    fn pulling(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Pulling => context.stay(State::pulling(), plan::bring_up),
            Class::Starting => context.go(State::starting(), STARTABLE),
            Class::BackingOff => context.go(State::backing_off(), TRY_LATER),
            _ => Super,
        }
    }

    #[action]
    fn enter_pulling(context: &mut Work<'_>) {
        context.step.commands = plan::bring_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_starting")]
    fn starting(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Starting => context.stay(State::starting(), plan::bring_up),
            Class::Pulling => context.go(State::pulling(), PREPARED_IMAGE_AWAITED),
            Class::Initializing => context.go(State::initializing(), INIT_RUNS),
            Class::Running => context.go(State::running(), ALL_RUN),
            Class::Ready => context.go(State::ready(), ALL_READY),
            Class::BackingOff => context.go(State::backing_off(), TRY_LATER),
            _ => Super,
        }
    }

    #[action]
    fn enter_starting(context: &mut Work<'_>) {
        context.step.commands = plan::bring_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_initializing")]
    fn initializing(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Initializing => context.stay(State::initializing(), plan::bring_up),
            Class::Pulling => context.go(State::pulling(), PREPARED_IMAGE_AWAITED),
            Class::Starting => context.go(State::starting(), STARTABLE),
            Class::BackingOff => context.go(State::backing_off(), TRY_LATER),
            _ => Super,
        }
    }

    #[action]
    fn enter_initializing(context: &mut Work<'_>) {
        context.step.commands = plan::bring_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_running")]
    fn running(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Running => context.stay(State::running(), plan::bring_up),
            Class::Ready => context.go(State::ready(), ALL_READY),
            Class::Pulling => context.go(State::pulling(), PREPARED_IMAGE_AWAITED),
            Class::BackingOff => context.go(State::backing_off(), TRY_LATER),
            _ => Super,
        }
    }

    #[action]
    fn enter_running(context: &mut Work<'_>) {
        context.step.commands = plan::bring_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_ready")]
    fn ready(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Ready => context.stay(State::ready(), plan::bring_up),
            Class::Running => context.go(State::running(), NOT_READY),
            Class::Pulling => context.go(State::pulling(), PREPARED_IMAGE_AWAITED),
            Class::BackingOff => context.go(State::backing_off(), TRY_LATER),
            _ => Super,
        }
    }

    #[action]
    fn enter_ready(context: &mut Work<'_>) {
        context.step.commands = plan::bring_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_backing_off")]
    fn backing_off(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::BackingOff => context.stay(State::backing_off(), plan::bring_up),
            Class::Pulling => context.go(State::pulling(), PREPARED_IMAGE_AWAITED),
            Class::Starting => context.go(State::starting(), STARTABLE),
            Class::Initializing => context.go(State::initializing(), INIT_RUNS),
            Class::Running => context.go(State::running(), ALL_RUN),
            Class::Ready => context.go(State::ready(), ALL_READY),
            _ => Super,
        }
    }

    #[action]
    fn enter_backing_off(context: &mut Work<'_>) {
        context.step.commands = plan::bring_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_terminating")]
    fn terminating(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Terminating => context.stay(State::terminating(), plan::take_down),
            _ => Super,
        }
    }

    #[action]
    fn enter_terminating(context: &mut Work<'_>) {
        context.step.commands = plan::take_down(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_succeeded")]
    fn succeeded(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Succeeded => context.stay(State::succeeded(), plan::wind_up),
            _ => Super,
        }
    }

    #[action]
    fn enter_succeeded(context: &mut Work<'_>) {
        context.step.commands = plan::wind_up(&context.scene);
    }

    #[state(superstate = "present", entry_action = "enter_failed")]
    fn failed(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        match event {
            Class::Failed => context.stay(State::failed(), plan::wind_up),
            _ => Super,
        }
    }

    #[action]
    fn enter_failed(context: &mut Work<'_>) {
        context.step.commands = plan::wind_up(&context.scene);
    }

    #[state(superstate = "present")]
    fn removed(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        let _ = context;
        match event {
            Class::Removed => Handled,
            _ => Super,
        }
    }

    /// Owns the edges every state must have: being deleted, having ended, and whatever nobody foresaw.
    #[superstate]
    fn present(context: &mut Work<'_>, event: &Class) -> Outcome<State> {
        let guard = match event {
            Class::Terminating => DELETED,
            Class::Removed => CLEARED,
            Class::Succeeded => ENDED_WELL,
            Class::Failed => ENDED_BADLY,
            _ => OBSERVED_ANEW,
        };
        context.go(State::of(*event), guard)
    }
}

impl Lifecycle {
    fn after_transition(&mut self, source: &State, target: &State, context: &mut Work<'_>) {
        context.step.trace.crossed(source.name(), target.name());
    }
}

impl State {
    fn of(class: Class) -> Self {
        match class {
            Class::Preparing => Self::preparing(),
            Class::Pulling => Self::pulling(),
            Class::Starting => Self::starting(),
            Class::Initializing => Self::initializing(),
            Class::Running => Self::running(),
            Class::Ready => Self::ready(),
            Class::BackingOff => Self::backing_off(),
            Class::Terminating => Self::terminating(),
            Class::Succeeded => Self::succeeded(),
            Class::Failed => Self::failed(),
            Class::Removed => Self::removed(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unobserved {} => UNOBSERVED,
            Self::Preparing {} => "Preparing",
            Self::Pulling {} => "Pulling",
            Self::Starting {} => "Starting",
            Self::Initializing {} => "Initializing",
            Self::Running {} => "Running",
            Self::Ready {} => "Ready",
            Self::BackingOff {} => "BackingOff",
            Self::Terminating {} => "Terminating",
            Self::Succeeded {} => "Succeeded",
            Self::Failed {} => "Failed",
            Self::Removed {} => "Removed",
        }
    }
}

/// The machine of one pod on its node.
#[derive(Clone, Default)]
pub struct PodMachine {
    inner: StateMachine<Lifecycle>,
}

impl PodMachine {
    /// Looks at the scene once: moves to the state it shows and says what to do.
    pub fn step(&mut self, scene: Scene<'_>) -> (Class, Step) {
        let class = plan::classify(&scene);
        let mut work = Work { scene, step: Step::default() };
        self.inner.handle_with_context(&class, &mut work);
        for unmet in plan::waits(&scene, class) {
            work.step.trace.waiting_for(unmet.guard, unmet.detail, unmet.until);
        }
        (class, work.step)
    }

    /// The name of the state, as declared in [`CHART`].
    pub fn state(&self) -> &'static str {
        self.inner.state().name()
    }
}

impl std::fmt::Debug for PodMachine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.state())
    }
}
