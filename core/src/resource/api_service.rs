//! APIServices: versions of groups of the API that another server answers for. Whether it does is for the API server to tell, which
//! passes requests on to it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{fill, present, set};
use super::read::{items, text};
use super::table::age;
use super::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext};
use crate::object::{ResourceType, names};
use crate::status::StatusCause;

const GROUP: &str = "apiregistration.k8s.io";

/// The resource type.
pub const API_SERVICES: ResourceType = ResourceType::new(GROUP, "apiservices");

/// The port of a Service that names none.
const HTTPS_PORT: i64 = 443;
/// How far down a priority may be.
const PRIORITY_MAX: i64 = 20_000;
const PRIORITY_IN_GROUP_MAX: i64 = 1000;

struct ApiServiceStrategy;

/// Whether it is answered for here.
fn is_local(object: &Value) -> bool {
    object.pointer("/spec/service").is_none_or(Value::is_null)
}

/// What is told of one that is.
fn local(now: Timestamp) -> Value {
    let since = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = json!({"type": "Available", "status": "True", "reason": "Local",
        "message": "Local APIServices are always available", "lastTransitionTime": since});
    json!({ "conditions": [condition] })
}

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
    fn default(&self, object: &mut Value) {
        if let Some(service) = present(object, "spec").and_then(|spec| present(spec, "service")) {
            fill(service, "port", HTTPS_PORT);
        }
    }

    fn prepare_create(&self, object: &mut Value, cx: &WriteContext<'_>) {
        let status = if is_local(object) { local(cx.now) } else { json!({}) };
        set(object, "status", status);
    }

    /// One that names a Service no more is answered for here.
    fn prepare_update(&self, object: &mut Value, old: &Value, cx: &WriteContext<'_>) {
        if is_local(object) && !is_local(old) {
            set(object, "status", local(cx.now));
        }
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
        let (behind, bundle, unchecked) = (spec.at("service"), spec.at("caBundle"), spec.at("insecureSkipTLSVerify"));
        let has_bundle = !bundle.text().is_empty();
        if behind.is_set() {
            faults.required_text(&behind.at("namespace"));
            faults.required_text(&behind.at("name"));
            let port = behind.at("port");
            if port.number().is_some_and(|port| !(1..=65_535).contains(&port)) {
                faults.invalid(&port, "port is not valid: must be between 1 and 65535, inclusive");
            }
            if unchecked.is_true() && has_bundle {
                faults.invalid(&unchecked, "may not be true if caBundle is present");
            }
        } else {
            if has_bundle {
                faults.invalid_hidden(&bundle, "local APIServices may not have a caBundle");
            }
            if unchecked.is_true() {
                faults.invalid(&unchecked, "local APIServices may not have insecureSkipTLSVerify");
            }
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
            available.unwrap_or_else(|| "Unknown".to_owned()).into(),
            age(object, now),
        ]
    }
}
