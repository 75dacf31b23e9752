//! What the server can be told to do wrong, by environment variable at the start or by HTTP while it runs.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The server's behaviour.
///
/// | variable | meaning |
/// | --- | --- |
/// | `PORT` | where to listen, 8080 unless set |
/// | `FAIL_READY`, `FAIL_LIVE` | begin not ready, not alive (any value) |
/// | `READY_AFTER_MS` | become ready only then |
/// | `SLOW_MS` | wait so long before each answer |
/// | `STOP_DELAY_MS` | take so long to stop |
/// | `EXIT_AFTER_MS`, `EXIT_CODE` | exit on its own |
#[derive(Debug)]
pub(crate) struct Knobs {
    started: Instant,
    ready: AtomicBool,
    alive: AtomicBool,
    slow_ms: AtomicU64,
    port: u16,
    ready_after: Duration,
    stop_delay: Duration,
    exit: Option<(Duration, i32)>,
}

impl Knobs {
    /// The behaviour the environment asks for.
    pub(crate) fn from_environment() -> Self {
        Self {
            started: Instant::now(),
            ready: AtomicBool::new(std::env::var_os("FAIL_READY").is_none()),
            alive: AtomicBool::new(std::env::var_os("FAIL_LIVE").is_none()),
            slow_ms: AtomicU64::new(number("SLOW_MS").unwrap_or(0)),
            port: number("PORT").unwrap_or(8080),
            ready_after: Duration::from_millis(number("READY_AFTER_MS").unwrap_or(0)),
            stop_delay: Duration::from_millis(number("STOP_DELAY_MS").unwrap_or(0)),
            exit: number("EXIT_AFTER_MS").map(|after| (Duration::from_millis(after), number("EXIT_CODE").unwrap_or(1))),
        }
    }

    /// Where to listen.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How long a stop takes.
    pub(crate) fn stop_delay(&self) -> Duration {
        self.stop_delay
    }

    /// When to exit unasked, and with which code.
    pub(crate) fn exit_on_its_own(&self) -> Option<(Duration, i32)> {
        self.exit
    }

    /// How long the server has run.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it takes traffic.
    pub(crate) fn is_ready(&self) -> bool {
        self.uptime() >= self.ready_after && self.ready.load(Ordering::Relaxed)
    }

    /// Whether it works at all.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// How long to wait before an answer.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.slow_ms.load(Ordering::Relaxed))
    }

    /// Begins or ends being ready.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Begins or ends being alive.
    pub(crate) fn set_alive(&self, alive: bool) {
        self.alive.store(alive, Ordering::Relaxed);
    }

    /// Makes every answer wait.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.slow_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

fn number<N: FromStr>(variable: &str) -> Option<N> {
    std::env::var(variable).ok()?.parse().ok()
}
