//! A plugin as an operator: its step asks, and carries the answer out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sampan_machine::{Chart, Machine, UNOBSERVED, lasting};
use serde_json::Value;

use super::answer::{Answer, carry_out, finalizer_of};
use super::charter::{Charter, OBSERVED, SharedCharter};
use super::question::Question;
use super::spec::PluginSpec;
use crate::object::{Object, ObjectKey};
use crate::operator::{Context, Declaration, EffectRequest, Fault, Operator, Telling, Wake};

/// What an object of a plugin waits for while its program does not answer.
const ANSWER: &str = "the plugin answers";

/// Who answers for a plugin.
pub trait Program: Send + Sync + 'static {
    /// The answer to a question about an object. `None` where it is asked for: the step is resumed once it is there, asks
    /// the same again and is answered, or asks something else.
    fn answer(&self, key: &ObjectKey, question: &Question) -> Option<Result<Answer, Failure>>;

    /// Runs an effect, and tells how far it has come. It may block: it has a thread of its own.
    ///
    /// # Errors
    /// Why it is not done: it is tried again.
    fn perform(&self, request: &EffectRequest, tell: Telling<'_>) -> Result<Value, String>;

    /// Hears that an answer about an object could not be carried out, and why.
    fn complain(&self, key: &ObjectKey, why: &str);

    /// Hears that an object is gone.
    fn forget(&self, key: &ObjectKey);
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong: the same text for the same trouble.
    pub what: String,
    /// When to ask again; `None` where that is of no use before something changes.
    pub retry_after: Option<Duration>,
}

/// A plugin's machine: what its program said last.
#[derive(Debug, Clone)]
pub struct PluginMachine(&'static str);

impl Machine for PluginMachine {
    fn state(&self) -> &'static str {
        self.0
    }
}

/// A plugin as an operator.
#[derive(Clone)]
pub struct PluginOperator {
    charter: SharedCharter,
    spec: Arc<PluginSpec>,
    program: Arc<dyn Program>,
}

impl PluginOperator {
    /// An operator that does what a program answers, within its charter.
    pub fn new(mut charter: Charter, spec: PluginSpec, program: Arc<dyn Program>) -> Self {
        for effect in &spec.effects {
            let program = program.clone();
            let run = move |request: &EffectRequest, tell: Telling<'_>| program.perform(request, tell);
            charter.declaration = charter.declaration.effecting_at_length(lasting(&effect.name), run);
        }
        Self { charter: Arc::new(charter), spec: Arc::new(spec), program }
    }

    /// Whether there is anything to be asked about an object. One that is being deleted concerns the plugin while it carries
    /// its finalizer: else nothing is to be made for it any more.
    fn is_its_concern(&self, primary: &Object) -> bool {
        let own = finalizer_of(self.charter.declaration.name);
        let metadata = primary.metadata();
        !metadata.is_terminating() || metadata.finalizers.iter().any(|finalizer| **finalizer == *own)
    }

    fn take(&self, answer: Answer, machine: &mut PluginMachine, cx: &mut Context<'_>) -> Result<(), String> {
        let crossing = crossing(self.charter.chart, machine.0, &answer)?;
        let Some(primary) = cx.primary_object() else { return Ok(()) };
        carry_out(answer, &primary, &self.charter, &self.spec, cx).map_err(|error| error.to_string())?;
        if asks_for_what_was_refused(cx) {
            // As a whole or not at all: neither its status nor its state may tell of what is not so.
            cx.commands().clear();
            return Ok(());
        }
        if let Some((to, guard)) = crossing {
            cx.trace().because(guard);
            cx.trace().crossed(machine.0, to);
            machine.0 = to;
        }
        Ok(())
    }
}

/// Whether an answer asks again for what was refused of the one before. Then the object waits for that, and is asked about
/// again later.
fn asks_for_what_was_refused(cx: &mut Context<'_>) -> bool {
    let Some(refused) = cx.refusal().cloned() else { return false };
    let permission = Some((refused.verb, refused.resource));
    let asked = cx.commands().iter().filter(|command| command.permission() == permission).count();
    if asked <= refused.accepted_before {
        return false;
    }
    let guard = format!("the API server lets it {} {}", refused.verb.name(), refused.resource);
    cx.trace().waiting_for(guard, refused.status.message, None);
    true
}

/// The declared transition an answer takes; `None` where the state stays.
fn crossing(chart: &Chart, from: &str, answer: &Answer) -> Result<Option<(&'static str, &'static str)>, String> {
    let state = chart.states.iter().find(|state| state.name == answer.state);
    let to = state
        .map(|state| state.name)
        .ok_or_else(|| format!("the plugin answers with the state {:?}, which it does not declare", answer.state))?;
    if to == from {
        return Ok(None);
    }
    if chart.edges.iter().all(|edge| edge.guard == OBSERVED) {
        return Ok(Some((to, OBSERVED)));
    }
    let asked = |guard: &str| answer.because.as_deref().is_none_or(|because| because == guard);
    let guards = chart.edges.iter().map(|edge| edge.guard).filter(|guard| asked(guard));
    let guards: BTreeSet<&'static str> = guards.filter(|guard| chart.edge(from, to, guard).is_some()).collect();
    let by = || answer.because.as_ref().map(|guard| format!(" by {guard:?}")).unwrap_or_default();
    match guards.first() {
        Some(only) if guards.len() == 1 => Ok(Some((to, only))),
        None => Err(format!("the plugin goes from {from} to {to}{}, a transition which it does not declare", by())),
        Some(_) => Err(format!("the plugin goes from {from} to {to} without `because`: it may be any of {guards:?}")),
    }
}

impl Operator for PluginOperator {
    type Machine = PluginMachine;

    fn chart(&self) -> &'static Chart {
        self.charter.chart
    }

    fn machine(&self) -> PluginMachine {
        PluginMachine(UNOBSERVED)
    }

    fn declaration(&self) -> Declaration {
        self.charter.declaration.clone()
    }

    fn step(&self, machine: &mut PluginMachine, wake: &Wake, cx: &mut Context<'_>) {
        let primary = cx.primary_object();
        let Some(primary) = primary.filter(|primary| self.is_its_concern(primary)) else {
            self.program.forget(&wake.key);
            machine.0 = UNOBSERVED;
            return;
        };
        let question = Question::of(&self.charter, &primary, machine.0, cx);
        match self.program.answer(&wake.key, &question) {
            None => cx.suspend(),
            Some(Ok(answer)) => {
                if let Err(why) = self.take(answer, machine, cx) {
                    self.program.complain(&wake.key, &why);
                    cx.fault(Fault::Unusable(why));
                }
            }
            Some(Err(Failure { what, retry_after: None })) => cx.fault(Fault::Unusable(what)),
            Some(Err(Failure { what, retry_after: Some(retry_after) })) => {
                let until = cx.now().checked_add(retry_after).ok();
                cx.trace().waiting_for(ANSWER, what, until);
                cx.wake_after(retry_after);
            }
        }
    }
}
