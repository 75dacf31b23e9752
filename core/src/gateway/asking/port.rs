//! Who puts questions to webhooks: it does I/O, and so stands outside.

use super::{Call, Reply};

/// What is done once replies are there.
pub type Told = Box<dyn FnOnce(Vec<(Call, Reply)>) + Send>;

/// Puts questions to webhooks.
pub trait WebhookClient: Send + Sync {
    /// Begins to put questions, all at once. `tell` is given a reply to each, none of them later than its call allows.
    fn ask(&self, calls: Vec<Call>, tell: Told);
}

/// Where no webhook can be reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWebhooks;

impl WebhookClient for NoWebhooks {
    fn ask(&self, calls: Vec<Call>, tell: Told) {
        let unreachable = |call: Call| (call, Err("no webhook can be reached from here".to_owned()));
        tell(calls.into_iter().map(unreachable).collect());
    }
}
