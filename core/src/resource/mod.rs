//! What a resource type is, the registry of them, and the kinds that have no operator of their own.
//!
//! # Adding a kind
//! 1. Its shape is a published schema: `Schema::named` knows those of Kubernetes; one of our own goes to
//!    `core/schema/sampan-v1.json`.
//! 2. One unit struct implements [`Strategy`]: write only the methods in which the kind differs from a plain object.
//!    [`fill`] has the words for defaulting, [`table`] those for columns, [`read`] those for looking into a value.
//! 3. One function `definition() -> ResourceDefinition` starts from [`ResourceDefinition::plain`] and names what it has.
//! 4. The definition is registered: here in [`builtin`], or by the operator's crate, whose `resource.rs` it then is.
//! 5. What is stored, accepted, refused and shown of it is a table: `tests/manifests/<kind>.yaml`, read by `tests/kinds.rs`.
//! 6. It gets a sample and a row in `tests/system/tests/all/kinds.{yaml,rs}`, where real kubectl sees it.
//!
//! Workloads share [`pod::default::pod_template`], [`pod::validate_template`] and [`workload`]; what has addresses shares
//! [`address`]; what claims storage shares [`volume::claim`].
//!
//! # Taking a kind over
//! A kind without an operator is stored, validated and shown all the same. When it gets a crate, its file or folder moves
//! there as `resource.rs`, unchanged but for `super` and `crate` becoming `sampan_core` (all it is made of is public), its line here
//! goes, and the crate's `definition()` joins `cli/src/operators.rs`. Its table moves along.

pub mod address;
mod admission_registration;
mod api_service;
mod apps;
mod autoscaling;
pub mod batch;
mod certificate_signing_request;
pub mod check;
mod config_map;
pub mod custom;
mod definition;
mod device;
mod effect;
mod endpoints;
pub mod equal;
mod event;
pub mod fill;
mod flow_control;
pub mod label_selector;
mod lease;
mod log_output;
mod manifest_file;
mod metadata;
mod metrics;
mod namespace;
mod networking;
mod node;
mod operator_plugin;
pub mod pod;
pub mod pod_disruption_budget;
mod pod_template;
mod priority_class;
mod proxy;
mod question;
mod quota;
mod rbac;
pub mod read;
mod registry;
mod replication_controller;
mod review;
mod runtime_class;
mod secret;
pub mod service;
mod service_account;
mod storage;
mod subresource;
pub mod table;
mod verb;
pub mod volume;
mod webhook_address;
pub mod workload;

