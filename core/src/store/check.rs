//! Whether a request may be committed: decided against head and the group being built, before anything of it is done.

use std::collections::BTreeMap;

use super::condition::{CounterId, Counters};
use super::snapshot::Head;
use super::sums::nearest;
use super::write::CHANGES_MAX;
use super::{Change, CommitCondition, Counter, Excess, IndexKey, Precondition, Put, Refusal, Unmet, Write};
use crate::object::{Draft, ObjectKey, Revision, Uid};

/// Refuses a request whose preconditions or conditions do not hold, change by change. All of them hold, or none of it
/// happens.
pub(super) fn check(write: &Write, head: &Head, counters: &mut Counters) -> Result<(), Refusal> {
    if write.changes.len() > CHANGES_MAX {
        return Err(Refusal::TooManyChanges { found: write.changes.len() });
    }
    let mut world = Foreseen { head, counters, changed: BTreeMap::new(), charged: BTreeMap::new() };
    for (index, change) in write.changes.iter().enumerate() {
        world.check(change)?;
        world.require_all(change).map_err(|unmet| Refusal::Unmet { change: index, unmet })?;
        world.foresee(change);
    }
    Ok(())
}

/// The world as the changes before would leave it.
struct Foreseen<'w> {
    head: &'w Head,
    counters: &'w mut Counters,
    changed: BTreeMap<&'w ObjectKey, Option<&'w Draft>>,
    /// What the changes before add to each counter.
    charged: BTreeMap<CounterId, i128>,
}

impl<'w> Foreseen<'w> {
    fn check(&self, change: &'w Change) -> Result<(), Refusal> {
        let key = &change.key;
        // A revision given by this very request is known to nobody yet.
        let (uid, revision): (Option<&Uid>, Revision) = match self.changed.get(key) {
            Some(draft) => (draft.map(|draft| &draft.metadata().uid), Revision(u64::MAX)),
            None => match self.head.get(key) {
                Some(object) => (Some(&object.metadata().uid), object.revision()),
                None => (None, self.head.revision),
            },
        };
        match (&change.precondition, uid) {
            (Precondition::Absent, None) if matches!(change.put, Put::Object(_)) => Ok(()),
            (Precondition::Absent, Some(_)) => Err(Refusal::Exists(key.clone())),
            (_, None) => Err(Refusal::Missing(key.clone())),
            (Precondition::Unchanged(expected), Some(_)) if *expected == revision => Ok(()),
            (Precondition::Identity(expected), Some(uid)) if expected == uid => Ok(()),
            _ => Err(Refusal::Changed { key: key.clone(), found: revision }),
        }
    }

    /// Of limits that would be exceeded, all that one owner has set are named.
    fn require_all(&mut self, change: &'w Change) -> Result<(), Unmet> {
        let mut exceeded: Option<(ObjectKey, Vec<Excess>)> = None;
        for condition in &change.conditions {
            match condition {
                CommitCondition::Active(key) => self.require_active(key)?,
                CommitCondition::Unique(index) => self.require_unique(&change.key, index)?,
                CommitCondition::Charge { counter, amount, limit } => {
                    let Err(excess) = self.charge(&change.key, counter, *amount, *limit) else { continue };
                    let (owner, excesses) = exceeded.get_or_insert_with(|| (counter.owner.0.clone(), Vec::new()));
                    if *owner == counter.owner.0 {
                        excesses.push(excess);
                    }
                }
            }
        }
        match exceeded {
            Some((owner, mut excesses)) => {
                excesses.sort_by(|a, b| a.of.cmp(&b.of));
                Err(Unmet::Exceeded { owner, excesses })
            }
            None => Ok(()),
        }
    }

    fn require_active(&self, key: &ObjectKey) -> Result<(), Unmet> {
        let metadata = match self.changed.get(key) {
            Some(draft) => draft.map(Draft::metadata),
            None => self.head.get(key).map(|object| object.metadata()),
        };
        match metadata {
            None => Err(Unmet::Missing(key.clone())),
            Some(metadata) if metadata.is_terminating() => Err(Unmet::Terminating(key.clone())),
            Some(_) => Ok(()),
        }
    }

    fn require_unique(&self, own: &ObjectKey, index: &IndexKey) -> Result<(), Unmet> {
        let on_head = self.head.find(index).map(|object| object.key()).filter(|key| !self.changed.contains_key(key));
        let before =
            self.changed.iter().filter_map(|(key, draft)| draft.filter(|it| index.holds_draft(it)).map(|_| *key));
        match on_head.chain(before).find(|key| *key != own) {
            Some(by) => Err(Unmet::Taken { index: Box::new(index.clone()), by: by.clone() }),
            None => Ok(()),
        }
    }

    fn charge(&mut self, own: &ObjectKey, counter: &'w Counter, amount: i64, limit: i64) -> Result<(), Excess> {
        let known = self.head.get(own).filter(|_| counter.counts(own) && !self.changed.contains_key(own));
        let requested = i128::from(amount) - counter.weigh(known.map(|object| &**object));
        let removed = self.changed.iter().filter(|(key, draft)| draft.is_none() && counter.counts(key));
        let removed = removed.filter_map(|(key, _)| self.head.get(key));
        let freed: i128 = removed.map(|object| counter.weigh(Some(object))).sum();
        let before = self.charged.entry(counter.id()).or_default();
        let used = self.counters.value(counter, self.head) + *before - freed;
        if requested > 0 && used + requested > limit.into() {
            return Err(Excess { of: counter.of.clone(), used: nearest(used), requested: nearest(requested), limit });
        }
        *before += requested;
        Ok(())
    }

    fn foresee(&mut self, change: &'w Change) {
        let after = match &change.put {
            Put::Object(draft) => Some(&**draft),
            Put::Nothing => None,
        };
        self.changed.insert(&change.key, after);
    }
}
