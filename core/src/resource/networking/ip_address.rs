//! IPAddresses: addresses that somebody says are somebody's.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::{ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::read::text;
use crate::resource::table::{NONE, age};
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const IP_ADDRESSES: ResourceType = ResourceType::new("networking.k8s.io", "ipaddresses");

struct IpAddressStrategy;

/// What an IPAddress is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("networking.k8s.io", "v1", "io.k8s.api.networking.v1.IPAddress");
    ResourceDefinition {
        short_names: &["ip"],
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(IP_ADDRESSES, "IPAddress", "ipaddress", version, IpAddressStrategy)
    }
}

impl Strategy for IpAddressStrategy {
    /// The address itself, as it is usually written.
    fn name_faults(&self, name: &str) -> Vec<String> {
        match name.parse::<std::net::IpAddr>() {
            Ok(address) if address.to_string() == name => Vec::new(),
            Ok(address) => vec![format!("must be in canonical form (\"{address}\")")],
            Err(_) => names::ip_address(name),
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let parent = parent(object);
        if !parent.is_set() {
            faults.required(&parent, "");
            return faults.errors.causes();
        }
        faults.optional_rule(&parent.at("group"), names::dns_1123_subdomain);
        faults.required_rule(&parent.at("resource"), names::path_segment);
        faults.required_rule(&parent.at("name"), names::path_segment);
        faults.optional_rule(&parent.at("namespace"), names::path_segment);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&parent(object), &parent(old));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("ParentRef", "Whose the address is."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let parent = object.pointer("/spec/parentRef").filter(|parent| parent.is_object());
        vec![parent.map_or(NONE.into(), |parent| shown(parent).into()), age(object, now)]
    }
}

fn parent(object: &Value) -> Field<'_> {
    Field::root(object).at("spec").at("parentRef")
}

/// As `services/default/kubernetes`, or `resources.group/name`.
fn shown(parent: &Value) -> String {
    let [group, resource, namespace, name] = ["/group", "/resource", "/namespace", "/name"].map(|it| text(parent, it));
    let resource = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }.to_lowercase();
    let parts = [resource.as_str(), namespace, name];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}
