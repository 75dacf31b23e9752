//! Chance, from a seed.

use jiff::SignedDuration;
use sampan_core::entropy::{Entropy as _, SeededEntropy};

/// Draws from a seed. What is drawn for one purpose never shifts what is drawn for another: each has dice of its own.
#[derive(Debug, Clone)]
pub struct Dice(SeededEntropy);

impl Dice {
    /// The dice of a purpose under a seed.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |mixed, byte| (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(SeededEntropy::new(mixed))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.any() % limit.max(1)
    }

    /// Whether something happens that does so `times` in a thousand.
    pub fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(of.len() as u64)).unwrap_or_default();
        of.get(index)
    }

    /// A time from `least` to `most`.
    pub fn time(&mut self, least: SignedDuration, most: SignedDuration) -> SignedDuration {
        let room = u64::try_from((most - least).as_micros()).unwrap_or_default();
        least + SignedDuration::from_micros(i64::try_from(self.below(room + 1)).unwrap_or_default())
    }

    /// A wait around `usual`: up to twice as long, as often shorter as longer.
    pub fn around(&mut self, usual: SignedDuration) -> SignedDuration {
        self.time(SignedDuration::ZERO, usual * 2)
    }
}
