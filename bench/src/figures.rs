//! Figures and how they are shown: measured beside budget.

use std::time::Duration;

use anyhow::{Result, ensure};

/// What is good: less of it, or more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// No budget: shown for comparison.
    Shown,
}

/// Prints figures as they come, and remembers what could not be measured.
#[derive(Debug)]
pub(crate) struct Report {
    figures: usize,
    over_budget: usize,
    broken: usize,
}

impl Report {
    /// Begins the table.
    pub(crate) fn start() -> Self {
        println!("{:<66} {:>12} {:>14}", "what", "measured", "budget");
        Self { figures: 0, over_budget: 0, broken: 0 }
    }

    /// One figure.
    pub(crate) fn figure(&mut self, what: &str, measured: f64, unit: &str, budget: Budget) {
        let (bound, kept) = match budget {
            Budget::AtMost(most) => (format!("≤ {}", number(most)), measured <= most),
            Budget::AtLeast(least) => (format!("≥ {}", number(least)), measured >= least),
            Budget::Shown => (String::new(), true),
        };
        self.figures += 1;
        self.over_budget += usize::from(!kept);
        let verdict = if kept { "" } else { "  over budget" };
        println!("{:<66} {:>12} {bound:>14}{verdict}", format!("{what} [{unit}]"), number(measured));
    }

    /// A benchmark that did not run to its end.
    pub(crate) fn broken(&mut self, name: &str, error: &anyhow::Error) {
        self.broken += 1;
        println!("{name}: not measured: {error:#}");
    }

    /// How fast the machine was before and after a benchmark, by what a fixed piece of work takes.
    pub(crate) fn pace(&self, name: &str, before_ms: f64, after_ms: f64) {
        println!("  ({name}: the machine's pace {} before, {} after)", number(before_ms), number(after_ms));
    }

    /// Ends the table.
    pub(crate) fn end(&self) -> Result<()> {
        println!("{} figures, {} over budget", self.figures, self.over_budget);
        ensure!(self.broken == 0, "{} benchmarks could not be measured", self.broken);
        Ok(())
    }
}

fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

/// Durations of many single runs.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that `percent` of all stay under, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_samples() {
        let mut samples = Samples::default();
        (1..=100).rev().for_each(|ms| samples.add(Duration::from_millis(ms)));
        assert!((samples.percentile_ms(50) - 51.0).abs() < 0.01);
        assert!((samples.percentile_ms(99) - 100.0).abs() < 0.01);
        assert!(Samples::default().percentile_ms(50).abs() < 0.01);
    }
}
