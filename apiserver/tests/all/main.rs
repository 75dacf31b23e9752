//! The API over real connections, on a store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect should fail"
)]

mod aggregator;
mod certificates;
mod discovery;
mod hostile;
mod metrics;
mod node_rights;
mod nodes;
mod objects;
mod proxies;
mod reviews;
mod roles;
mod secure;
mod subresources;
mod tokens;
mod watches;
mod webhooks;
mod world;
