//! Where a proxy to a Service leads.

use std::net::IpAddr;

use serde_json::Value;

use super::super::Destination;
use super::super::endpoints::ENDPOINTS;
use super::super::pod::PODS;
use super::super::read::{integer, items, text};
use crate::object::{Object, ObjectKey};
use crate::status::Status;
use crate::store::Snapshot;

/// The pods behind the port asked for, by its number or its name.
pub(super) fn destination(service: &Object, port: &str, snapshot: &Snapshot) -> Result<Destination, Status> {
    let key = service.key();
    let named = port_name(&service.value(), port, &key.name)?;
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let endpoints = snapshot.get(&ObjectKey::namespaced(ENDPOINTS, namespace, &key.name));
    let endpoints = endpoints.map(|endpoints| endpoints.value()).unwrap_or_default();
    let found: Vec<_> = items(&endpoints, "/subsets")
        .flat_map(|subset| {
            let port = items(subset, "/ports").find(|port| text(port, "/name") == named);
            let port = port.and_then(|port| u16::try_from(integer(port, "/port")).ok());
            let addresses = items(subset, "/addresses").filter_map(|it| address_of_pod(it, namespace, snapshot));
            addresses.filter_map(move |address| Some((address, port?)))
        })
        .collect();
    match found.is_empty() {
        true => Err(Status::unavailable(format!("no endpoints available for service {:?}", &*key.name))),
        false => Ok(Destination::Any(found)),
    }
}

/// The name of the port; a number is that of one of the Service's.
fn port_name(service: &Value, port: &str, name: &str) -> Result<String, Status> {
    let Ok(number) = port.parse::<i64>() else { return Ok(port.to_owned()) };
    let found = items(service, "/spec/ports").find(|port| integer(port, "/port") == number);
    let found = found.map(|port| text(port, "/name").to_owned());
    found.ok_or_else(|| Status::unavailable(format!("no service port {number} found for service {name:?}")))
}

/// The address, if it is that of the pod it names: Endpoints are written by users too, and lead nobody elsewhere.
fn address_of_pod(endpoint: &Value, namespace: &str, snapshot: &Snapshot) -> Option<IpAddr> {
    let address = text(endpoint, "/ip");
    let (kind, name) = (text(endpoint, "/targetRef/kind"), text(endpoint, "/targetRef/name"));
    let pod = snapshot.get(&ObjectKey::namespaced(PODS, namespace, name)).filter(|_| kind == "Pod")?;
    (pod.field("status.podIP") == Some(address)).then(|| address.parse().ok()).flatten()
}
