//! Somebody who asks webhooks, until it is done.

use jiff::Timestamp;

use super::{Answers, Call, Reply};
use crate::entropy::{Entropy, SeededEntropy};

/// How often webhooks are asked: each round may be another webhook, or another question since the world has moved on.
const ROUNDS_MAX: u32 = 100;

/// Somebody who asks webhooks. It prepares at one instant and by one draw, however often it comes back with answers: else
/// every question would be another.
#[derive(Debug, Clone, Default)]
pub struct Inquiry {
    drawn: Option<(Timestamp, u64)>,
    answers: Answers,
    rounds: u32,
}

impl Inquiry {
    /// The instant it prepares at and what it draws from: the same until it is to be another.
    pub fn draw(&mut self, now: Timestamp, entropy: &mut dyn Entropy) -> (Timestamp, SeededEntropy) {
        let (now, seed) = *self.drawn.get_or_insert_with(|| (now, entropy.next_u64()));
        self.answers.name_by(seed);
        (now, SeededEntropy::new(seed))
    }

    /// Draws anew the next time: what was drawn is taken, or what it was drawn for has changed.
    pub fn draw_anew(&mut self) {
        self.drawn = None;
    }

    /// What it has heard.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Hears what came of its calls. `false` where it has asked often enough.
    #[must_use]
    pub fn hear(&mut self, replies: Vec<(Call, Reply)>) -> bool {
        replies.into_iter().for_each(|(call, reply)| self.answers.hear(call, reply));
        self.rounds += 1;
        self.rounds < ROUNDS_MAX
    }
}
