//! The gateway and the store as one.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sampan_machine::Decision;
use serde_json::Value;

use super::{Action, Answer, Gateway, Mutation, PatchKind, Prepared, refusal_status};
use crate::entropy::{Entropy, SeededEntropy};
use crate::object::{Object, ObjectKey};
use crate::resource::Registry;
use crate::status::Status;
use crate::store::{Commit, Put, Refusal, Snapshot, Store, Write};

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

/// The gateway and the store as one: how requests, manifests and tests write. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    gateway: Arc<Gateway>,
    store: Store,
    clock: fn() -> Timestamp,
    entropy: Arc<Mutex<SeededEntropy>>,
}

impl Cluster {
    /// Puts gateway and store together. `clock` and `seed` come from the outside, as everywhere in the core.
    pub fn new(gateway: Arc<Gateway>, store: Store, clock: fn() -> Timestamp, seed: u64) -> Self {
        Self { gateway, store, clock, entropy: Arc::new(Mutex::new(SeededEntropy::new(seed))) }
    }

    /// The pipeline.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The resource types served.
    pub fn registry(&self) -> Arc<Registry> {
        self.gateway.registry()
    }

    /// The cluster as of the last acknowledged write.
    pub fn snapshot(&self) -> Snapshot {
        self.store.reader().snapshot()
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Prepares and commits a mutation, again where somebody else was faster and the mutation does not say on which
    /// revision it insists.
    ///
    /// # Errors
    /// Why nothing was written.
    pub async fn mutate(&self, mutation: Mutation) -> Result<Outcome, Status> {
        self.mutate_deciding(mutation, None).await
    }

    /// As [`mutate`](Self::mutate), with the decision that led to it kept beside the change.
    ///
    /// # Errors
    /// Why nothing was written.
    pub async fn mutate_deciding(&self, mutation: Mutation, decision: Option<Decision>) -> Result<Outcome, Status> {
        for _ in 0..TRIES_MAX {
            let Prepared { mut write, answer, creates, warnings } = self.prepare(&mutation)?;
            let Some((key, removed)) = about(&write) else {
                return Ok(settled(answer, None, creates, warnings));
            };
            write.decision.clone_from(&decision);
            match self.store.commit(write).await {
                Ok(commit) => return Ok(settled(answer, Some((commit, removed)), creates, warnings)),
                Err(refusal) if may_try_again(&mutation, &refusal) => {}
                Err(refusal) => return Err(refusal_status(&refusal, &key)),
            }
        }
        Err(Status::too_many_requests("the object is being changed faster than it can be written; try again"))
    }

    /// What would be committed for a mutation now.
    ///
    /// # Errors
    /// Why nothing would.
    pub fn prepare(&self, mutation: &Mutation) -> Result<Prepared, Status> {
        // A generator of its own for each mutation keeps the lock to one draw.
        let seed = self.entropy.lock().unwrap_or_else(PoisonError::into_inner).next_u64();
        self.gateway.prepare(&self.snapshot(), self.now(), &mut SeededEntropy::new(seed), mutation)
    }
}

/// The object the write is about, and whether it goes.
fn about(write: &Write) -> Option<(ObjectKey, bool)> {
    let change = write.changes.first()?;
    Some((change.key.clone(), matches!(change.put, Put::Nothing)))
}

/// Whether a refusal is no answer yet: the client insists on no revision, or a generated name was taken.
fn may_try_again(mutation: &Mutation, refusal: &Refusal) -> bool {
    match (&mutation.action, refusal) {
        // An apply that creates met a create; one that changes met a removal.
        (Action::Patch(PatchKind::Apply, _), Refusal::Exists(_) | Refusal::Missing(_)) => true,
        (Action::Create(_), Refusal::Exists(_)) => mutation.target.name.is_none(),
        // Prepared anew, a write that names its revision is refused by the gateway, as it should be.
        (_, Refusal::Changed { .. }) => true,
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
