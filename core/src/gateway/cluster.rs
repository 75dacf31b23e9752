//! The gateway and the store as one.

use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::oneshot;
use jiff::Timestamp;
use sampan_machine::Decision;

use super::attempt::{Attempt, Next, Outcome};
use super::{Call, Gateway, Mutation, NoWebhooks, Reply, WebhookClient};
use crate::entropy::{Entropy, SeededEntropy};
use crate::plugin::Word;
use crate::resource::Registry;
use crate::status::Status;
use crate::store::{Snapshot, Store};
use crate::ticker::Ticker;

/// The gateway and the store as one: how requests, manifests and tests write. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    gateway: Arc<Gateway>,
    store: Store,
    clock: fn() -> Timestamp,
    entropy: Arc<Mutex<SeededEntropy>>,
    webhooks: Arc<dyn WebhookClient>,
    words: Arc<Ticker<Word>>,
}

impl Cluster {
    /// Puts gateway and store together. `clock` and `seed` come from the outside, as everywhere in the core.
    pub fn new(gateway: Arc<Gateway>, store: Store, clock: fn() -> Timestamp, seed: u64) -> Self {
        let entropy = Arc::new(Mutex::new(SeededEntropy::new(seed)));
        Self { gateway, store, clock, entropy, webhooks: Arc::new(NoWebhooks), words: Arc::default() }
    }

    /// The same, asking webhooks by way of `client`.
    #[must_use]
    pub fn with_webhooks(self, client: Arc<dyn WebhookClient>) -> Self {
        Self { webhooks: client, ..self }
    }

    /// The pipeline.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What plugins say on their standard error, as they say it.
    pub fn words(&self) -> &Arc<Ticker<Word>> {
        &self.words
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

    /// Prepares and commits a mutation, after what webhooks say of it, again where somebody else was faster and the mutation does not say on which
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
        let mut attempt = Attempt::new(mutation, decision);
        loop {
            let next = attempt.prepare(&self.gateway, &self.snapshot(), self.now(), &mut self.chance())?;
            let write = match next {
                Next::Settled(outcome) => return Ok(*outcome),
                Next::Commit(write) => write,
                Next::Ask(calls) => {
                    attempt.heard(self.ask(calls).await?)?;
                    continue;
                }
            };
            if let Some(answer) = attempt.answered(self.store.commit(*write).await) {
                return answer;
            }
        }
    }

    pub(super) async fn ask(&self, calls: Vec<Call>) -> Result<Vec<(Call, Reply)>, Status> {
        let (tell, told) = oneshot::channel();
        self.webhooks.ask(calls, Box::new(|replies| drop(tell.send(replies))));
        told.await.map_err(|_| Status::unavailable("webhooks are not asked any more"))
    }

    /// A uid nothing else has.
    pub(super) fn new_uid(&self) -> String {
        self.chance().uuid()
    }

    /// A generator of its own for each mutation keeps the lock to one draw.
    fn chance(&self) -> SeededEntropy {
        SeededEntropy::new(self.entropy.lock().unwrap_or_else(PoisonError::into_inner).next_u64())
    }
}
