//! APIServices: groups of the API that another server is to answer for. Nothing is passed on to such servers yet, and each
//! says so of itself.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::set;
use super::read::{items, text};
use super::table::age;
use super::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext};
use crate::object::{ResourceType, names};
use crate::status::StatusCause;

const GROUP: &str = "apiregistration.k8s.io";

/// The resource type.
const API_SERVICES: ResourceType = ResourceType::new(GROUP, "apiservices");

/// How far down a priority may be.
const PRIORITY_MAX: i64 = 20_000;
const PRIORITY_IN_GROUP_MAX: i64 = 1000;

struct ApiServiceStrategy;

/// What an APIService is.
pub(super) fn definition() -> ResourceDefinition {
    let schema = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";
    let version = ServedVersion::stored(GROUP, "v1", schema);
    ResourceDefinition {
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        has_status: true,
        ..ResourceDefinition::plain(API_SERVICES, "APIService", "apiservice", version, ApiServiceStrategy)
    }
}

impl Strategy for ApiServiceStrategy {
    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        let is_local = object.pointer("/spec/service").is_none_or(Value::is_null);
        let (status, reason, message) = match is_local {
            true => ("True", "Local", "Local APIServices are always available"),
            false => ("False", "NotAggregated", "requests are not passed on to other servers yet"),
        };
        let condition = json!({"type": "Available", "status": status, "reason": reason, "message": message});
        set(object, "status", json!({ "conditions": [condition] }));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (service, spec) = (Field::root(object), Field::root(object).at("spec"));
        let (group, version) = (spec.at("group"), spec.at("version"));
        let expect = format!("{}.{}", version.text(), group.text());
        if service.at("metadata").at("name").text() != expect {
            let why = format!("must be `spec.version+\".\"+spec.group`: {expect:?}");
            faults.invalid(&service.at("metadata").at("name"), why);
        }
        faults.required_rule(&version, names::dns_1035_label);
        for (priority, most) in [("groupPriorityMinimum", PRIORITY_MAX), ("versionPriority", PRIORITY_IN_GROUP_MAX)] {
            let field = spec.at(priority);
            if field.number().is_none_or(|number| !(1..=most).contains(&number)) {
                faults.invalid(&field, format!("must be positive and less than {most}"));
            }
        }
        let behind = spec.at("service");
        if behind.is_set() {
            faults.required_text(&behind.at("namespace"));
            faults.required_text(&behind.at("name"));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name."),
            Column::text("Service", "Who answers for it."),
            Column::text("Available", "Whether it is answered for."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let behind = match text(object, "/spec/service/name") {
            "" => "Local".to_owned(),
            name => format!("{}/{name}", text(object, "/spec/service/namespace")),
        };
        let available = items(object, "/status/conditions").find(|it| text(it, "/type") == "Available");
        let available = available.map(|it| match (text(it, "/status"), text(it, "/reason")) {
            ("True", _) | (_, "") => text(it, "/status").to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        });
        vec![
            text(object, "/metadata/name").into(),
            behind.into(),
            available.unwrap_or_default().into(),
            age(object, now),
        ]
    }
}
