//! Whether another server can answer, as far as the cluster tells.

use std::sync::Arc;

use sampan_core::object::{Object, ObjectKey, Revision};
use sampan_core::resource::read::{items, text};
use sampan_core::resource::{ENDPOINT_SLICES, SERVICES};
use sampan_core::store::{IndexKey, Snapshot};
use serde_json::Value;

use super::ApiService;

/// The label by which slices name their Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What is told of whether a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) available: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Verdict {
    fn no(reason: &'static str, message: String) -> Self {
        Self { available: false, reason, message }
    }

    /// What comes of asking it.
    pub(super) fn asked(said: Result<&Value, &String>) -> Self {
        match said {
            Ok(_) => Self { available: true, reason: "Passed", message: "all checks passed".to_owned() },
            Err(why) => Self::no("FailedDiscoveryCheck", why.clone()),
        }
    }
}

/// What a verdict rests on, beside the server's answer: one that is another is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grounds {
    /// The APIService's own words, without what is told of it.
    spec: String,
    service: Option<Revision>,
    slices: Vec<(ObjectKey, Revision)>,
}

impl Grounds {
    pub(super) fn of(service: &ApiService, snapshot: &Snapshot) -> Self {
        let found = snapshot.get(&service_key(service)).map(|object| object.revision());
        let slices = slices(service, snapshot).map(|slice| (slice.key().clone(), slice.revision())).collect();
        let ApiService { group, version, service, authorities, .. } = service;
        Self { spec: format!("{group} {version} {service:?} {authorities:?}"), service: found, slices }
    }
}

fn service_key(service: &ApiService) -> ObjectKey {
    ObjectKey::namespaced(SERVICES, &service.service.namespace, &service.service.name)
}

fn slices<'s>(service: &ApiService, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s Arc<Object>> + use<'s> {
    snapshot.index(&IndexKey::Label {
        resource: ENDPOINT_SLICES,
        namespace: Some(service.service.namespace.as_str().into()),
        label: SERVICE_NAME.into(),
        value: service.service.name.as_str().into(),
    })
}

/// Why a server cannot answer, as far as the cluster tells; `None` where it is to be asked.
pub(super) fn prevented(service: &ApiService, snapshot: &Snapshot) -> Option<Verdict> {
    let (name, namespace, port) = (&service.service.name, &service.service.namespace, service.service.port);
    let Some(found) = snapshot.get(&service_key(service)) else {
        return Some(Verdict::no("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    };
    let found = found.value();
    if text(&found, "/spec/type") != "ClusterIP" {
        return None;
    }
    let is_asked = |it: &&Value| it.get("port").and_then(Value::as_u64) == Some(u64::from(port));
    let Some(asked) = items(&found, "/spec/ports").find(is_asked) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(Verdict::no("ServicePortError", message));
    };
    let port_name = text(asked, "/name");
    let slices: Vec<Value> = slices(service, snapshot).map(|slice| slice.value()).collect();
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(Verdict::no("EndpointsNotFound", message));
    }
    let answers = |slice: &&Value| {
        let is_ready = |it: &Value| it.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
        let is_named = |it: &Value| text(it, "/name") == port_name && it.get("port").is_some_and(Value::is_number);
        items(slice, "/endpoints").any(is_ready) && items(slice, "/ports").any(is_named)
    };
    match slices.iter().find(answers) {
        Some(_) => None,
        None => Some(Verdict::no(
            "MissingEndpoints",
            format!(
                "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
            ),
        )),
    }
}
