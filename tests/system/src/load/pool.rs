//! The connections that are kept to one door.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};

use super::connection::{Answer, Connection};

/// Connections kept to a door. More than requests are ever under way at once: most of them wait, as a browser's do.
const KEPT: usize = 16;

/// A door, and the connections kept to it.
#[derive(Debug)]
pub(super) struct Pool {
    door: SocketAddr,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Who has waited longest stands first.
    idle: VecDeque<Connection>,
    busy: usize,
}

impl Pool {
    pub(super) fn new(door: SocketAddr) -> Self {
        Self { door, kept: Mutex::default() }
    }

    pub(super) fn door(&self) -> SocketAddr {
        self.door
    }

    /// Asks on a connection of its own. The pod that answered.
    pub(super) async fn ask_freshly(&self) -> Result<String> {
        let answer = Connection::open(self.door).await?.ask(false).await?;
        pod(&answer)
    }

    /// Asks on a connection that is kept. The pod that answered.
    pub(super) async fn ask_on_kept(&self) -> Result<String> {
        let mut busy = Busy::take(self)?;
        let mut connection = match busy.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.door).await?,
        };
        let answer = connection.ask(true).await?;
        busy.connection = Some(connection).filter(|_| !answer.is_last);
        pod(&answer)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections that are kept; it is given back with the connection that is good for another request.
struct Busy<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl<'p> Busy<'p> {
    /// With the connection that has waited longest, or with none while fewer are open than are kept.
    fn take(pool: &'p Pool) -> Result<Self> {
        pool.kept().busy += 1;
        let mut busy = Self { pool, connection: None };
        while let Some(connection) = pool.next() {
            if !connection.has_ended()? {
                busy.connection = Some(connection);
                break;
            }
        }
        Ok(busy)
    }
}

impl Pool {
    fn next(&self) -> Option<Connection> {
        let mut kept = self.kept();
        if kept.idle.len() + kept.busy > KEPT { kept.idle.pop_front() } else { None }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut kept = self.pool.kept();
        kept.busy -= 1;
        kept.idle.extend(self.connection.take());
    }
}

/// The pod that gave the demo's front page.
fn pod(answer: &Answer) -> Result<String> {
    let named = answer.page.strip_prefix("Hello from ").and_then(|rest| rest.split_once(", version v"));
    let (pod, _) = named.with_context(|| format!("the body is not the page: {}", answer.page.trim()))?;
    Ok(pod.to_owned())
}
