//! Effects on their way: from their records to whoever runs them, and what came of it back into the records.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::assembly::service_account;
use super::effect::{self, Asked, EffectRequest, EffectRun, EffectState};
use super::errands::{AT_ONCE, Outcome};
use super::progress::{Progress, StepCommit, Ticket};
use super::queue::OperatorId;
use super::{Driver, backoff};
use crate::gateway::{Action, Body, FieldValidation, Mutation, Options, Subresource, Target};
use crate::object::Object;
use crate::resource::EFFECTS;
use crate::status::Status;
use crate::store::{Commit, Event, Origin, Refusal, Snapshot, WatchChange, Write};

/// How long what came of an effect waits where the store does not take it.
const UNWRITTEN_WAIT: Duration = Duration::from_secs(1);

impl Driver {
    /// Hears of a change of an effect's record.
    pub(super) fn hear_of_effect(&mut self, event: &Event) {
        match &event.change {
            WatchChange::Removed(record) => self.errands.forget(record.key()),
            WatchChange::Added(record) | WatchChange::Modified { after: record, .. } => self.consider(record),
        }
    }

    /// Takes up what an operator's effects were doing when nobody looked: those not done are run again.
    pub(super) fn take_up_effects(&mut self, id: OperatorId, snapshot: &Snapshot) {
        let name = self.name(id);
        let records: Vec<_> = snapshot.list(EFFECTS, None, None).cloned().collect();
        let own = records.iter().filter(|record| effect::asked(record).operator == name);
        own.for_each(|record| self.consider(record));
    }

    fn consider(&mut self, record: &Object) {
        if matches!(effect::state(record), EffectState::Done(_)) {
            return;
        }
        if let Some(operator) = self.id_of(&effect::asked(record).operator).map(|id| self.name(id)) {
            self.errands.add(operator, record.key());
        }
    }

    /// The next thing to do for an effect: writing what came of one, or running one.
    pub(super) fn poll_effects(&mut self, snapshot: &Snapshot, now: Timestamp) -> Option<Progress> {
        while let Some((record, outcome)) = self.errands.outcome(now) {
            let Some(found) = snapshot.get(&record) else {
                self.errands.forget(&record);
                continue;
            };
            return Some(self.write_outcome(found, outcome, snapshot, now));
        }
        while let Some((record, word)) = self.errands.words.take(now) {
            if let Some(progress) = snapshot.get(&record).and_then(|it| self.write_word(it, &word, snapshot, now)) {
                return Some(progress);
            }
        }
        loop {
            let ticket = self.next_ticket();
            let record = self.errands.take(ticket, now)?;
            match snapshot.get(&record).and_then(|record| self.run_of(ticket, record)) {
                Some(run) => return Some(Progress::Effect(Box::new(run))),
                None => self.errands.drop_run(ticket),
            }
        }
    }

    /// How an effect is run, if its operator asked for it, is here and still declares it.
    fn run_of(&self, ticket: Ticket, record: &Object) -> Option<EffectRun> {
        if !effect::is_runnable(record) {
            return None;
        }
        let Asked { operator, effect: name, key, input, primary, primary_uid } = effect::asked(record);
        let member = self.members.get(&self.id_of(&operator)?)?;
        let declared = member.seat.declaration().effects.iter().find(|effect| effect.name == name)?;
        let (operator, name, tries) = (member.name(), declared.name, effect::tries(record));
        let record = record.key().clone();
        let request = EffectRequest { operator, name, record, primary, primary_uid, key, input, tries };
        Some(EffectRun { ticket, request, function: declared.run.clone() })
    }

    fn write_outcome(&mut self, record: &Object, outcome: Outcome, snapshot: &Snapshot, now: Timestamp) -> Progress {
        let key = record.key().clone();
        let operator = effect::asked(record).operator;
        let id = self.id_of(&operator);
        match self.record_write(record, &operator, effect::after_try(record, &outcome), snapshot, now) {
            Ok(write) => {
                let ticket = self.next_ticket();
                self.errands.writing(ticket, key.clone(), outcome);
                let operator = id.map(|id| self.name(id)).unwrap_or_default();
                Progress::Commit(Box::new(StepCommit { ticket, operator, key, write }))
            }
            Err(status) => {
                tracing::warn!(record = %key, %status, "what came of an effect waits to be written");
                self.errands.write_at(later(now, UNWRITTEN_WAIT), key, outcome);
                Progress::Stepped
            }
        }
    }

    /// Writes how far a run says it has come. Where the store does not take it, the next word will do.
    fn write_word(&mut self, record: &Object, word: &str, snapshot: &Snapshot, now: Timestamp) -> Option<Progress> {
        let operator = effect::asked(record).operator;
        let id = self.id_of(&operator)?;
        let write = self.record_write(record, &operator, effect::after_word(record, word), snapshot, now).ok()?;
        let ticket = self.next_ticket();
        Some(Progress::Commit(Box::new(StepCommit {
            ticket,
            operator: self.name(id),
            key: record.key().clone(),
            write,
        })))
    }

    fn record_write(
        &mut self,
        record: &Object,
        operator: &str,
        after: Value,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Write, Status> {
        let registry = self.gateway.registry();
        let definition = registry.definition(EFFECTS).cloned().ok_or_else(|| Status::unavailable("no effects"))?;
        let version = definition.versions.first().cloned().ok_or_else(|| Status::unavailable("no effects"))?;
        let manager = format!("{operator}-controller");
        let mutation = Mutation {
            identity: service_account(&manager),
            origin: Origin::System { purpose: format!("what came of an effect of {operator}") },
            target: Target {
                served: crate::resource::Served { definition, version },
                namespace: record.key().namespace.clone(),
                name: Some(record.key().name.clone()),
                subresource: Subresource::Whole,
            },
            action: Action::Update(Body::Value(after)),
            options: Options {
                dry_run: false,
                field_validation: FieldValidation::Ignore,
                field_manager: manager,
                force: false,
            },
        };
        Ok(self.gateway.prepare(snapshot, now, &mut self.entropy, &mutation)?.write)
    }

    /// Hears what came of an effect that was handed out.
    pub fn effect_done(&mut self, ticket: Ticket, outcome: Outcome) {
        self.errands.ended(ticket, outcome);
    }

    /// Hears how far an effect that was handed out says it has come.
    pub fn effect_tells(&mut self, ticket: Ticket, word: String) {
        self.errands.told(ticket, word);
    }

    /// Hears what became of writing an outcome. `false` where the commit was none of these.
    pub(super) fn outcome_settled(
        &mut self,
        ticket: Ticket,
        written: Result<&Commit, &Refusal>,
        now: Timestamp,
    ) -> bool {
        let Some((record, outcome)) = self.errands.written(ticket) else { return false };
        match (written, &outcome) {
            (Ok(_), Ok(_)) | (Err(Refusal::Missing(_)), _) => self.errands.forget(&record),
            (Ok(commit), Err(_)) => {
                let tries = commit.objects.first().map_or(1, |record| effect::tries(record));
                let delay = backoff::delay(tries, &mut self.entropy);
                self.errands.again_at(later(now, delay), record);
            }
            // The record has changed meanwhile: the outcome is written into it as it is now.
            (Err(Refusal::Changed { .. }), _) => self.errands.write_at(AT_ONCE, record, outcome),
            (Err(_), _) => self.errands.write_at(later(now, UNWRITTEN_WAIT), record, outcome),
        }
        true
    }
}

fn later(now: Timestamp, delay: Duration) -> Timestamp {
    now.checked_add(delay).unwrap_or(now)
}
