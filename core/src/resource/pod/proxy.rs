//! Where a proxy to a pod leads.

use std::net::IpAddr;

use serde_json::Value;

use super::super::read::{items, text};
use super::super::{Destination, ProxyName};
use crate::status::Status;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The pod's address, at the port asked for or the first one a container has.
pub(super) fn destination(pod: &Value, asked: &ProxyName<'_>) -> Result<Destination, Status> {
    let address = text(pod, "/status/podIP").parse().ok().filter(is_for_everybody);
    let address = address.ok_or_else(|| Status::bad_request("address not allowed"))?;
    Ok(Destination::Any(vec![(address, port(pod, asked)?)]))
}

/// Whether it is no address of the server's own machine or link.
fn is_for_everybody(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(is_link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

fn port(pod: &Value, asked: &ProxyName<'_>) -> Result<u16, Status> {
    if !asked.port.is_empty() {
        let why = || Status::bad_request(format!("invalid pod request: {:?} is no port", asked.port));
        return asked.port.parse().map_err(|_| why());
    }
    let first = items(pod, "/spec/containers").find_map(|container| items(container, "/ports").next());
    let first = first.and_then(|port| port.get("containerPort")?.as_u64()).and_then(|port| port.try_into().ok());
    Ok(first.unwrap_or(if asked.is_tls { HTTPS_PORT } else { HTTP_PORT }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn port_of(pod: &Value, name: &str) -> Result<u16, Status> {
        match destination(pod, &ProxyName::parse(name).unwrap())? {
            Destination::Any(found) => Ok(found[0].1),
            Destination::Node(node) => panic!("{node}"),
        }
    }

    #[test]
    fn a_pod_is_reached_at_the_port_asked_for_or_its_first() {
        let mut pod = json!({"spec": {"containers": [{}, {"ports": [{"containerPort": 8080}, {"containerPort": 81}]}]},
            "status": {"podIP": "10.0.0.7"}});
        assert_eq!(port_of(&pod, "web").unwrap(), 8080);
        assert_eq!(port_of(&pod, "https:web:443").unwrap(), 443);
        assert_eq!(port_of(&pod, "web:http").unwrap_err().code, 400);
        pod["spec"] = json!({});
        assert_eq!(port_of(&pod, "web").unwrap(), 80);
        assert_eq!(port_of(&pod, "https:web:").unwrap(), 443);
    }

    #[test]
    fn nobody_is_led_to_the_servers_own_machine() {
        for address in ["", "127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "::1", "fe80::1"] {
            let refused = port_of(&json!({"status": {"podIP": address}}), "web:80").unwrap_err();
            assert_eq!(refused.message, "address not allowed", "{address}");
        }
    }
}
