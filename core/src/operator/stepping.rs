//! One step: what an operator makes of a snapshot, and what is handed out of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sampan_machine::{Decision, UNOBSERVED};

use super::assembly::{Assembly, AssemblyError, Workbench, assemble};
use super::flight::{After, Asked, Flight};
use super::progress::{Disabled, Progress, StepCommit, StepReport};
use super::queue::{Pending, Slot};
use super::record;
use super::seat::{StepPanic, Stepped};
use super::standing::Standing;
use super::{Driver, Wake};
use crate::object::Revision;
use crate::store::{CHANGES_MAX, Precondition, ReadKey, Snapshot, Write};

/// How often a step is run again with what was refused before it waits: each run may meet one more refusal.
const REFUSALS_PER_STEP_MAX: usize = 3;
/// The most changes of a step that what it rests on is held still for: they must be prepared and on their way to the
/// sequencer within [`RESERVATION_MAX`](crate::store::RESERVATION_MAX). The rest follows in the next step.
pub(super) const RESERVED_CHANGES_MAX: usize = 50;

impl Driver {
    pub(super) fn step(&mut self, slot: Slot, mut taken: Pending, snapshot: &Snapshot, now: Timestamp) -> Progress {
        let mut refused = taken.refusal.is_some();
        let is_reserved = self.standings.of(&slot).is_some_and(Standing::is_reserved);
        let changes_max = if is_reserved { RESERVED_CHANGES_MAX } else { CHANGES_MAX };
        for attempt in 0..=REFUSALS_PER_STEP_MAX {
            let wake = Wake { key: slot.1.clone(), reasons: taken.reasons.clone(), refusal: taken.refusal.take() };
            let Some(member) = self.members.get_mut(&slot.0) else { return Progress::Stepped };
            member.figures.steps += 1;
            let inquiry = self.inquiries.entry(slot.clone()).or_default();
            let (begun, mut drawn) = inquiry.draw(now, &mut self.entropy);
            let mut stepped =
                match member.seat.step(&wake, snapshot, &self.gateway.registry(), now, self.hears_since, &mut drawn) {
                    Ok(stepped) => stepped,
                    Err(StepPanic(reason)) => return self.crash(slot, taken, reason, snapshot.revision(), now),
                };
            self.last_step = Some(StepReport {
                operator: member.name(),
                key: slot.1.clone(),
                crossings: stepped.out.trace.crossings().to_vec(),
                fault: stepped.out.fault.as_ref().map(ToString::to_string),
            });
            if stepped.out.suspended && stepped.out.fault.is_none() {
                member.seat.discard(&slot.1);
                self.suspended.insert(slot, Pending { refusal: wake.refusal, ..taken });
                return Progress::Stepped;
            }
            if let Some(fault) = stepped.out.fault.clone() {
                return self.hold(slot, &taken, &fault, snapshot.revision(), now);
            }
            let bench = Workbench {
                gateway: &self.gateway,
                snapshot,
                now: begun,
                declaration: member.seat.declaration(),
                primary: &slot.1,
                answers: inquiry.answers(),
                changes_max,
            };
            match assemble(&bench, &mut stepped.out, &member.recorder, &mut drawn) {
                Ok(assembly) => return self.launch(slot, taken, stepped, assembly, refused, snapshot, now),
                // A name drawn at random may be taken: the next draw is another.
                Err(AssemblyError::Refused(refusal)) if attempt == 0 && refusal.status.reason == "AlreadyExists" => {
                    inquiry.draw_anew();
                }
                Err(AssemblyError::Asks(calls)) => {
                    return self.ask(slot, Pending { refusal: wake.refusal, ..taken }, calls);
                }
                Err(AssemblyError::Refused(refusal)) => {
                    inquiry.draw_anew();
                    member.figures.refusals += 1;
                    taken.refusal = Some(refusal);
                    refused = true;
                }
                Err(AssemblyError::Transient(status)) => {
                    tracing::warn!(object = %slot.1, %status, "a step waits");
                    return self.retry_later(slot, now);
                }
                Err(error @ (AssemblyError::Undeclared { .. } | AssemblyError::Unserved(_))) => {
                    self.last_step.iter_mut().for_each(|step| step.fault = Some(error.to_string()));
                    return self.hold(slot, &taken, &error, snapshot.revision(), now);
                }
            }
        }
        self.retry_later(slot, now)
    }

