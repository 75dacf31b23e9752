//! What carries out a pod's commands: Docker, or memory.

pub mod docker;
pub mod simulated;

use futures::future::BoxFuture;

use crate::host::PodRef;
use crate::pod::probe::ProbeOrder;
use crate::pod::{Command, Outcome};

/// What carries out a pod's commands.
pub trait Runtime: Send + Sync + 'static {
    /// Carries out a command. What must be ordered among commands of one pod is so by the order of these calls.
    fn run(&self, pod: PodRef, command: Command) -> BoxFuture<'static, Outcome>;

    /// Makes a probe: nothing wrong, or what.
    fn probe(&self, pod: PodRef, order: ProbeOrder) -> BoxFuture<'static, Result<(), String>>;
}