pub(crate) use admission_registration::{AUTHORIZER, PARAMETERS, REQUEST_NAMES, RequestNaming, compile_on_request};
pub use admission_registration::{
    MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS, MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS, VALIDATING_WEBHOOK_CONFIGURATIONS,
    validate_webhook_url,
};
pub use api_service::API_SERVICES;
pub use apps::{CONTROLLER_REVISIONS, DAEMON_SETS, STATEFUL_SETS};
pub use autoscaling::HORIZONTAL_POD_AUTOSCALERS;
pub use batch::{CRON_JOBS, JOBS, schedule};
pub use certificate_signing_request::CERTIFICATE_SIGNING_REQUESTS;
pub use config_map::CONFIG_MAPS;
pub(crate) use definition::group_version;
pub use definition::{
    Cell, Column, CustomSchema, FieldGetter, ResourceDefinition, ScalePaths, SchemaSource, Scope, ServedVersion,
    Strategy, ValuesGetter, WriteContext,
};
pub use effect::EFFECTS;
pub use endpoints::{ENDPOINT_SLICES, ENDPOINTS};
pub use event::{EVENT_TTL_SECONDS, EVENTS};
pub use lease::LEASES;
pub use log_output::{LOG_OUTPUTS, secrets_of};
pub use manifest_file::MANIFEST_FILES;
pub use metadata::validate_metadata;
pub use metrics::Measure;
pub use namespace::NAMESPACES;
pub use networking::{DEFAULT_SERVICE_CIDR, INGRESS_CLASSES, INGRESSES, IP_ADDRESSES, NETWORK_POLICIES, SERVICE_CIDRS};
pub(crate) use node::wants_pod_range;
pub use node::{NODES, UNREADY};
pub use operator_plugin::{OPERATOR_PLUGINS, PLUGIN_FINALIZER};
pub use pod::{PODS, SHUNNING, has_lower, is_kept_after_end, kept_after_end, siblings, was_evicted};
pub use pod_disruption_budget::POD_DISRUPTION_BUDGETS;
pub use pod_template::POD_TEMPLATES;
pub(crate) use priority_class::{ClassPriority, priority_of};
pub use priority_class::{PRIORITY_CLASSES, SYSTEM_PRIORITY_CLASSES};
pub use proxy::{Destination, ProxyName};
pub use question::{AnswerContext, Question};
pub use quota::{LIMIT_RANGES, RESOURCE_QUOTAS};
pub use rbac::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
pub use registry::{Registry, Served};
pub use replication_controller::REPLICATION_CONTROLLERS;
pub use runtime_class::RUNTIME_CLASSES;
pub use secret::SECRETS;
pub use service::SERVICES;
pub use service_account::SERVICE_ACCOUNTS;
pub use storage::{CSI_DRIVERS, CSI_NODES, STORAGE_CLASSES, VOLUME_ATTACHMENTS};
pub use subresource::{SpokenKind, SubresourceDefinition, SubresourceHandler};
pub use verb::Verb;
pub use volume::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};
pub use webhook_address::{ServiceReference, WebhookAddress, is_ca_bundle};

use crate::object::{ResourceType, SHARE};

/// Whether objects of a resource type are found by a field of theirs. By those of pods and Events that few ask for they are not:
/// each would be an entry in the index, paid by every change. Who selects by such a field alone has all objects gone through.
pub fn is_indexed(resource: ResourceType, field: &str) -> bool {
    let others = match resource {
        PODS => pod::NOT_INDEXED,
        EVENTS => event::NOT_INDEXED,
        _ => &[],
    };
    field != SHARE && !others.contains(&field)
}

/// The kinds that have no operator of their own.
pub fn builtin() -> Vec<ResourceDefinition> {
    let mut definitions = vec![
        api_service::definition(),
        autoscaling::definition(),
        certificate_signing_request::definition(),
        config_map::definition(),
        effect::definition(),
        event::definition(),
        lease::definition(),
        log_output::definition(),
        manifest_file::definition(),
        namespace::definition(),
        node::definition(),
        operator_plugin::definition(),
        pod::definition(),
        pod_disruption_budget::definition(),
        pod_template::definition(),
        priority_class::definition(),
        replication_controller::definition(),
        runtime_class::definition(),
        secret::definition(),
        service::definition(),
        service_account::definition(),
    ];
    definitions.extend(admission_registration::definitions());
    definitions.extend(apps::definitions());
    definitions.extend(batch::definitions());
    definitions.extend(device::definitions());
    definitions.extend(endpoints::definitions());
    definitions.extend(flow_control::definitions());
    definitions.extend(metrics::definitions());
    definitions.extend(networking::definitions());
    definitions.extend(quota::definitions());
    definitions.extend(storage::definitions());
    definitions.extend(volume::definitions());
    definitions.extend(rbac::definitions());
    definitions.extend(review::definitions());
    definitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_objects_are_not_found_by_can_be_selected_by() {
        for (definition, not_indexed) in
            [(pod::definition(), pod::NOT_INDEXED), (event::definition(), event::NOT_INDEXED)]
        {
            for field in not_indexed {
                assert!(definition.selectable_fields().any(|known| known == *field), "{}: {field}", definition.kind);
            }
        }
    }
}
