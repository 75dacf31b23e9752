//! A question to a webhook, and where it goes.

use std::time::Duration;

use bytes::Bytes;

/// A question to be put to a webhook.
#[derive(Debug, Clone)]
pub struct Call {
    /// The webhook's name.
    pub webhook: String,
    /// Where it is posted to.
    pub url: String,
    /// Who is connected to in place of the host of the URL: the address of a Service, and a port.
    pub connect_to: Option<(String, u16)>,
    /// The authorities that may vouch for the webhook, as PEM; those of the host where there are none.
    pub authorities: Bytes,
    /// How long it may take.
    pub timeout: Duration,
    /// What is posted, as JSON.
    pub body: Bytes,
    /// The longest answer that is read, in bytes.
    pub answer_bytes_max: usize,
    /// What tells the question from others: all of it but its uid, and who is asked.
    pub(in crate::gateway) question: Bytes,
    pub(in crate::gateway) uid: String,
}
