//! Ingresses: which HTTP requests go to which Service.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{FieldError, FieldPath, ResourceType, names};
use crate::resource::address::{shown_load_balancers, validate_load_balancers};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::set;
use crate::resource::read::{items, size, text};
use crate::resource::table::{age, or_none};
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const INGRESSES: ResourceType = ResourceType::new("networking.k8s.io", "ingresses");

/// The annotation that named a class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// So many hosts are shown in a table.
const SHOWN_HOSTS_MAX: usize = 3;
/// What a path may not have within, and not at its end.
const INVALID_PARTS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const INVALID_ENDS: [&str; 2] = ["/..", "/."];

struct IngressStrategy;

/// What an Ingress is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("networking.k8s.io", "v1", "io.k8s.api.networking.v1.Ingress");
    ResourceDefinition {
        short_names: &["ing"],
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(INGRESSES, "Ingress", "ingress", version, IngressStrategy)
    }
}

impl Strategy for IngressStrategy {
    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({"loadBalancer": {}}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        let (rules, fallback) = (spec.at("rules"), spec.at("defaultBackend"));
        if rules.count() == 0 && !fallback.is_set() {
            let why = "either `defaultBackend` or `rules` must be specified";
            faults.invalid(&Field { path: spec.path.clone(), ..rules.clone() }, why);
        }
        if fallback.is_set() {
            backend(&fallback, &mut faults);
        }
        rules.items().for_each(|found| rule(&found, &mut faults));
        spec.at("tls").items().for_each(|found| certificate(&found, &mut faults));
        let class = spec.at("ingressClassName");
        if class.is_set() {
            faults.rule(&class, names::dns_1123_subdomain);
        }
        faults.errors.causes()
    }

    fn validate_create(&self, object: &Value, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let ingress = Field::root(object);
        let annotated = ingress.at("metadata").at("annotations").at(CLASS_ANNOTATION);
        let class = ingress.at("spec").at("ingressClassName");
        if annotated.is_set() && class.is_set() && annotated.text() != class.text() {
            let path = FieldPath::new("annotations").child(CLASS_ANNOTATION);
            let why = "must match `ingressClassName` when both are specified";
            faults.errors.push(FieldError::invalid(path, annotated.text(), why));
        }
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        validate_load_balancers(&Field::root(object).at("status").at("loadBalancer").at("ingress"), &mut faults);
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Class", "Who serves it."),
            Column::text("Hosts", "The hosts it answers for."),
            Column::text("Address", "Where it is reached."),
            Column::text("Ports", "The ports it is reached at."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let ports = if size(object, "/spec/tls") > 0 { "80, 443" } else { "80" };
        vec![
            or_none(text(object, "/spec/ingressClassName")),
            hosts(object).into(),
            shown_load_balancers(object).join(",").into(),
            ports.into(),
            age(object, now),
        ]
    }
}

fn rule(rule: &Field<'_>, faults: &mut Faults) {
    let (host, http) = (rule.at("host"), rule.at("http"));
    if host.text().parse::<std::net::IpAddr>().is_ok() {
        faults.invalid(&host, "must be a DNS name, not an IP address");
    }
    faults.optional_rule(&host, host_name);
    if !http.is_set() {
        return;
    }
    let paths = http.at("paths");
    if paths.count() == 0 {
        faults.required(&paths, "");
    }
    for path in paths.items() {
        http_path(&path, faults);
    }
}

fn host_name(host: &str) -> Vec<String> {
    if host.contains('*') { names::wildcard_dns_1123_subdomain(host) } else { names::dns_1123_subdomain(host) }
}

fn http_path(rule: &Field<'_>, faults: &mut Faults) {
    let (kind, path) = (rule.at("pathType"), rule.at("path"));
    if !kind.is_set() {
        return faults.required(&kind, "pathType must be specified");
    }
    match kind.text() {
        "Exact" | "Prefix" => {
            faults.rule(&path, names::absolute_path);
            for part in INVALID_PARTS.into_iter().filter(|part| path.text().contains(part)) {
                faults.invalid(&path, format!("must not contain '{part}'"));
            }
            for end in INVALID_ENDS.into_iter().filter(|end| path.text().ends_with(end)) {
                faults.invalid(&path, format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => faults.optional_rule(&path, names::absolute_path),
        _ => faults.one_of_if_set(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(&rule.at("backend"), faults);
}

/// Where requests go: to a Service, or to something else the Ingress's class knows.
fn backend(backend: &Field<'_>, faults: &mut Faults) {
    let (resource, service) = (backend.at("resource"), backend.at("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => faults.invalid_hidden(backend, "cannot set both resource and service backends"),
        (false, false) => faults.invalid_hidden(backend, "resource or service backend is required"),
        (true, false) => {
            if resource.at("apiGroup").is_set() {
                faults.rule(&resource.at("apiGroup"), names::dns_1123_subdomain);
            }
            faults.required_rule(&resource.at("kind"), names::path_segment);
            faults.required_rule(&resource.at("name"), names::path_segment);
        }
        (false, true) => {
            faults.required_rule(&service.at("name"), names::dns_1035_label);
            service_port(backend, &service.at("port"), faults);
        }
    }
}

fn service_port(backend: &Field<'_>, port: &Field<'_>, faults: &mut Faults) {
    let (name, number) = (port.at("name"), port.at("number"));
    match (name.text(), number.number().unwrap_or_default()) {
        ("", 0) => faults.required(backend, "port name or number is required"),
        ("", _) => faults.number_rule(&number, names::port_number),
        (_, 0) => faults.rule(&name, names::port_name),
        _ => faults.invalid_hidden(backend, "cannot set both port name & port number"),
    }
}

fn certificate(tls: &Field<'_>, faults: &mut Faults) {
    for host in tls.at("hosts").items() {
        faults.rule(&host, host_name);
    }
    faults.optional_rule(&tls.at("secretName"), names::dns_1123_subdomain);
}

fn hosts(object: &Value) -> String {
    let named: Vec<&str> = items(object, "/spec/rules").map(|rule| text(rule, "/host")).collect();
    let shown: Vec<&str> = named.iter().copied().filter(|host| !host.is_empty()).take(SHOWN_HOSTS_MAX).collect();
    match (shown.len(), named.len()) {
        (0, _) => "*".to_owned(),
        (SHOWN_HOSTS_MAX, count) if count > SHOWN_HOSTS_MAX => {
            format!("{} + {} more...", shown.join(","), count - SHOWN_HOSTS_MAX)
        }
        _ => shown.join(","),
    }
}
