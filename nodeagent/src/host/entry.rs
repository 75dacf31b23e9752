//! One pod of a host: its situation, its machine, and what has been told about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use sampan_machine::{CommandRecord, Crossing, Decision, UNOBSERVED, WakeReason};

use super::message::{Effect, PodRef, StatusPost};
use super::patch::{no_patch, status_patch};
use crate::pod::backoff::{Setback, later};
use crate::pod::machine::{PodMachine, Step};
use crate::pod::plan::{self, Class};
use crate::pod::rejection::Rejection;
use crate::pod::resize::{self, Pending, Progress, Wish};
use crate::pod::source::{SourceKey, Sources};
use crate::pod::standing::{Standing, standings};
use crate::pod::{Command, EventNote, NodeFacts, Operation, Scene, Situation, Uid, status};

/// Wake-up reasons kept for one decision.
const REASONS_KEPT: usize = 8;
/// The most guards, and commands, that one status tells of: the newest.
const MERGED_KEPT: usize = 32;

/// How long nothing is told of a pod that is being brought up: one that is up by then is told of once.
const FIRST_WORD_WITHIN: SignedDuration = SignedDuration::from_millis(200);

/// One pod of a host.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) situation: Situation,
    pub(super) node: Arc<NodeFacts>,
    /// The object was seen: not merely containers that bear its uid.
    pub(super) seen: bool,
    pub(super) sources: BTreeSet<SourceKey>,
    /// When its timer runs out.
    pub(super) wake_at: Option<Timestamp>,
    /// When it must be stepped though nothing happens.
    step_at: Option<Timestamp>,
    machine: PodMachine,
    class: Option<Class>,
    first_word_at: Option<Timestamp>,
    posting: bool,
    post_setback: Option<Setback>,
    deleting: bool,
    delete_setback: Option<Setback>,
    reasons: Vec<WakeReason>,
    /// What is told with the next status.
    decision: Option<Decision>,
    /// What is told with the status under way.
    telling: Option<Decision>,
    /// What was told last, and accepted.
    told: Option<Decision>,
    crashes_told: BTreeSet<String>,
    troubles_told: BTreeSet<String>,
    grace_seconds: Option<i64>,
}

impl Entry {
    pub(super) fn new(pod: Arc<Pod>, node: Arc<NodeFacts>, seen: bool) -> Self {
        Self {
            situation: Situation::new(pod),
            node,
            seen,
            sources: BTreeSet::new(),
            wake_at: None,
            step_at: None,
            machine: PodMachine::default(),
            class: None,
            first_word_at: None,
            posting: false,
            post_setback: None,
            deleting: false,
            delete_setback: None,
            reasons: Vec::new(),
            decision: None,
            telling: None,
            told: None,
            crashes_told: BTreeSet::new(),
            troubles_told: BTreeSet::new(),
            grace_seconds: None,
        }
    }

    pub(super) fn reference(&self) -> PodRef {
        let (namespace, name) = self.situation.identity();
        PodRef {
            uid: Uid::of(&self.situation.pod),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            node: self.node.name.clone(),
        }
    }

    /// Notes why the pod is looked at.
    pub(super) fn because(&mut self, cause: &str, revision: u64) {
        if self.reasons.len() < REASONS_KEPT {
            self.reasons.push(WakeReason { cause: cause.to_owned(), revision });
        }
    }

    /// Takes in the object unless it is older than the one known.
    pub(super) fn see(&mut self, pod: Arc<Pod>) {
        if self.seen && revision(&pod) < revision(&self.situation.pod) {
            return;
        }
        self.seen = true;
        self.situation.take(pod);
    }

    /// The node does not take the pod.
    pub(super) fn reject(&mut self, rejection: Rejection, now: Timestamp, effects: &mut Vec<Effect>) {
        let note = self.note(false, rejection.reason, rejection.message.clone(), None, now);
        effects.push(Effect::Event(self.reference(), note));
        self.situation.rejection = Some(rejection);
    }

    /// The node grants the resources the pod wishes for, or says why not. Says whether that is news, which is told.
    pub(super) fn answer_wish(&mut self, refusal: Option<Pending>, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let Some(wish) = self.situation.wish.clone().filter(|wish| refusal.is_none() || wish.pending != refusal) else {
            return false;
        };
        let note = match &refusal {
            None => self.note(true, "ResizeStarted", resize::message("started", &wish.pod, ""), None, now),
            Some(refusal) => {
                let message = resize::message(refusal.reason, &wish.pod, &refusal.message);
                self.note(false, refusal.event(), message, None, now)
            }
        };
        effects.push(Effect::Event(self.reference(), note));
        match refusal {
            None => self.situation.grant(),
            pending => self.situation.wish = Some(Wish { pending, ..wish }),
        }
        true
    }

