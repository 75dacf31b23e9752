//! The node: pods on Docker, probes, logs, volumes.
//!
//! A node is a client of the Kubernetes API and knows nothing of the store behind it: it would run against a kube-apiserver
//! as it runs against ours.
//!
//! ```text
//! API server ──watch──► shell ──Message──► Host ──Scene──► pod machine
//!     ▲                   │                  │
//!     └──status, events───┴──────Effect──────┘──► Runtime (Docker, or memory)
//! ```
//!
//! * [`pod`] is one pod: pure functions over what is known of it, and the machine that names its state.
//! * [`host`] is many pods: messages in, effects out, a clock passed in.
//! * `logs` collects what containers write, on a thread of its own.
//! * [`requests`] is what a node asks of the API server, as values, and what follows from the answers.
//! * [`runtime`] carries commands out.
//! * [`services`] is what the node knows of Services, once for all who ask.
//! * [`proxy`] leads what is sent to Services to their pods, in the kernel.
//! * `routes` leads to the pods of other nodes.
//! * [`dns`] tells pods the addresses of names.
//! * `identity` is who a node on a machine of its own is to its cluster.
//! * The shell spawns, sleeps and speaks HTTP; [`serve_kubelet`] answers the API server.

mod agent;
mod config;
pub mod dns;
mod error;
pub mod host;
mod identity;
mod kubelet;
mod logs;
mod netlink;
pub mod pod;
pub mod proxy;
mod removal;
pub mod requests;
mod routes;
pub mod runtime;
pub mod services;
mod shell;
mod simulated;

pub use agent::NodeAgent;
pub use config::{DockerEndpoint, NodeConfig, PodRange};
pub use error::NodeError;
pub use identity::{IdentityError, Joining, NodeIdentity, Trust};
pub use kubelet::{KubeletApi, listen_kubelet, serve_kubelet};
pub use removal::remove_folder;
pub use runtime::docker::{clusters, host_address, remove_everything};
pub use sampan_logs::Limits as LogLimits;
pub use sampan_trust::{Pin, PinFault};
pub use simulated::SimulatedNodes;
