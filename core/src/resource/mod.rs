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

pub mod address;
mod apps;
pub mod batch;
pub mod check;
mod config_map;
mod definition;
mod effect;
pub mod equal;
mod event;
pub mod fill;
pub mod label_selector;
mod lease;
mod manifest_file;
mod metadata;
mod namespace;
mod node;
pub mod pod;
mod pod_template;
mod question;
mod rbac;
pub mod read;
mod registry;
mod replication_controller;
mod review;
mod secret;
pub mod service;
mod service_account;
mod storage;
mod subresource;
pub mod table;
mod verb;
pub mod volume;
pub mod workload;

pub use apps::{CONTROLLER_REVISIONS, DAEMON_SETS, STATEFUL_SETS};
pub use batch::{CRON_JOBS, JOBS};
pub use config_map::CONFIG_MAPS;
pub use definition::{
    Cell, Column, CustomSchema, FieldGetter, ResourceDefinition, ScalePaths, SchemaSource, Scope, ServedVersion,
    Strategy, WriteContext,
};
pub use effect::EFFECTS;
pub use event::EVENTS;
pub use lease::LEASES;
pub use manifest_file::MANIFEST_FILES;
pub use metadata::validate_metadata;
pub use namespace::NAMESPACES;
pub use node::NODES;
pub use pod::PODS;
pub use pod_template::POD_TEMPLATES;
pub use question::{AnswerContext, Question};
pub use rbac::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
pub use registry::{Registry, Served};
pub use replication_controller::REPLICATION_CONTROLLERS;
pub use secret::SECRETS;
pub use service::SERVICES;
pub use service_account::SERVICE_ACCOUNTS;
pub use storage::{CSI_DRIVERS, CSI_NODES, STORAGE_CLASSES, VOLUME_ATTACHMENTS};
pub use subresource::{SpokenKind, SubresourceDefinition, SubresourceHandler};
pub use verb::Verb;
pub use volume::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};

/// The kinds that have no operator of their own.
pub fn builtin() -> Vec<ResourceDefinition> {
    let mut definitions = vec![
        config_map::definition(),
        effect::definition(),
        event::definition(),
        lease::definition(),
        manifest_file::definition(),
        namespace::definition(),
        node::definition(),
        pod::definition(),
        pod_template::definition(),
        replication_controller::definition(),
        secret::definition(),
        service::definition(),
        service_account::definition(),
    ];
    definitions.extend(apps::definitions());
    definitions.extend(batch::definitions());
    definitions.extend(storage::definitions());
    definitions.extend(volume::definitions());
    definitions.extend(rbac::definitions());
    definitions.extend(review::definitions());
    definitions
}
