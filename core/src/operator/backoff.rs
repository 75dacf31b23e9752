//! How long to wait before another try.

use std::time::Duration;

use crate::entropy::Entropy;

/// The first wait. Short: most of what fails once works the second time.
const FIRST_MS: u64 = 50;
/// The longest wait. Somebody who mends the cause does not want to wait longer.
const LONGEST_MS: u64 = 30_000;

/// The wait before try number `tries` (from 1): doubling, between half and the whole of it, so that what failed together
/// does not come back together.
pub(super) fn delay(tries: u32, entropy: &mut dyn Entropy) -> Duration {
    let doubled = FIRST_MS.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_MS);
    Duration::from_millis(doubled / 2 + entropy.next_u64() % (doubled / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut entropy = SeededEntropy::new(1);
        for (tries, whole) in [(1, 50), (2, 100), (5, 800), (40, LONGEST_MS)] {
            for _ in 0..100 {
                let waited = delay(tries, &mut entropy).as_millis() as u64;
                assert!((whole / 2..=whole).contains(&waited), "{waited} ms at try {tries}");
            }
        }
    }
}