    /// Tells once that all containers have what was granted.
    fn tell_resized(&mut self, now: Timestamp, pod: &PodRef, effects: &mut Vec<Effect>) {
        if self.situation.resizing && Progress::of(&self.situation) == Progress::Done {
            self.situation.resizing = false;
            let message = resize::message("completed", &self.situation.pod, "");
            effects.push(Effect::Event(pod.clone(), self.note(true, "ResizeCompleted", message, None, now)));
        }
    }

    /// The pod is off the node and out of the store.
    pub(super) fn is_over(&self) -> bool {
        self.situation.gone && self.situation.swept && !self.posting
    }

    pub(super) fn scene<'a>(&'a self, sources: &'a Sources, now: Timestamp) -> Scene<'a> {
        Scene { situation: &self.situation, sources, node: &self.node, now }
    }

    /// The state a user would name, once it was stepped.
    #[cfg(test)]
    pub(super) fn class(&self) -> Option<Class> {
        self.class
    }

    /// One step: moves the machine and says what is to be done. Gives the transitions taken.
    pub(super) fn step(&mut self, sources: &Sources, now: Timestamp, effects: &mut Vec<Effect>) -> Vec<Crossing> {
        self.note_termination(now);
        self.first_word_at.get_or_insert(now.saturating_add(FIRST_WORD_WITHIN).unwrap_or(now));
        let before = self.machine.state();
        let mut machine = std::mem::take(&mut self.machine);
        let (class, step) = machine.step(self.scene(sources, now));
        self.machine = machine;
        self.class = Some(class);
        self.decide(before, &step, now);
        let pod = self.reference();
        for command in step.commands {
            self.begin(&command, now, &pod, effects);
            effects.push(Effect::Run(pod.clone(), command));
        }
        self.probe(now, effects);
        self.tell_crashes(sources, now, &pod, effects);
        self.tell_troubles(sources, now, &pod, effects);
        self.tell_resized(now, &pod, effects);
        self.step_at = plan::wake_at(&self.scene(sources, now)).into_iter().chain(self.retry_at(sources, now)).min();
        step.trace.crossings().to_vec()
    }

    /// Makes the probes that are due. They are most of what a running pod asks for, and no step is needed for them.
    pub(super) fn probe(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut probes = std::mem::take(&mut self.situation.probes);
        let due = probes.due(&self.situation, now);
        self.situation.probes = probes;
        effects.extend(due.into_iter().map(|order| Effect::Probe(self.reference(), order)));
    }

