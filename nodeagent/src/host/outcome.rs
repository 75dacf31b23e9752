//! What the runtime, the probes and the API server answered, taken into a pod's situation.

use jiff::Timestamp;

use super::entry::Entry;
use super::message::{Answer, Effect, Message, ProbedRun};
use crate::pod::resize;
use crate::pod::{Operation, Outcome, Refusal};

impl Entry {
    /// Takes in a message about this pod. Says whether its machine should look at it: a probe that found what the one
    /// before it found is no news.
    pub(super) fn take_in(
        &mut self,
        message: Message,
        narrates: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        match message {
            Message::Probed(_, run, result) => return self.judge(&run, result, now, effects),
            Message::Outcome(_, operation, outcome) => self.conclude(operation, outcome, narrates, now, effects),
            Message::Container(_, record) => {
                self.because(&format!("container {}", record.name), 0);
                self.situation.observe(record);
                self.forget_dead_probes();
            }
            Message::Sandbox(_, sandbox) => {
                // News of a sandbox that has been replaced comes late and says nothing of the one that is there.
                if self.situation.sandbox.as_ref().is_some_and(|known| known.attempt > sandbox.attempt) {
                    return false;
                }
                self.because("sandbox", 0);
                self.situation.sandbox = Some(sandbox);
            }
            Message::Vanished(_, id) => {
                let expected =
                    [Operation::Clear, Operation::Sandbox].iter().any(|own| self.situation.under_way.contains(own));
                if expected || self.situation.swept {
                    return false;
                }
                self.because("container removed", 0);
                self.situation.forget(&id);
                self.forget_dead_probes();
            }
            Message::Note(_, note) => effects.push(Effect::Event(self.reference(), note)),
            Message::Posted(_, answer) => self.answered(answer, now),
            Message::Deleted(_, answer) => match answer {
                Answer::Accepted(_) => self.deleted(None, now),
                Answer::Missing => self.situation.gone = true,
                Answer::Failed(message) => self.deleted(Some(message), now),
            },
            Message::Pod(_) | Message::PodGone(_) | Message::Listed(_) | Message::Source(..) => return false,
        }
        true
    }

    fn answered(&mut self, answer: Answer, now: Timestamp) {
        match answer {
            Answer::Accepted(pod) => {
                self.posted(None, now);
                if let Some(pod) = pod {
                    self.see(pod);
                }
            }
            Answer::Missing => {
                self.posted(None, now);
                self.situation.gone = true;
            }
            Answer::Failed(message) => self.posted(Some(message), now),
        }
    }

    fn forget_dead_probes(&mut self) {
        self.situation.probes.retain_running(&self.situation.containers);
    }

    fn judge(
        &mut self,
        run: &ProbedRun,
        result: Result<(), String>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(container) = self.situation.container(&run.container).cloned() else { return false };
        let recorded = self.situation.probes.record(&container, run.kind, &run.container_id, result.is_ok());
        let Some(is_news) = recorded else { return false };
        if is_news {
            self.because(&format!("{} probe of {}", run.kind.title().to_lowercase(), run.container), 0);
        }
        if let Err(message) = result {
            let message = format!("{} probe failed: {message}", run.kind.title());
            effects.push(Effect::Event(
                self.reference(),
                self.note(false, "Unhealthy", message, Some(&run.container), now),
            ));
        }
        is_news
    }

    fn conclude(
        &mut self,
        operation: Operation,
        outcome: Outcome,
        narrates: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.because(&format!("{} answered", name_of(&operation)), 0);
        self.situation.under_way.remove(&operation);
        if self.situation.is_outdated(&operation) {
            return;
        }
        if !matches!(outcome, Outcome::Refused(_) | Outcome::StartFailed(..)) {
            self.situation.setbacks.remove(&operation);
        }
        match outcome {
            Outcome::VolumesReady(digest) => self.situation.volumes = Some(digest),
            Outcome::SandboxRunning(sandbox) => self.situation.sandbox = Some(sandbox),
            Outcome::ImagePresent { attempt, pulled } => {
                let Operation::Image { container, image } = &operation else { return };
                if narrates {
                    self.tell_image(container, image, pulled, now, effects);
                }
                self.situation.images.insert(container.clone(), attempt);
            }
            Outcome::Started(record) => {
                if narrates {
                    self.tell_start(&record.name, now, effects);
                }
                self.situation.images.remove(&record.name);
                self.situation.observe(record);
            }
            Outcome::StartFailed(refusal, record) => {
                let name = if let Operation::Start(name) = &operation { name.clone() } else { String::new() };
                self.tell_failure(&name, format!("Error: {}", refusal.message), now, effects);
                self.situation.images.remove(&name);
                if let Some(record) = record {
                    self.situation.observe(record);
                }
                self.set_back(operation, refusal.reason, refusal.message, now);
            }
            Outcome::Ended { id, exit } => {
                if let Operation::Stop(name) | Operation::Kill(name) = &operation {
                    self.situation.conclude(name, &id, exit);
                    self.forget_dead_probes();
                }
                self.done(&operation, None);
            }
            Outcome::Resized { id, bounds } => {
                if let Operation::Resize(name) = &operation {
                    self.situation.resize(name, &id, bounds);
                }
            }
            Outcome::Done(record) => self.done(&operation, record),
            Outcome::Refused(refusal) => self.refused(operation, refusal, now, effects),
        }
    }

