//! The harness of the whole-system tests: a cluster of its own for each test, and clients to look at it from outside.
//!
//! Nothing here imports the product. A test drives the `sampan` binary, `kubectl` and `docker` as a user does, and the
//! API over TLS where `kubectl` would refuse to send what the test wants to send.
//!
//! * [`Cluster`] starts `sampan up` on folders of its own, kills it, starts it again, and removes everything at the end,
//!   whether the test passed or not.
//! * [`Machine`] is a network namespace with a Docker of its own, on a [`Network`] with others.
//! * [`Node`] runs `sampan node`, in a process of its own, for a cluster it joins.
//! * [`Api`] sends any bytes to the API server and gives back what came.
//! * [`Collector`] takes logs, by Fluent's own library; a [`Relay`] before it swallows its answers.
//! * [`console`] reads the commands of a page, and runs them; [`SourceCopy`] is Sampan's source for them to stand in.
//! * [`disk::Disk`] is a disk that can be full.
//! * [`table`] plays tables of command lines.
//! * [`Load`] sends requests to a Service while something happens to its pods, and tells which of them failed.
//! * [`eventually`] waits for a condition, with a deadline and a word for what did not come true.

pub mod api;
pub mod cluster;
pub mod collector;
pub mod console;
pub mod disk;
pub mod docker;
pub mod lan;
pub mod load;
pub mod manifest;
pub mod node;
pub mod relay;
pub mod run;
pub mod source;
pub mod table;
pub mod wait;
pub mod wire;

pub use api::Api;
pub use cluster::{Cluster, Setup};
pub use collector::Collector;
pub use lan::{Machine, Network};
pub use load::Load;
pub use node::Node;
pub use relay::Relay;
pub use run::{Run, run};
pub use source::SourceCopy;
pub use wait::{eventually, while_holding};
pub use wire::Answer;
