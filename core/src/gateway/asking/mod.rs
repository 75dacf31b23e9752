//! Questions to webhooks, of whichever kind, and what came of them.
//!
//! Preparing a mutation does no I/O. Where a webhook is to be asked that has not answered yet, the preparation ends with the
//! [`Call`]s to make, and runs again with what was [answered](Answers). An answer holds for the question it was given to, to
//! the byte: where the world has moved on, the webhook is asked again. So whoever asks comes back with the same draw and the
//! same clock, see [`Inquiry`].

mod answers;
mod call;
mod inquiry;
mod port;

pub use answers::{Answers, Reply};
pub use call::Call;
pub use inquiry::Inquiry;
pub use port::{NoWebhooks, Told, WebhookClient};