    /// Whether it is to be stepped though nothing happened.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.step_at.is_some_and(|at| at <= now)
    }

    /// When something is to be done though nothing happens.
    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.step_at.into_iter().chain(self.situation.probes.next_after(now)).min()
    }

    /// Remembers when the pod began to go, and brings deadlines forward when a later deletion allows less time.
    fn note_termination(&mut self, now: Timestamp) {
        if !self.situation.is_terminating() {
            return;
        }
        self.situation.terminating_since.get_or_insert(now);
        let grace = self.situation.grace_seconds();
        if self.grace_seconds.is_some_and(|earlier| grace < earlier) {
            for deadline in self.situation.deadlines.values_mut() {
                *deadline = (*deadline).min(later(now, grace));
            }
        }
        self.grace_seconds = Some(grace);
    }

    fn begin(&mut self, command: &Command, now: Timestamp, pod: &PodRef, effects: &mut Vec<Effect>) {
        self.situation.under_way.insert(command.operation());
        if let Command::StopContainer { container, grace_seconds, because, .. } = command {
            self.situation.deadlines.insert(container.clone(), later(now, *grace_seconds));
            let note = self.note(true, "Killing", because.clone(), Some(container), now);
            effects.push(Effect::Event(pod.clone(), note));
        }
    }

    /// An event about the pod or one of its containers.
    pub(super) fn note(
        &self,
        normal: bool,
        reason: &'static str,
        message: String,
        container: Option<&str>,
        at: Timestamp,
    ) -> EventNote {
        let container = container.map(|name| {
            let is_init = self.situation.init_containers().iter().any(|container| container.name == name);
            (name.to_owned(), is_init)
        });
        EventNote { normal, reason, message, container, at }
    }

    /// Tells once of each crash that is followed by a wait.
    fn tell_crashes(&mut self, sources: &Sources, now: Timestamp, pod: &PodRef, effects: &mut Vec<Effect>) {
        let waiting: Vec<String> = standings(&self.scene(sources, now))
            .into_iter()
            .filter(|(_, _, standing)| matches!(standing, Standing::BackingOff { .. }))
            .map(|(container, ..)| container.name.clone())
            .collect();
        for name in waiting {
            let Some(run) = self.situation.latest(&name) else { continue };
            if !self.crashes_told.insert(run.id.clone()) {
                continue;
            }
            let place = format!("{}_{}({})", pod.name, pod.namespace, pod.uid);
            let message = format!("Back-off restarting failed container {name} in pod {place}");
            effects.push(Effect::Event(pod.clone(), self.note(false, "BackOff", message, Some(&name), now)));
        }
        let known = &self.situation;
        self.crashes_told.retain(|id| known.records().any(|run| &run.id == id));
    }

    /// Tells once of each config map, secret or volume that is missing, for as long as it is.
    fn tell_troubles(&mut self, sources: &Sources, now: Timestamp, pod: &PodRef, effects: &mut Vec<Effect>) {
        let scene = self.scene(sources, now);
        let mut notes = Vec::new();
        if self.class == Some(Class::Preparing) && !self.situation.setbacks.contains_key(&Operation::Volumes) {
            let trouble = plan::volume_trouble(&scene);
            notes.extend(trouble.map(|message| self.note(false, "FailedMount", message, None, now)));
        }
        for (container, _, standing) in standings(&scene) {
            if let Standing::Misconfigured { message, .. } = standing {
                notes.push(self.note(false, "Failed", format!("Error: {message}"), Some(&container.name), now));
            }
        }
        let told = std::mem::take(&mut self.troubles_told);
        self.troubles_told = notes.iter().map(|note| note.message.clone()).collect();
        let fresh = notes.into_iter().filter(|note| !told.contains(&note.message));
        effects.extend(fresh.map(|note| Effect::Event(pod.clone(), note)));
    }

    /// Keeps the decision for the next status, where it says anything new.
    fn decide(&mut self, before: &str, step: &Step, now: Timestamp) {
        let commands = step.commands.iter().map(|command| {
            let (verb, object) = command.describe();
            CommandRecord { verb: verb.to_owned(), object, revision: None, detail: String::new() }
        });
        let pod = self.reference();
        let decision = Decision {
            operator: format!("node/{}", pod.node),
            object: format!("pods/{}/{}", pod.namespace, pod.name),
            time: now,
            wake: std::mem::take(&mut self.reasons),
            snapshot: revision(&self.situation.pod),
            from: before.to_owned(),
            to: self.machine.state().to_owned(),
            guards: step.trace.crossings().iter().map(|crossing| crossing.guard.to_owned()).collect(),
            unmet: step.trace.unmet().to_vec(),
            commands: commands.collect(),
            reads: Vec::new(),
        };
        let known = self.decision.as_ref().or(self.telling.as_ref()).or(self.told.as_ref());
        if known.is_some_and(|known| decision.repeats(known)) {
            return;
        }
        self.decision = joined(self.decision.take(), Some(decision));
    }

    /// The status to send, if it differs from the one the API server holds.
    pub(super) fn post(&mut self, sources: &Sources, now: Timestamp) -> Option<Effect> {
        let class = self.class.filter(|_| self.seen && !self.situation.gone && !self.posting)?;
        let waits = self.post_setback.as_ref().map(Setback::until).into_iter().chain(self.quiet_until(sources));
        if waits.max().is_some_and(|until| until > now) {
            return None;
        }
        let desired = status::status(&self.scene(sources, now), class);
        let pod = self.reference();
        let patch = match status_patch(&pod.uid.0, self.situation.status(), &desired) {
            Some(patch) => patch,
            None if self.is_stuck() => no_patch(&pod.uid.0),
            None => return self.delete(class, pod, now),
        };
        self.posting = true;
        self.telling = self.decision.take();
        let decision = self.telling.clone().map(Box::new);
        Some(Effect::Post(Box::new(StatusPost { pod, patch, decision })))
    }

    /// Until when nothing is told of a pod that was never told of, and is being brought up.
    fn quiet_until(&self, sources: &Sources) -> Option<Timestamp> {
        let comes_up = matches!(self.class, Some(Class::Preparing | Class::Pulling | Class::Starting));
        let is_untold = self.situation.status().start_time.is_none();
        let is_busy = || !self.situation.under_way.is_empty() || self.looks_up(sources);
        self.first_word_at.filter(|_| comes_up && is_untold && is_busy())
    }

    /// Whether something it refers to was not looked up yet.
    fn looks_up(&self, sources: &Sources) -> bool {
        self.sources.iter().any(|key| !sources.knows(key))
    }

    /// Whether it is untold what the pod waits for while nothing is under way: the status alone does not say all of it.
    fn is_stuck(&self) -> bool {
        let is_news = self.decision.as_ref().is_some_and(|decision| !decision.unmet.is_empty());
        is_news && self.situation.under_way.is_empty()
    }

    /// Once nothing is left and the last status is told, the object may go.
    fn delete(&mut self, class: Class, pod: PodRef, now: Timestamp) -> Option<Effect> {
        let waits = self.delete_setback.as_ref().is_some_and(|setback| setback.until() > now);
        if class != Class::Removed || self.deleting || waits {
            return None;
        }
        self.deleting = true;
        Some(Effect::Delete(pod))
    }

    /// When the entry must be looked at for itself, not for its pod: a request to be repeated.
    fn retry_at(&self, sources: &Sources, now: Timestamp) -> Option<Timestamp> {
        let setbacks = self.post_setback.iter().chain(&self.delete_setback).map(Setback::until);
        setbacks.chain(self.quiet_until(sources)).filter(|until| *until > now).min()
    }

    /// The status was answered. What was decided is told once: again only where it was not accepted.
    pub(super) fn posted(&mut self, failure: Option<String>, now: Timestamp) {
        self.posting = false;
        match self.telling.take() {
            unheard if failure.is_some() => self.decision = joined(unheard, self.decision.take()),
            heard => self.told = heard.or(self.told.take()),
        }
        self.post_setback = failure.map(|message| retry(self.post_setback.as_ref(), message, now));
    }

    pub(super) fn deleted(&mut self, failure: Option<String>, now: Timestamp) {
        self.deleting = failure.is_none();
        self.delete_setback = failure.map(|message| retry(self.delete_setback.as_ref(), message, now));
    }

    /// The operation is no longer under way and has failed.
    pub(super) fn set_back(&mut self, operation: Operation, reason: String, message: String, now: Timestamp) {
        let first = if matches!(operation, Operation::Image { .. }) { Setback::PULL } else { Setback::OTHER };
        let earlier = self.situation.setbacks.get(&operation);
        let setback = Setback::after(earlier, reason, message, now, first);
        self.situation.setbacks.insert(operation, setback);
    }
}

