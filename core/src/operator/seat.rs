//! An operator with its machines, erased so that one driver drives many.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::{Chart, Machine, UNOBSERVED};

use super::{Context, Declaration, Operator, Wake, Yield};
use crate::entropy::Entropy;
use crate::object::ObjectKey;
use crate::resource::Registry;
use crate::store::Snapshot;
use crate::vital::panic_text;

/// What a step did.
pub(super) struct Stepped {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) out: Yield,
}

/// An operator that panicked, and what it said.
pub(super) struct StepPanic(pub(super) String);

/// One operator and its machines. A step works on a copy of the machine, kept when its commands commit.
pub(super) trait Seat: Send {
    fn declaration(&self) -> &Arc<Declaration>;
    fn chart(&self) -> &'static Chart;
    fn step(
        &mut self,
        wake: &Wake,
        snapshot: &Snapshot,
        registry: &Registry,
        now: Timestamp,
        hears_since: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Stepped, StepPanic>;
    /// The machine as the last step left it becomes the live one.
    fn keep(&mut self, key: &ObjectKey);
    /// The live machine stays as it was before the step.
    fn discard(&mut self, key: &ObjectKey);
    /// Drops the machine: the next step classifies anew.
    fn forget(&mut self, key: &ObjectKey);
    /// The same operator with copies of its machines, for simulation.
    fn fork(&self) -> Box<dyn Seat>;
    /// The live machine's state.
    fn state(&self, key: &ObjectKey) -> &'static str;
}

struct Machines<O: Operator> {
    operator: Arc<O>,
    declaration: Arc<Declaration>,
    live: BTreeMap<ObjectKey, O::Machine>,
    trial: BTreeMap<ObjectKey, O::Machine>,
}

/// An operator that has no machines yet.
pub(super) fn seat<O: Operator>(operator: O) -> Box<dyn Seat> {
    let declaration = Arc::new(operator.declaration());
    Box::new(Machines { operator: Arc::new(operator), declaration, live: BTreeMap::new(), trial: BTreeMap::new() })
}

impl<O: Operator> Seat for Machines<O> {
    fn declaration(&self) -> &Arc<Declaration> {
        &self.declaration
    }

    fn chart(&self) -> &'static Chart {
        self.operator.chart()
    }

    fn step(
        &mut self,
        wake: &Wake,
        snapshot: &Snapshot,
        registry: &Registry,
        now: Timestamp,
        hears_since: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Stepped, StepPanic> {
        let mut machine = self.live.get(&wake.key).cloned().unwrap_or_else(|| self.operator.machine());
        let from = machine.state();
        // The machine is a copy and the context is dropped, so nothing half-changed outlives a panic.
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let mut cx = Context::new(snapshot, registry, &self.declaration, wake, now, hears_since, entropy);
            self.operator.step(&mut machine, wake, &mut cx);
            cx.finish()
        }));
        let out = stepped.map_err(|payload| StepPanic(panic_text(&*payload)))?;
        let to = machine.state();
        self.trial.insert(wake.key.clone(), machine);
        Ok(Stepped { from, to, out })
    }

    fn keep(&mut self, key: &ObjectKey) {
        if let Some(machine) = self.trial.remove(key) {
            self.live.insert(key.clone(), machine);
        }
    }

    fn discard(&mut self, key: &ObjectKey) {
        self.trial.remove(key);
    }

    fn forget(&mut self, key: &ObjectKey) {
        self.trial.remove(key);
        self.live.remove(key);
    }

    fn fork(&self) -> Box<dyn Seat> {
        Box::new(Self {
            operator: self.operator.clone(),
            declaration: self.declaration.clone(),
            live: self.live.clone(),
            trial: self.trial.clone(),
        })
    }

    fn state(&self, key: &ObjectKey) -> &'static str {
        self.live.get(key).map_or(UNOBSERVED, Machine::state)
    }
}
