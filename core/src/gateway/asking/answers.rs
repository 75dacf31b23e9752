//! What webhooks have answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Call;
use crate::entropy::{Entropy, SeededEntropy};

/// What came of a call: the body of a response, or why there is none.
pub type Reply = Result<Bytes, String>;

/// What webhooks have answered so far, each to a question.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Questions are named by it.
    seed: u64,
    heard: BTreeMap<Bytes, Reply>,
}

impl Answers {
    /// Names the questions to come by a seed of the asker's own.
    pub(super) fn name_by(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Keeps what came of a call.
    pub(super) fn hear(&mut self, call: Call, reply: Reply) {
        self.heard.insert(call.question, reply);
    }

    /// What came of this very question; `None` where it has not been asked.
    pub(in crate::gateway) fn to(&self, call: &Call) -> Option<&Reply> {
        self.heard.get(&call.question)
    }

    /// A uid for a question: the same for the same.
    pub(in crate::gateway) fn uid_of(&self, question: &[u8]) -> String {
        SeededEntropy::new(xxh3_64_with_seed(question, self.seed)).uuid()
    }
}
