//! Turns: how many requests are worked on at once.

use std::time::Duration;

use sampan_core::access::{Identity, MASTERS, NODES, SIMULATED_NODES};
use sampan_core::status::Status;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Writes that are worked on at once: the store groups far fewer.
const TURNS: usize = 512;
/// So many more are kept for administrators and nodes, whom nobody else's requests hold up.
const TURNS_VITAL: usize = 128;
/// How long a request waits for its turn before it is sent away.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// The groups of those the cluster cannot be without.
const VITAL: [&str; 3] = [MASTERS, NODES, SIMULATED_NODES];

/// Requests that are worked on take turns.
///
/// A turn is taken once a request is allowed and all of it is there: nobody holds one by sending slowly.
pub(crate) struct Turns {
    common: Semaphore,
    vital: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self { common: Semaphore::new(TURNS), vital: Semaphore::new(TURNS_VITAL) }
    }
}

impl Turns {
    /// A turn for a request of somebody; it ends with the permit.
    ///
    /// # Errors
    /// Where there is none in time.
    pub(crate) async fn take(&self, identity: &Identity) -> Result<SemaphorePermit<'_>, Status> {
        let is_vital = VITAL.iter().any(|group| identity.is_in(group));
        let turns = if is_vital { &self.vital } else { &self.common };
        match tokio::time::timeout(TURN_TIMEOUT, turns.acquire()).await {
            Ok(permit) => Ok(permit.expect("turns are never closed")),
            Err(_) => Err(Status::too_many_requests("too many requests, please try again later")),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    #[tokio::test]
    async fn nobody_holds_up_administrators_and_nodes() {
        let turns = Turns::default();
        let robot = Identity::service_account("default", "robot");
        // Polled but once: a task that yields to others would seem to wait.
        let take = |identity: &Identity| unconstrained(turns.take(identity)).now_or_never().and_then(Result::ok);
        let mut taken: Vec<_> = std::iter::from_fn(|| take(&robot)).take(TURNS + 1).collect();
        assert_eq!(taken.len(), TURNS);
        for group in VITAL {
            assert!(take(&Identity::new("somebody", &[group])).is_some(), "{group}");
        }
        taken.pop();
        assert!(take(&robot).is_some(), "a turn that ends is another's");
    }
}
