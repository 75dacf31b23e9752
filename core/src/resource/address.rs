//! Rules for addresses, and for status fields that hold some.

use std::net::IpAddr;

use super::check::{Faults, Field};
use crate::object::names;

/// An address that something outside of its host can be reached at.
pub fn endpoint_address(value: &str) -> Vec<String> {
    let Ok(address) = value.parse::<IpAddr>() else { return vec!["must be a valid IP address".to_owned()] };
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets().starts_with(&[224, 0, 0])),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] == 0xff02),
    };
    let rules = [
        (address.is_unspecified(), format!("may not be unspecified ({value})")),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
        (link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, why)| why).collect()
}

/// A range of addresses, as `10.0.0.0/8`.
pub fn address_range(value: &str) -> Vec<String> {
    match range(value) {
        Some(_) => Vec::new(),
        None => vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()],
    }
}

/// The first address of a range and the number of bits that all its addresses share.
pub fn range(value: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = value.split_once('/')?;
    let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

/// The load balancers of a Service or an Ingress in its status.
pub fn validate_load_balancers(balancers: &Field<'_>, faults: &mut Faults) {
    for balancer in balancers.items() {
        let (ip, host) = (balancer.at("ip"), balancer.at("hostname"));
        faults.optional_rule(&ip, names::ip_address);
        faults.optional_rule(&host, names::dns_1123_subdomain);
        if host.text().parse::<IpAddr>().is_ok() {
            faults.invalid(&host, "must be a DNS name, not an IP address");
        }
    }
}

/// The addresses and names of load balancers, in order, each once.
pub fn shown_load_balancers(object: &serde_json::Value) -> Vec<String> {
    use super::read::{items, text};
    let shown = items(object, "/status/loadBalancer/ingress").map(|balancer| match text(balancer, "/ip") {
        "" => text(balancer, "/hostname").to_owned(),
        ip => ip.to_owned(),
    });
    let shown: std::collections::BTreeSet<String> = shown.filter(|it| !it.is_empty()).collect();
    shown.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_reachable_from_elsewhere() {
        for fine in ["10.0.0.1", "2001:db8::1", "224.0.1.1"] {
            assert_eq!(endpoint_address(fine), Vec::<String>::new(), "{fine}");
        }
        for wrong in ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "::1", "fe80::1", "ff02::1", "a"] {
            assert_eq!(endpoint_address(wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_range_has_an_address_and_a_length() {
        for fine in ["10.0.0.0/8", "::/0", "1.2.3.4/32"] {
            assert!(range(fine).is_some(), "{fine}");
        }
        for wrong in ["10.0.0.0", "10.0.0.0/33", "a/8", "10.0.0.0/-1", "/8"] {
            assert!(range(wrong).is_none(), "{wrong}");
        }
    }
}
