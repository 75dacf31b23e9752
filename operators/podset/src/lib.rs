//! What several workload operators share: pods from templates, template hashes, revisions, ranking of victims, and the engine
//! that keeps so many pods; and which nodes admit a pod.
//!
//! A library, no operator: everything is a function of what was read.

pub mod affinity;
mod creation;
mod guard;
mod hash;
mod node;
mod ownership;
mod pod;
mod ranking;
pub mod replicas;
mod revision;
mod share;
pub mod taints;
mod template;

pub use creation::{CreationRefusal, create_pod, is_same_refusal};
pub use guard::owner_and_members;
pub use hash::{HASH_LABEL, template_hash};
pub use node::{condition_of, is_node_ready, node_differs};
pub use ownership::{adopted, controller_reference, controls, is_controlled, released};
pub use pod::{available_at, has_been_ready, is_active, is_available, is_ready, ready_since};
pub use ranking::{Candidate, deletion_order};
pub use revision::{REVISION_LABEL, Revision, beyond_limit, revision_of_pod, revision_of_template, template_of};
pub use share::rounded_up;
pub use template::pod_from_template;
