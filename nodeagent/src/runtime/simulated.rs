//! A runtime in memory: every command succeeds at once, every container runs until it is stopped, every probe succeeds.
//! Two programs are known by name, so that pods can come to an end: `true` and `false` end at once and mean what they say.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use jiff::Timestamp;

use super::Runtime;
use crate::host::PodRef;
use crate::pod::probe::ProbeOrder;
use crate::pod::{Command, ContainerRecord, ContainerSpec, Exit, Outcome, RunState, Sandbox};

/// What a process answers that was told to stop and did: 128 + SIGTERM.
const STOPPED_CODE: i32 = 143;

/// A runtime in memory.
pub struct SimulatedRuntime {
    clock: fn() -> Timestamp,
    serial: AtomicU64,
}

impl SimulatedRuntime {
    /// A runtime that reads the time from `clock`.
    pub fn new(clock: fn() -> Timestamp) -> Self {
        Self { clock, serial: AtomicU64::new(0) }
    }

    fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn start(&self, pod: &PodRef, spec: &ContainerSpec) -> ContainerRecord {
        let ended = code_at_once(spec).map(|code| RunState::Exited(Exit::of(code, (self.clock)())));
        ContainerRecord {
            id: format!("{:016x}{:016x}", crc(&pod.uid.0), self.next()),
            name: spec.name.clone(),
            attempt: spec.attempt,
            sandbox_attempt: spec.sandbox_attempt,
            backoff_seconds: spec.backoff_seconds,
            image: spec.image.clone(),
            bounds: spec.bounds,
            image_id: format!("sha256:{:016x}", crc(&spec.image)),
            started_at: Some((self.clock)()),
            state: ended.unwrap_or(RunState::Running),
        }
    }

    fn outcome(&self, pod: &PodRef, command: Command) -> Outcome {
        match command {
            Command::PrepareVolumes { digest, .. } => Outcome::VolumesReady(digest),
            Command::StartSandbox(spec) => {
                let serial = self.next();
                let address = format!("10.{}.{}.{}", 64 + (serial >> 16 & 63), serial >> 8 & 255, serial & 255);
                let id = format!("{:016x}{serial:016x}", crc(&pod.uid.0));
                Outcome::SandboxRunning(Sandbox { id, attempt: spec.attempt, running: true, address: Some(address) })
            }
            Command::EnsureImage { attempt, .. } => Outcome::ImagePresent { attempt, pulled: None },
            Command::StartContainer(spec) => Outcome::Started(self.start(pod, &spec)),
            Command::StopContainer { id, .. } | Command::KillContainer { id, .. } => {
                Outcome::Ended { id, exit: Exit::of(STOPPED_CODE, (self.clock)()) }
            }
            Command::ResizeContainer { id, bounds, .. } => Outcome::Resized { id, bounds },
            Command::RemoveContainer { .. } | Command::StopSandbox | Command::Clear => Outcome::Done(None),
        }
    }
}

/// The code a container ends with as soon as it has started; none where it runs until it is stopped.
fn code_at_once(spec: &ContainerSpec) -> Option<i32> {
    match spec.command.first().map(String::as_str) {
        Some("true") => Some(0),
        Some("false") => Some(1),
        _ => spec.is_init.then_some(0),
    }
}

/// A number that is the same for the same text.
fn crc(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Runtime for SimulatedRuntime {
    fn run(&self, pod: PodRef, command: Command) -> BoxFuture<'static, Outcome> {
        ready(self.outcome(&pod, command)).boxed()
    }

    fn probe(&self, _: PodRef, _: ProbeOrder) -> BoxFuture<'static, Result<(), String>> {
        ready(Ok(())).boxed()
    }
}
