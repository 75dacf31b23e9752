//! What machines that look at a view have in common: all but their states and where these lead.

use statig::Outcome;
use statig::blocking::{IntoStateMachine, IntoStateMachineExt, State, StateMachine, Superstate};

use crate::{Chart, Machine, Trace};

/// What a machine is told: that there is something to look at.
#[derive(Debug, Clone, Copy)]
pub struct Observed;

/// What a machine looks at, and where it leaves what it wants done.
///
/// The view is a value that holds all a state may depend on; an intent is something the machine wants done, which its
/// operator turns into commands.
#[derive(Debug)]
pub struct Scene<V, I> {
    /// What is observed.
    pub view: V,
    /// What entry actions want done, in order.
    pub intents: Vec<I>,
    /// The edges crossed and what is waited for.
    pub trace: Trace,
}

impl<V, I> Scene<V, I> {
    /// A scene nothing was wanted in yet.
    pub fn new(view: V) -> Self {
        Self { view, intents: Vec::new(), trace: Trace::default() }
    }

    /// Takes the edge to that state, let by the guard of that name.
    pub fn take<S>(&mut self, guard: &'static str, to: S) -> Outcome<S> {
        self.trace.because(guard);
        Outcome::Transition(to)
    }
}

/// Notes the edge crossed: every machine's `after_transition`.
pub fn crossed<B, S, V, I>(_: &mut B, from: &S, to: &S, scene: &mut Scene<V, I>)
where
    for<'a> &'a S: Into<&'static str>,
{
    scene.trace.crossed(from.into(), to.into());
}

/// The states of a kind and where they lead: what `#[state_machine]` is written on.
pub trait Behaviour: IntoStateMachine + Default + Clone + Send + 'static {
    /// The states and edges, as declared.
    const CHART: &'static Chart;
}

/// A machine of this behaviour.
pub struct Observer<B: Behaviour>(StateMachine<B>);

/// A machine that can look at this kind of view, and wants this kind of things done.
pub trait Observe<V, I>: Machine {
    /// Looks at the scene and leaves its intents in it.
    fn observe(&mut self, scene: &mut Scene<V, I>);
}

impl<B> Observer<B>
where
    B: Behaviour,
{
    /// Its states and edges.
    pub fn chart() -> &'static Chart {
        B::CHART
    }
}

impl<B> Default for Observer<B>
where
    B: Behaviour,
    B::State: State<B>,
{
    fn default() -> Self {
        Self(B::default().state_machine())
    }
}

impl<B> Clone for Observer<B>
where
    B: Behaviour,
    B::State: Clone,
{
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> Machine for Observer<B>
where
    B: Behaviour,
    B::State: State<B> + Clone + Send + 'static,
    for<'sub> B::Superstate<'sub>: Superstate<B>,
    for<'a> &'a B::State: Into<&'static str>,
{
    fn state(&self) -> &'static str {
        self.0.state().into()
    }
}

impl<B, V, I> Observe<V, I> for Observer<B>
where
    Self: Machine,
    B: Behaviour + for<'event, 'context> IntoStateMachine<Event<'event> = Observed, Context<'context> = Scene<V, I>>,
    B::State: State<B>,
    for<'sub> B::Superstate<'sub>: Superstate<B>,
{
    fn observe(&mut self, scene: &mut Scene<V, I>) {
        self.0.handle_with_context(&Observed, scene);
    }
}
