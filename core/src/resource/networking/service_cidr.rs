//! ServiceCIDRs: where addresses of Services are drawn from. There is one, and no other is drawn from.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::ResourceType;
use crate::resource::address::{address_range, range};
use crate::resource::check::{Faults, Field};
use crate::resource::service::address_range as service_range;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const SERVICE_CIDRS: ResourceType = ResourceType::new("networking.k8s.io", "servicecidrs");
/// The one that every cluster has.
pub const DEFAULT_SERVICE_CIDR: &str = "kubernetes";

struct ServiceCidrStrategy;

/// What a ServiceCIDR is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("networking.k8s.io", "v1", "io.k8s.api.networking.v1.ServiceCIDR");
    ResourceDefinition {
        scope: Scope::Cluster,
        has_status: true,
        ..ResourceDefinition::plain(SERVICE_CIDRS, "ServiceCIDR", "servicecidr", version, ServiceCidrStrategy)
    }
}

impl Strategy for ServiceCidrStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let cidrs = cidrs(object);
        let all: Vec<Field<'_>> = cidrs.items().collect();
        if all.is_empty() {
            faults.required(&cidrs, "at least one CIDR required");
        } else if all.len() > 2 {
            faults.invalid(&cidrs, "may only hold up to 2 values");
        }
        all.iter().for_each(|cidr| faults.rule(cidr, address_range));
        let families: Vec<bool> = all.iter().filter_map(|cidr| Some(range(cidr.text())?.0.is_ipv4())).collect();
        if let [first, second] = families[..]
            && first == second
        {
            let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            faults.invalid(&cidrs, why);
        }
        faults.errors.causes()
    }

    /// A range of the other family may be added; all else stays.
    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (new, old): (Vec<_>, Vec<_>) = (cidrs(object).items().collect(), cidrs(old).items().collect());
        if new.len() != old.len() && (new.len(), old.len()) != (2, 1) {
            faults.invalid(&cidrs(object), "field is immutable");
        } else {
            new.iter().zip(&old).for_each(|(new, old)| faults.immutable(new, old));
        }
        faults.errors.causes()
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let is_other = object.pointer("/metadata/name").and_then(Value::as_str) != Some(DEFAULT_SERVICE_CIDR);
        let why =
            || format!("Services are given addresses of {} alone, whatever other ranges there are", service_range());
        is_other.then(why).into_iter().collect()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("CIDRs", "The ranges of addresses."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let cidrs = cidrs(object);
        let cidrs: Vec<Field<'_>> = cidrs.items().collect();
        let cidrs: Vec<&str> = cidrs.iter().map(Field::text).collect();
        vec![cidrs.join(",").into(), age(object, now)]
    }
}

fn cidrs(object: &Value) -> Field<'_> {
    Field::root(object).at("spec").at("cidrs")
}
