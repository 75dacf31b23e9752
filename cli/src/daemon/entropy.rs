//! Randomness from the system.

use sampan_core::entropy::Entropy;

/// Draws from the system's generator.
pub(super) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().expect("the system has a source of randomness")
    }
}
