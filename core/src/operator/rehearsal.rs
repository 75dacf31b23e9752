//! Steps made again on a cluster as it was, without committing them: for `sampan replay`.

use jiff::Timestamp;
use sampan_machine::WakeReason;

use super::Driver;
use super::progress::Progress;
use super::queue::Pending;
use crate::object::ObjectKey;
use crate::store::{Commit, Snapshot, Write};

/// How often a step is made again with what was refused of it.
const REFUSALS_MAX: usize = 3;

/// What a step made again came to.
#[derive(Debug)]
pub enum Rehearsed {
    /// A decision, and what it would commit.
    Decided(Box<Write>),
    /// Nothing that is kept: it leaves the machine in this state.
    Silent(&'static str),
    /// It cannot be told, for this reason.
    Unknown(String),
}

impl Driver {
    /// Makes a step again: woken for these reasons, on this snapshot, at that time. The machine stays as the step leaves it, so
    /// that steps follow on one another as they did. Nothing is committed.
    ///
    /// # Caveats
    /// For a driver that drives nothing: it gives the step's commit up.
    pub fn rehearse(
        &mut self,
        operator: &str,
        key: &ObjectKey,
        reasons: &[WakeReason],
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Rehearsed {
        let Some(id) = self.id_of(operator) else {
            let why = "is no operator of this binary, and no plugin's program is asked about the past";
            return Rehearsed::Unknown(format!("{operator} {why}"));
        };
        let slot = (id, key.clone());
        let mut taken = Pending { reasons: reasons.to_vec(), newest: 0, insists: true, since: now, refusal: None };
        for _ in 0..=REFUSALS_MAX {
            // What fails in the past is no news of today.
            let step = || self.step(slot.clone(), taken, snapshot, now);
            let commit = match tracing::dispatcher::with_default(&tracing::Dispatch::none(), step) {
                Progress::Commit(commit) => commit,
                Progress::Ask(_) => return Rehearsed::Unknown("what webhooks answered is not kept".to_owned()),
                _ => return Rehearsed::Silent(self.state(operator, key).unwrap_or_default()),
            };
            match snapshot.check(&commit.write) {
                Ok(()) => {
                    let settled = Commit { revision: snapshot.revision(), objects: Vec::new() };
                    self.settled(commit.ticket, Ok(&settled), now);
                    return Rehearsed::Decided(Box::new(commit.write));
                }
                Err(refusal) => self.settled(commit.ticket, Err(&refusal), now),
            }
            let Some((_, again)) = self.queue.take() else { break };
            taken = again;
        }
        Rehearsed::Unknown("it is refused again and again".to_owned())
    }

    /// Forgets a machine, as the end of the process does.
    pub fn forget(&mut self, operator: &str, key: &ObjectKey) {
        let Some(id) = self.id_of(operator) else { return };
        self.standings.forget(&(id, key.clone()));
        if let Some(member) = self.acting(id) {
            member.seat.forget(key);
        }
    }
}
