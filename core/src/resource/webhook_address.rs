//! Where a webhook is reached: by a URL, or by a Service of the cluster.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::SERVICES;
use super::read::{items, text};
use crate::object::ObjectKey;
use crate::store::Snapshot;

const HTTPS_PORT: u16 = 443;

/// A webhook's `clientConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAddress {
    url: Option<String>,
    service: Option<ServiceReference>,
    #[serde(default)]
    ca_bundle: String,
}

/// A port of a Service of the cluster, such as a program in a pod listens at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    #[serde(default)]
    path: String,
    /// The port it is reached at.
    #[serde(default = "https_port")]
    pub port: u16,
}

fn https_port() -> u16 {
    HTTPS_PORT
}

/// Whether a `caBundle` holds certificates.
pub fn is_ca_bundle(base64: &str) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    STANDARD.decode(base64).is_ok_and(|pem| pem.windows(BEGIN.len()).any(|part| part == BEGIN))
}

/// Where a question goes.
pub(crate) struct WebhookDestination {
    pub(crate) url: String,
    /// The address behind the URL's host where that is a Service, or why it has none.
    connect_to: Option<Result<(String, u16), String>>,
    authorities: Result<Bytes, String>,
}

impl WebhookAddress {
    /// Reads a `clientConfig`.
    pub(crate) fn read(client: &Value) -> Result<Self, String> {
        Self::deserialize(client).map_err(|error| error.to_string())
    }

    /// Where a question goes now.
    pub(crate) fn destination(&self, timeout: Duration, snapshot: &Snapshot) -> WebhookDestination {
        let seconds = timeout.as_secs();
        let authorities = STANDARD.decode(&self.ca_bundle).map(Bytes::from);
        let authorities = authorities.map_err(|error| format!("unable to load root certificates: {error}"));
        let Some(service) = &self.service else {
            let url = self.url.as_deref().unwrap_or_default();
            let path = if url.matches('/').count() < 3 { "/" } else { "" };
            return WebhookDestination {
                url: format!("{url}{path}?timeout={seconds}s"),
                connect_to: None,
                authorities,
            };
        };
        let ServiceReference { namespace, name, path, port } = service;
        let path = path.trim_start_matches('/');
        let url = format!("https://{name}.{namespace}.svc:{port}/{path}?timeout={seconds}s");
        WebhookDestination { url, connect_to: Some(service.address(snapshot)), authorities }
    }
}

impl WebhookDestination {
    /// Who is connected to in place of the URL's host, and who may vouch for it.
    pub(crate) fn reached(&self) -> Result<(Option<(String, u16)>, Bytes), String> {
        Ok((self.connect_to.clone().transpose()?, self.authorities.clone()?))
    }
}

impl ServiceReference {
    /// The address the Service is reached at.
    ///
    /// # Errors
    /// Why there is none.
    pub fn address(&self, snapshot: &Snapshot) -> Result<(String, u16), String> {
        let Self { namespace, name, port, .. } = self;
        let service = snapshot.get(&ObjectKey::namespaced(SERVICES, namespace, name));
        let service = service.ok_or_else(|| format!("service {name:?} not found"))?.value();
        if text(&service, "/spec/type") == "ExternalName" {
            return Ok((text(&service, "/spec/externalName").to_owned(), *port));
        }
        let serves = |it: &Value| it.get("port").and_then(Value::as_u64) == Some(u64::from(*port));
        if !items(&service, "/spec/ports").any(serves) {
            return Err(format!("no service port {port} found for service {name:?}"));
        }
        match text(&service, "/spec/clusterIP") {
            "" | "None" => Err(format!("service {name:?} has no cluster IP")),
            address => Ok((address.to_owned(), *port)),
        }
    }
}
