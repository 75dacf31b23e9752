//! What a Service is given that the user left out.

use serde_json::{Value, json};

use super::{HEADLESS, is_external};
use crate::resource::check::Field;
use crate::resource::fill::{clear, fill, items_mut, object_at, present, set};
use crate::resource::read::{size, text};

/// How long a client is sent to the same pod, in seconds.
const AFFINITY_SECONDS: i64 = 10_800;

pub(super) fn service(object: &mut Value) {
    if let Some(spec) = object_at(object, "spec") {
        affinity(spec);
        fill(spec, "type", "ClusterIP");
        items_mut(spec, "ports").for_each(port);
        let external = is_external(&Field::root(spec));
        if external {
            fill(spec, "externalTrafficPolicy", "Cluster");
        }
        match text(spec, "/type") {
            "ExternalName" => clear(spec, "internalTrafficPolicy"),
            "LoadBalancer" => {
                fill(spec, "internalTrafficPolicy", "Cluster");
                fill(spec, "allocateLoadBalancerNodePorts", true);
            }
            _ => fill(spec, "internalTrafficPolicy", "Cluster"),
        }
    }
    let balancers = object.get_mut("status").and_then(|status| present(status, "loadBalancer"));
    for balancer in balancers.into_iter().flat_map(|balancers| items_mut(balancers, "ingress")) {
        if !text(balancer, "/ip").is_empty() {
            fill(balancer, "ipMode", "VIP");
        }
    }
    addresses(object);
}

/// The families of its addresses, and the list that begins with `clusterIP`. The cluster has addresses of version 4.
pub(super) fn addresses(object: &mut Value) {
    let Some(spec) = present(object, "spec") else { return };
    if text(spec, "/type") == "ExternalName" {
        return;
    }
    let address = text(spec, "/clusterIP").to_owned();
    if !address.is_empty() && size(spec, "/clusterIPs") == 0 {
        set(spec, "clusterIPs", json!([address]));
    }
    // Who lists the endpoints of a headless Service by hand may list addresses of both versions.
    let both = address == HEADLESS && size(spec, "/selector") == 0;
    fill(spec, "ipFamilyPolicy", if both { "RequireDualStack" } else { "SingleStack" });
    if size(spec, "/ipFamilies") > 0 {
        return;
    }
    let is_first_v6 = text(spec, "/clusterIPs/0").contains(':');
    set(
        spec,
        "ipFamilies",
        match (both && text(spec, "/ipFamilyPolicy") != "SingleStack", is_first_v6) {
            (true, _) => json!(["IPv4", "IPv6"]),
            (false, true) => json!(["IPv6"]),
            (false, false) => json!(["IPv4"]),
        },
    );
}

fn affinity(spec: &mut Value) {
    fill(spec, "sessionAffinity", "None");
    match text(spec, "/sessionAffinity") {
        "None" => clear(spec, "sessionAffinityConfig"),
        "ClientIP" => {
            let client = object_at(spec, "sessionAffinityConfig").and_then(|config| object_at(config, "clientIP"));
            if let Some(client) = client {
                fill(client, "timeoutSeconds", AFFINITY_SECONDS);
            }
        }
        _ => {}
    }
}

/// A port leads to the same port of the pods unless it says otherwise.
fn port(port: &mut Value) {
    fill(port, "protocol", "TCP");
    let number = port.get("port").cloned().unwrap_or_default();
    if port.get("targetPort") == Some(&json!(0)) {
        clear(port, "targetPort");
    }
    fill(port, "targetPort", number);
}
