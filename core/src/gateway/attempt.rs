//! One mutation until it is settled: prepared, committed, and prepared again when somebody else was faster.

use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::Decision;
use serde_json::Value;

use super::{Action, Answer, Call, Gateway, Inquiry, Mutation, PatchKind, Prepared, Reply, Unprepared, refusal_status};
use crate::entropy::Entropy;
use crate::object::{Object, ObjectKey};
use crate::status::Status;
use crate::store::{Commit, Put, Refusal, Snapshot, Unmet, Write};

/// How often a write that names no revision is prepared anew when somebody else was faster.
const TRIES_MAX: usize = 8;

/// What became of a mutation.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The object as it is now; for a removal, as it was last.
    Object {
        /// The object.
        object: Arc<Object>,
        /// Whether it was created.
        created: bool,
        /// Whether it is gone.
        removed: bool,
        /// For the client's eyes.
        warnings: Vec<String>,
    },
    /// What a dry run would have stored, in the stored version.
    Preview {
        /// The object.
        object: Box<Value>,
        /// Whether it would have been created.
        created: bool,
        /// For the client's eyes.
        warnings: Vec<String>,
    },
}

/// A mutation on its way: a plain struct advanced by calls, so that whoever commits may do so on any thread.
pub struct Attempt {
    mutation: Mutation,
    decision: Option<Decision>,
    tries: usize,
    inquiry: Inquiry,
    under_way: Option<Asked>,
}

/// What to do next about a mutation.
pub enum Next {
    /// Commit this, and tell what became of it.
    Commit(Box<Write>),
    /// Ask these webhooks, and tell what came of it.
    Ask(Vec<Call>),
    /// Nothing: it changes nothing, or is a dry run.
    Settled(Box<Outcome>),
}

/// A write under way.
struct Asked {
    about: ObjectKey,
    removes: bool,
    answer: Answer,
    creates: bool,
    warnings: Vec<String>,
}

impl Attempt {
    /// A mutation nobody has looked at, with the decision that led to it where there is one.
    pub fn new(mutation: Mutation, decision: Option<Decision>) -> Self {
        Self { mutation, decision, tries: 0, inquiry: Inquiry::default(), under_way: None }
    }

    /// What to commit, as the cluster stands in `snapshot`.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn prepare(
        &mut self,
        gateway: &Gateway,
        snapshot: &Snapshot,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Next, Status> {
        let (now, mut drawn) = self.inquiry.draw(now, entropy);
        let considered = gateway.consider(snapshot, now, &mut drawn, self.inquiry.answers(), &self.mutation);
        let Prepared { mut write, answer, creates, warnings } = match considered {
            Ok(prepared) => prepared,
            Err(Unprepared::Asks(calls)) => return Ok(Next::Ask(calls)),
            Err(Unprepared::Refused(status)) => return Err(status),
        };
        let Some((about, removes)) = about(&write).or_else(|| self.decided(&answer)) else {
            return Ok(Next::Settled(Box::new(settled(answer, None, creates, warnings))));
        };
        self.tries += 1;
        write.decision.clone_from(&self.decision);
        self.under_way = Some(Asked { about, removes, answer, creates, warnings });
        Ok(Next::Commit(Box::new(write)))
    }

    /// The object that a decision is about which changes nothing of it: what is waited for is told, too.
    fn decided(&self, answer: &Answer) -> Option<(ObjectKey, bool)> {
        match answer {
            Answer::Unchanged(object) if self.decision.is_some() => Some((object.key().clone(), false)),
            _ => None,
        }
    }

    /// Hears what came of the calls: it is prepared again.
    ///
    /// # Errors
    /// When it has asked often enough.
    pub fn heard(&mut self, replies: Vec<(Call, Reply)>) -> Result<(), Status> {
        match self.inquiry.hear(replies) {
            true => Ok(()),
            false => Err(Status::too_many_requests("webhooks were asked again and again; try again")),
        }
    }

    /// Hears what became of the write: the answer to the mutation, or `None` where it is to be prepared again.
    pub fn answered(&mut self, committed: Result<Commit, Refusal>) -> Option<Result<Outcome, Status>> {
        let Asked { about, removes, answer, creates, warnings } = self.under_way.take()?;
        match committed {
            Ok(commit) => Some(Ok(settled(answer, Some((commit, removes)), creates, warnings))),
            Err(refusal) if !may_try_again(&self.mutation, &refusal) => Some(Err(refusal_status(&refusal, &about))),
            Err(_) if self.tries < TRIES_MAX => {
                self.inquiry.draw_anew();
                None
            }
            Err(_) => Some(Err(Status::too_many_requests(
                "the object is being changed faster than it can be written; try again",
            ))),
        }
    }
}

/// The object the write is about, and whether it goes.
fn about(write: &Write) -> Option<(ObjectKey, bool)> {
    let change = write.changes.first()?;
    Some((change.key.clone(), matches!(change.put, Put::Nothing)))
}

/// Whether a refusal is no answer yet: the client insists on no revision, or what was drawn for it was taken meanwhile.
fn may_try_again(mutation: &Mutation, refusal: &Refusal) -> bool {
    match (&mutation.action, refusal) {
        // An apply that creates met a create; one that changes met a removal.
        (Action::Patch(PatchKind::Apply, _), Refusal::Exists(_) | Refusal::Missing(_)) => true,
        (Action::Create(_), Refusal::Exists(_)) => mutation.target.name.is_none(),
        // Prepared anew, a write that names its revision is refused by the gateway, as it should be.
        (_, Refusal::Changed { .. }) => true,
        // What was drawn from the free ones is no longer free: another is drawn.
        (_, Refusal::Unmet { unmet: Unmet::Taken { .. }, .. }) => true,
        _ => false,
    }
}

fn settled(answer: Answer, committed: Option<(Commit, bool)>, created: bool, warnings: Vec<String>) -> Outcome {
    match (answer, committed) {
        (Answer::Preview(object), _) => Outcome::Preview { object, created, warnings },
        (Answer::Unchanged(object), _) => Outcome::Object { object, created: false, removed: false, warnings },
        (Answer::Committed, committed) => {
            let (commit, removed) = committed.expect("an answer that is committed has a commit");
            let object = commit.objects.into_iter().next().expect("every change leaves an object");
            Outcome::Object { object, created, removed, warnings }
        }
    }
}
