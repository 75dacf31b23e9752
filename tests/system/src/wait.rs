//! Waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at. What is waited for happens outside this process, so there is no event to wait on.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until `look` finds something, and gives it back.
///
/// # Errors
/// When the deadline passes, naming `what` was waited for and the last reason `look` gave.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if started.elapsed() >= within {
            match seen {
                Err(error) => bail!("{what}: not within {within:?}; last: {error:#}"),
                Ok(_) => bail!("{what}: not within {within:?}"),
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks at a condition for the whole of `length`, and fails as soon as it is broken.
///
/// # Errors
/// What `look` says.
pub fn while_holding(length: Duration, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < length {
        look()?;
        std::thread::sleep(LOOK_EVERY);
    }
    look()
}
