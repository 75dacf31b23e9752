//! What one step of a machine did.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A transition taken, with the guard that let it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Crossing {
    /// The state left.
    pub from: &'static str,
    /// The state entered; the same as `from` where a state re-asserts its commands.
    pub to: &'static str,
    /// The guard's name as declared in the chart.
    pub guard: &'static str,
}

/// A named guard found unmet: what the object is waiting for.
///
/// Two are the same waiting when guard and detail agree: the time left is computed when shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unmet {
    /// The guard's name, such as `available ≥ minimum`.
    pub guard: String,
    /// The values it was decided on, such as `available 2, minimum 3`.
    pub detail: String,
    /// When the guard will be looked at again without any change, if a timer runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Records the crossings and the unmet guards of one step, in order.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    crossings: Vec<Crossing>,
    unmet: Vec<Unmet>,
    guard: Option<&'static str>,
}

impl Trace {
    /// Names the guard that lets the transition about to be taken. A handler calls it right before it returns one.
    pub fn because(&mut self, guard: &'static str) {
        self.guard = Some(guard);
    }

    /// Notes a transition taken. A machine's `after_transition` calls it.
    ///
    /// A transition no handler gave a reason for is recorded with an empty guard, which no chart declares, so that the
    /// tests see it.
    pub fn crossed(&mut self, from: &'static str, to: &'static str) {
        let guard = self.guard.take().unwrap_or("");
        self.crossings.push(Crossing { from, to, guard });
    }

    /// Notes what the object waits for.
    pub fn waiting_for(&mut self, guard: impl Into<String>, detail: impl Into<String>, until: Option<Timestamp>) {
        self.unmet.push(Unmet { guard: guard.into(), detail: detail.into(), until });
    }

    /// The transitions taken, in order.
    pub fn crossings(&self) -> &[Crossing] {
        &self.crossings
    }

    /// The guards found unmet, in order.
    pub fn unmet(&self) -> &[Unmet] {
        &self.unmet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_serves_one_transition() {
        let mut trace = Trace::default();
        trace.because("switched on");
        trace.crossed("Dark", "Lit");
        trace.crossed("Lit", "Dark");
        let guards: Vec<_> = trace.crossings().iter().map(|crossing| crossing.guard).collect();
        assert_eq!(guards, ["switched on", ""]);
    }
}
