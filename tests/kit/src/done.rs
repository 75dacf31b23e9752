//! What a step did to the cluster, for stories and for checks.

use std::fmt::Write as _;
use std::sync::Arc;

use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::StepCommit;
use sampan_core::resource::EVENTS;
use sampan_core::store::{Commit, Put, Snapshot};
use sampan_machine::Decision;

/// How an object changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Became {
    Created,
    Changed,
    Removed,
}

/// An object a step changed: as it was before, and as it is.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) became: Became,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: Arc<Object>,
}

/// What one committed step did.
#[derive(Clone)]
pub(crate) struct Done {
    pub(crate) operator: &'static str,
    pub(crate) key: ObjectKey,
    pub(crate) decision: Option<Decision>,
    /// Whether the commit rested on anything that was read: one of status and Events alone does not.
    pub(crate) is_guarded: bool,
    pub(crate) written: Vec<Written>,
}

/// A commit before it is submitted: what is needed to tell afterwards what it did.
pub(crate) struct Draft {
    done: Done,
    before: Snapshot,
    removals: Vec<bool>,
}

impl Draft {
    pub(crate) fn of(commit: &StepCommit, before: Snapshot) -> Self {
        let removals = commit.write.changes.iter().map(|change| matches!(change.put, Put::Nothing)).collect();
        let done = Done {
            operator: commit.operator,
            key: commit.key.clone(),
            decision: commit.write.decision.clone(),
            is_guarded: commit.write.guard.is_some(),
            written: Vec::new(),
        };
        Self { done, before, removals }
    }

    /// What was done, now that it was committed.
    pub(crate) fn committed(mut self, commit: &Commit) -> Done {
        for (object, removed) in commit.objects.iter().zip(self.removals) {
            let before = self.before.get(object.key()).cloned();
            let became = match (removed, &before) {
                (true, _) => Became::Removed,
                (false, Some(_)) => Became::Changed,
                (false, None) => Became::Created,
            };
            self.done.written.push(Written { became, before, after: object.clone() });
        }
        self.done
    }
}

impl Done {
    /// What it wrote, Events aside.
    pub(crate) fn lasting(&self) -> impl Iterator<Item = &Written> {
        self.written.iter().filter(|written| written.after.key().resource != EVENTS)
    }

    /// Whether users can see why it waits: by an Event, by what is waited for, or by the primary's status.
    pub(crate) fn tells(&self) -> bool {
        let told = |written: &Written| {
            written.after.key().resource == EVENTS
                || (*written.after.key() == self.key && written.became == Became::Changed)
        };
        self.written.iter().any(told) || self.decision.as_ref().is_some_and(|decision| !decision.unmet.is_empty())
    }

    /// `replicaset of default/web: ScalingUp → AwaitingReady: creates pods/default/web-x2b`.
    pub(crate) fn story(&self) -> String {
        let mut text = format!("{} of {}", self.operator, self.key.name);
        if let Some(decision) = &self.decision {
            let _ = write!(text, ": {} → {}", decision.from, decision.to);
            if let Some(unmet) = decision.unmet.first() {
                let _ = write!(text, ", waiting for: {}", unmet.guard);
            }
        }
        for written in self.lasting() {
            let verb = match written.became {
                Became::Created => "creates",
                Became::Changed => "changes",
                Became::Removed => "removes",
            };
            let _ = write!(text, "; {verb} {}", written.after.key());
        }
        text
    }
}