    /// The operator panicked, and is not stepped any more: the decision says so of the object it looked at.
    fn crash(&mut self, slot: Slot, taken: Pending, reason: String, snapshot: Revision, now: Timestamp) -> Progress {
        let Some(member) = self.members.get(&slot.0) else { return Progress::Stepped };
        let (operator, state) = (member.name(), member.seat.state(&slot.1));
        let disabled = Disabled { operator, of: member.seat.declaration().primary, object: slot.1.clone(), reason };
        let void = record::void(operator, &slot.1, &taken, state, "", snapshot, now);
        let decision = Decision { unmet: vec![disabled.unmet()], ..void };
        self.disable(slot.0, disabled);
        self.fly(slot, taken, After::decided(snapshot, decision.clone()), record::alone(decision))
    }

    /// The step is void and stays so until something changes: the decision says why.
    fn hold(
        &mut self,
        slot: Slot,
        taken: &Pending,
        fault: &dyn std::fmt::Display,
        snapshot: Revision,
        now: Timestamp,
    ) -> Progress {
        let Some(member) = self.members.get_mut(&slot.0) else { return Progress::Stepped };
        member.seat.discard(&slot.1);
        let (operator, state) = (member.name(), member.seat.state(&slot.1));
        tracing::error!(operator, object = %slot.1, %fault, "a step is void");
        let decision = record::void(operator, &slot.1, taken, state, &fault.to_string(), snapshot, now);
        let after = After::decided(snapshot, decision.clone());
        if self.standings.verdict(&slot).repeats(&decision) {
            self.settle(&slot, after, now);
            return Progress::Stepped;
        }
        self.fly(slot, taken.clone(), after, record::alone(decision))
    }

    #[expect(clippy::too_many_arguments, reason = "everything a step came to")]
    fn launch(
        &mut self,
        slot: Slot,
        taken: Pending,
        stepped: Stepped,
        assembly: Assembly,
        refused: bool,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Progress {
        let Assembly { mut write, records, sources, left_over, said } = assembly;
        let gone = snapshot.get(&slot.1).is_none();
        let operator = self.name(slot.0);
        let decision = record::decision(operator, &slot.1, &taken, &stepped, records, snapshot.revision(), now);
        let after = After {
            wake_at: stepped.out.wake_after.and_then(|delay| now.checked_add(delay).ok()),
            left_over,
            refused,
            gone,
            said,
            asked: Asked::new(&stepped.out.commands, &write, &sources),
            ..After::decided(snapshot.revision(), decision.clone())
        };
        if write.changes.is_empty() {
            let resting = stepped.from == UNOBSERVED && record::only_started(&taken) && !refused;
            if gone || resting || self.standings.verdict(&slot).repeats(&decision) {
                self.settle(&slot, after, now);
                return Progress::Stepped;
            }
            write.guard = None;
        }
        write.decision = Some(decision);
        self.fly(slot, taken, after, write)
    }

    fn fly(&mut self, slot: Slot, taken: Pending, after: After, write: Write) -> Progress {
        let operator = self.name(slot.0);
        let ticket = self.next_ticket();
        let key = slot.1.clone();
        let rests_on = rests_on(&write);
        self.flights.insert(ticket, Flight { slot, taken, rests_on, after });
        Progress::Commit(Box::new(StepCommit { ticket, operator, key, write }))
    }
}

/// What a write rests on: what its guard names, and the objects it changes, which must be as they were read.
fn rests_on(write: &Write) -> Vec<ReadKey> {
    let guarded = write.guard.iter().flat_map(|guard| guard.reads.iter().cloned());
    let changed = write.changes.iter().filter(|change| change.precondition != Precondition::Absent);
    let changed = changed.map(|change| ReadKey::Object(change.key.clone()));
    guarded.chain(changed).collect::<BTreeSet<_>>().into_iter().collect()
}
