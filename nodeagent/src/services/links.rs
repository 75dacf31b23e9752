//! The environment variables by which containers find Services.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort};

use super::Known;
use super::known::cluster_addresses;
use crate::pod::source::Data;

/// The variables of the Services of `namespace`: of the one called `name`, or of all where that is empty. Nothing while not
/// every Service is known.
pub fn variables(known: &Known, namespace: &str, name: &str) -> Option<Data> {
    if !known.has_every_service() {
        return None;
    }
    let mut data = BTreeMap::new();
    for ((_, called), service) in known.services_of(namespace) {
        if name.is_empty() || name == called {
            add(&mut data, called, service);
        }
    }
    Some(data)
}

fn add(data: &mut Data, name: &str, service: &Service) {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let (Some(address), Some(first)) = (cluster_addresses(service).next(), ports.first()) else { return };
    let address = address.to_string();
    let name = variable(name);
    let mut put = |suffix: &str, value: String| data.insert(format!("{name}_{suffix}"), value.into_bytes());
    put("SERVICE_HOST", address.clone());
    put("SERVICE_PORT", first.port.to_string());
    put("PORT", url(&address, first));
    for port in ports {
        if let Some(called) = port.name.as_deref().filter(|called| !called.is_empty()) {
            put(&format!("SERVICE_PORT_{}", variable(called)), port.port.to_string());
        }
        let link = format!("PORT_{}_{}", port.port, protocol(port));
        put(&link, url(&address, port));
        put(&format!("{link}_PROTO"), protocol(port).to_lowercase());
        put(&format!("{link}_PORT"), port.port.to_string());
        put(&format!("{link}_ADDR"), address.clone());
    }
}

fn url(address: &str, port: &ServicePort) -> String {
    format!("{}://{address}:{}", protocol(port).to_lowercase(), port.port)
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

/// A name as variables are written.
fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::super::News;
    use super::*;

    fn known(services: &[serde_json::Value]) -> Known {
        let mut known = Known::default();
        let mut take = |event| known.take(News::Service(Box::new(event)));
        take(Event::Init);
        for service in services {
            take(Event::InitApply(serde_json::from_value(service.clone()).expect("a Service")));
        }
        take(Event::InitDone);
        known
    }

    fn text(data: Option<Data>) -> Vec<String> {
        let data = data.expect("known").into_iter();
        data.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value))).collect()
    }

    #[test]
    fn a_service_is_found_by_its_variables_and_a_headless_one_is_not() {
        let web = json!({"metadata": {"namespace": "shop", "name": "my-web"}, "spec": {
            "clusterIP": "10.96.1.2", "clusterIPs": ["10.96.1.2"],
            "ports": [{"name": "http", "port": 80}, {"name": "dns-udp", "port": 53, "protocol": "UDP"}]}});
        let headless = json!({"metadata": {"namespace": "shop", "name": "db"},
            "spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 1}]}});
        let other = json!({"metadata": {"namespace": "shop2", "name": "other"},
            "spec": {"clusterIP": "10.96.1.3", "clusterIPs": ["10.96.1.3"], "ports": [{"port": 1}]}});
        let known = known(&[web, headless, other]);
        assert_eq!(
            text(variables(&known, "shop", "")),
            [
                "MY_WEB_PORT=tcp://10.96.1.2:80",
                "MY_WEB_PORT_53_UDP=udp://10.96.1.2:53",
                "MY_WEB_PORT_53_UDP_ADDR=10.96.1.2",
                "MY_WEB_PORT_53_UDP_PORT=53",
                "MY_WEB_PORT_53_UDP_PROTO=udp",
                "MY_WEB_PORT_80_TCP=tcp://10.96.1.2:80",
                "MY_WEB_PORT_80_TCP_ADDR=10.96.1.2",
                "MY_WEB_PORT_80_TCP_PORT=80",
                "MY_WEB_PORT_80_TCP_PROTO=tcp",
                "MY_WEB_SERVICE_HOST=10.96.1.2",
                "MY_WEB_SERVICE_PORT=80",
                "MY_WEB_SERVICE_PORT_DNS_UDP=53",
                "MY_WEB_SERVICE_PORT_HTTP=80",
            ]
        );
        assert_eq!(text(variables(&known, "shop2", "nobody")), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_said_before_every_service_is_known() {
        assert_eq!(variables(&Known::default(), "default", ""), None);
    }
}
