//! What outputs ask of the cluster: secrets, and where Services are.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sampan_outputs::{SecretKey, Surroundings};

use crate::dns::CLUSTER_DOMAIN;
use crate::services::{Directory, Known};

/// The cluster, as outputs see it.
pub(super) struct Cluster {
    pub(super) client: kube::Client,
    pub(super) directory: Arc<Directory>,
}

#[async_trait]
impl Surroundings for Cluster {
    async fn secret(&self, key: &SecretKey) -> Result<String, String> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &key.namespace);
        let secret = match secrets.get(&key.name).await {
            Ok(secret) => secret,
            Err(kube::Error::Api(status)) => return Err(status.message),
            Err(error) => return Err(error.to_string()),
        };
        let value = secret.data.and_then(|mut data| data.remove(&key.key)).ok_or("the secret has no such key")?;
        String::from_utf8(value.0).map_err(|_| "it is not UTF-8".to_owned())
    }

    fn address(&self, host: &str) -> Option<IpAddr> {
        self.directory.read(|known| address(known, host))
    }
}

/// The address of a Service, by its name as `name.namespace.svc`, with the cluster's domain or without. Of a Service without one
/// it is that of an endpoint that is ready.
fn address(known: &Known, host: &str) -> Option<IpAddr> {
    let host = host.trim_end_matches('.');
    let host = host.strip_suffix(CLUSTER_DOMAIN).map_or(host, |host| host.trim_end_matches('.'));
    let (name, namespace) = host.strip_suffix(".svc")?.split_once('.')?;
    let key = (namespace.to_owned(), name.to_owned());
    let own = known.service(&key)?.spec.as_ref()?.cluster_ip.as_deref()?;
    own.parse().ok().or_else(|| {
        let endpoints = known.slices(&key).flat_map(|slice| &slice.endpoints);
        let ready = |ready: Option<bool>| ready.unwrap_or(true);
        let mut ready =
            endpoints.filter(|endpoint| ready(endpoint.conditions.as_ref().and_then(|conditions| conditions.ready)));
        ready.find_map(|endpoint| endpoint.addresses.first()?.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::services::News;

    fn service(name: &str, address: &str) -> News {
        let service: Service = serde_json::from_value(
            json!({"metadata": {"namespace": "logging", "name": name}, "spec": {"clusterIP": address}}),
        )
        .unwrap();
        News::Service(Box::new(Event::Apply(service)))
    }

    fn slice(service: &str, endpoints: Value) -> News {
        let labels = json!({"kubernetes.io/service-name": service});
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"namespace": "logging", "name": service, "labels": labels}, "addressType": "IPv4", "endpoints": endpoints,
        }))
        .unwrap();
        News::Slice(Box::new(Event::Apply(slice)))
    }

    #[test]
    fn names_of_services_lead_to_them_and_other_names_elsewhere() {
        let mut known = Known::default();
        known.take(service("fluentd", "10.96.0.7"));
        known.take(service("bare", "None"));
        let endpoints = json!([
            {"addresses": ["10.88.0.1"], "conditions": {"ready": false}}, {"addresses": ["10.88.0.2"]},
        ]);
        known.take(slice("bare", endpoints));
        let cases = [
            ("fluentd.logging.svc", Some("10.96.0.7")),
            ("fluentd.logging.svc.cluster.local", Some("10.96.0.7")),
            ("fluentd.logging.svc.cluster.local.", Some("10.96.0.7")),
            ("bare.logging.svc", Some("10.88.0.2")),
            ("other.logging.svc", None),
            ("fluentd.logging", None),
            ("fluentd.example.com", None),
        ];
        for (host, expect) in cases {
            assert_eq!(address(&known, host), expect.map(|address| address.parse().unwrap()), "{host}");
        }
    }
}
