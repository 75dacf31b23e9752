//! The Kubernetes HTTP API over the gateway.
//!
//! Everything is generic over the resource types of the registry: no kind is known by name, but for the few subresources
//! that are more than reading and writing an object (logs, exec, eviction, …), each a small module under `verbs`.
//!
//! * [`ApiServer`] answers connections: TCP with TLS, or streams opened inside the process with an identity attached.
//! * [`tls`] is the cluster's own authority, and what its certificates say of a client.
//! * [`HttpsWebhooks`] puts questions to webhooks.
//! * [`FrontProxy`] is why other servers of the API believe who asks.
//! * [`NodeConnector`] is how logs, exec, attach and port-forward reach a node.

mod aggregator;
mod call;
mod discovery;
mod feed;
mod health;
mod logs;
mod metrics;
mod node;
mod openid;
mod pins;
mod proxy;
mod request;
mod response;
mod server;
mod state;
pub mod tls;
mod turns;
mod verbs;
mod webhooks;
mod why;

pub use aggregator::FrontProxy;
pub use health::Part;
pub use node::{NodeConnector, NodeStream, RemoteNodes};
pub use server::{ApiServer, Caller, ListenError, VERSION, bind};
pub use webhooks::HttpsWebhooks;
