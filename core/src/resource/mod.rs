//! What a resource type is, the registry of them, and the kinds that have no operator of their own.
//!
//! # Adding a kind
//! 1. Its shape is a published schema: `Schema::named` knows those of Kubernetes; one of our own goes to
//!    `core/schema/sampan-v1.json`.
//! 2. One unit struct implements [`Strategy`]: write only the methods in which the kind differs from a plain object.
//!    [`fill`] has the words for defaulting, [`table`] those for columns, [`read`] those for looking into a value.
//! 3. One function `definition() -> ResourceDefinition` starts from [`ResourceDefinition::plain`] and names what it has.
//! 4. The definition is registered: here in [`builtin`], or by the operator's crate, whose `resource.rs` it then is.
//! 5. Tables of accepted and refused manifests stand beside it: `tests/manifests/<kind>.yaml`.
//!
//! Workloads share `pod::template` and [`workload`].

pub mod check;
mod config_map;
mod definition;
mod event;
pub mod fill;
pub mod label_selector;
mod lease;
mod manifest_file;
mod metadata;
mod namespace;
mod node;
pub mod pod;
pub mod read;
mod registry;
mod secret;
mod service_account;
pub mod table;
pub mod workload;

pub use config_map::CONFIG_MAPS;
pub use definition::{
    Cell, Column, CustomSchema, FieldGetter, ResourceDefinition, ScalePaths, SchemaSource, Scope, ServedVersion,
    Strategy, WriteContext,
};
pub use event::EVENTS;
pub use lease::LEASES;
pub use manifest_file::MANIFEST_FILES;
pub use metadata::validate_metadata;
pub use namespace::NAMESPACES;
pub use node::NODES;
pub use pod::PODS;
pub use registry::{Registry, Served};
pub use secret::SECRETS;
pub use service_account::SERVICE_ACCOUNTS;

/// The kinds that have no operator of their own.
pub fn builtin() -> Vec<ResourceDefinition> {
    vec![
        config_map::definition(),
        event::definition(),
        lease::definition(),
        manifest_file::definition(),
        namespace::definition(),
        node::definition(),
        pod::definition(),
        secret::definition(),
        service_account::definition(),
    ]
}
