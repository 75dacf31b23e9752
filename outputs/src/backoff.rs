//! How long to wait before a collector is tried again.

use std::time::Duration;

/// The first wait; each failure in a row doubles it.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait: so much later than a collector itself its lines come back, at most.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double, each by chance up to a half shorter, so that many nodes do not come back at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        // Without chance there is no jitter, and nothing else changes.
        let chance = getrandom::u32().unwrap_or(0);
        self.after(f64::from(chance) / f64::from(u32::MAX))
    }

    fn after(&mut self, chance: f64) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures += 1;
        whole.mul_f64(1.0 - chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_chance_shortens_them() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..9).map(|_| backoff.after(0.0)).collect();
        assert_eq!(waits[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(waits[8], LONGEST);
        let mut backoff = Backoff { failures: u32::MAX - 1 };
        assert_eq!(backoff.after(1.0), LONGEST / 2);
    }
}
