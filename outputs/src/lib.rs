//! Sends what containers wrote to collectors: Fluentd's forward protocol, HTTP with JSON lines, files.
//!
//! ```text
//! Store ──Outlet──► chunk ──encode──► body ──Destination──► collector
//!   ▲                                                           │ acknowledged
//!   └──────────────────── cursor on disk ◄──────────────────────┘
//! ```
//!
//! It knows neither Kubernetes nor Docker: who runs an output looks secrets and Services up for it ([`Surroundings`]).
//!
//! # Guarantees
//! Every line that is selected leaves at least once: its place in what is kept moves on only when a chunk was acknowledged. A
//! chunk that is sent again is the same to the byte, and every record has an id by which doubles are told. Whatever a
//! collector does, no container waits for it: lines are collected all the same, and limits alone take them away.

mod backoff;
mod connect;
mod destination;
mod encode;
mod file;
mod forward;
mod http;
#[cfg(feature = "receiver")]
pub mod receiver;
mod report;
mod sender;

use std::net::IpAddr;

pub use self::connect::{Place, Tls};
pub use self::destination::{Destination, SendError};
pub use self::file::FileSettings;
pub use self::forward::ForwardSettings;
pub use self::http::{HeaderSource, HttpSettings};
pub use self::report::{Report, State};
pub use self::sender::{Kept, Output, send};

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub name: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Display for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {:?} of secret {}/{}", self.key, self.namespace, self.name)
    }
}

/// What an output asks of who runs it.
#[async_trait::async_trait]
pub trait Surroundings: Send + Sync {
    /// What a key of a Secret holds, or why that is not known.
    async fn secret(&self, key: &SecretKey) -> Result<String, String>;

    /// Where a name leads that the machine's own name servers do not know: one of the cluster's Services.
    fn address(&self, host: &str) -> Option<IpAddr>;
}