    fn done(&mut self, operation: &Operation, record: Option<crate::pod::ContainerRecord>) {
        if let Some(record) = record {
            self.situation.observe(record);
            self.forget_dead_probes();
        }
        match operation {
            Operation::Stop(container) | Operation::Kill(container) => {
                let living = self.situation.latest(container).is_some_and(crate::pod::ContainerRecord::is_running);
                if !living {
                    self.situation.deadlines.remove(container);
                }
            }
            Operation::Remove(id) => self.situation.forget(id),
            Operation::StopSandbox => {
                if let Some(sandbox) = &mut self.situation.sandbox {
                    sandbox.running = false;
                }
            }
            Operation::Clear => self.situation.swept = true,
            Operation::Volumes
            | Operation::Sandbox
            | Operation::Image { .. }
            | Operation::Start(_)
            | Operation::Resize(_) => {}
        }
    }

    fn refused(&mut self, operation: Operation, refusal: Refusal, now: Timestamp, effects: &mut Vec<Effect>) {
        match &operation {
            Operation::Image { container, image } => {
                self.tell_failure(container, refusal.message.clone(), now, effects);
                self.tell_failure(container, format!("Error: {}", refusal.reason), now, effects);
                if refusal.reason == "ErrImagePull" {
                    let message = format!("Back-off pulling image \"{image}\"");
                    let note = self.note(true, "BackOff", message, Some(container), now);
                    effects.push(Effect::Event(self.reference(), note));
                }
            }
            Operation::Volumes => {
                let note = self.note(false, "FailedMount", refusal.message.clone(), None, now);
                effects.push(Effect::Event(self.reference(), note));
            }
            Operation::Sandbox => {
                let message = format!("Failed to create pod sandbox: {}", refusal.message);
                effects.push(Effect::Event(
                    self.reference(),
                    self.note(false, "FailedCreatePodSandBox", message, None, now),
                ));
            }
            Operation::Stop(container) | Operation::Kill(container) => {
                let message = format!("error killing pod: {}", refusal.message);
                let note = self.note(false, "FailedKillPod", message, Some(container), now);
                effects.push(Effect::Event(self.reference(), note));
            }
            Operation::Start(container) => self.tell_failure(container, refusal.message.clone(), now, effects),
            Operation::Resize(_) => {
                let message = resize::message("error", &self.situation.pod, &refusal.message);
                effects.push(Effect::Event(self.reference(), self.note(false, "ResizeError", message, None, now)));
            }
            Operation::Remove(_) | Operation::StopSandbox | Operation::Clear => {}
        }
        self.set_back(operation, refusal.reason, refusal.message, now);
    }

    fn tell_failure(&self, container: &str, message: String, now: Timestamp, effects: &mut Vec<Effect>) {
        effects.push(Effect::Event(self.reference(), self.note(false, "Failed", message, Some(container), now)));
    }

    fn tell_image(
        &self,
        container: &str,
        image: &str,
        pulled: Option<(u64, i64)>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let message = match pulled {
            None => format!("Container image \"{image}\" already present on machine"),
            Some((milliseconds, bytes)) => {
                let took = format!("{}.{:03}s", milliseconds / 1000, milliseconds % 1000);
                format!(
                    "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {bytes} bytes."
                )
            }
        };
        effects.push(Effect::Event(self.reference(), self.note(true, "Pulled", message, Some(container), now)));
    }

    fn tell_start(&self, container: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        for (reason, message) in [
            ("Created", format!("Created container: {container}")),
            ("Started", format!("Started container {container}")),
        ] {
            effects.push(Effect::Event(self.reference(), self.note(true, reason, message, Some(container), now)));
        }
    }
}

fn name_of(operation: &Operation) -> String {
    match operation {
        Operation::Volumes => "volumes".to_owned(),
        Operation::Sandbox => "sandbox".to_owned(),
        Operation::Image { container, .. } => format!("image of {container}"),
        Operation::Start(container) => format!("start of {container}"),
        Operation::Stop(container) => format!("stop of {container}"),
        Operation::Kill(container) => format!("kill of {container}"),
        Operation::Resize(container) => format!("resize of {container}"),
        Operation::Remove(_) => "removal".to_owned(),
        Operation::StopSandbox => "stop of the sandbox".to_owned(),
        Operation::Clear => "removal of everything".to_owned(),
    }
}