fn retry(earlier: Option<&Setback>, message: String, now: Timestamp) -> Setback {
    Setback::after(earlier, "RequestFailed".to_owned(), message, now, Setback::OTHER)
}

/// The revision of an object, as our store and every other counts it; 0 where it is no number.
fn revision(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// What one status tells of these decisions.
fn joined(earlier: Option<Decision>, later: Option<Decision>) -> Option<Decision> {
    match (earlier, later) {
        (Some(earlier), Some(later)) => Some(merged(earlier, later)),
        (earlier, later) => earlier.or(later),
    }
}

/// Adds what is newer and drops the oldest of too much: a server that is not reached for long must not be sent more than it takes.
fn extend<T>(known: &mut Vec<T>, newer: Vec<T>) {
    known.extend(newer);
    known.drain(..known.len().saturating_sub(MERGED_KEPT));
}

/// Two decisions that one status tells of.
fn merged(mut earlier: Decision, later: Decision) -> Decision {
    if earlier.from == UNOBSERVED && earlier.wake.is_empty() {
        earlier.wake.clone_from(&later.wake);
    }
    extend(&mut earlier.guards, later.guards);
    extend(&mut earlier.commands, later.commands);
    let room = REASONS_KEPT.saturating_sub(earlier.wake.len());
    earlier.wake.extend(later.wake.into_iter().take(room));
    Decision { time: later.time, snapshot: later.snapshot, to: later.to, unmet: later.unmet, ..earlier }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_much_the_newest_is_told() {
        let mut known = vec![0; MERGED_KEPT];
        extend(&mut known, vec![1, 2]);
        assert_eq!((known.len(), known.first(), known.last()), (MERGED_KEPT, Some(&0), Some(&2)));
        extend(&mut known, vec![3; MERGED_KEPT]);
        assert_eq!(known, [3; MERGED_KEPT]);
    }
}
