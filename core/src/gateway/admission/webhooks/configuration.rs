//! A webhook as configured, ready to be asked.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answers, Call, WithoutRules};
use crate::gateway::admission::expressions::{Conditions, Scene};
use crate::gateway::admission::matching::Constraints;
use crate::gateway::admission::subject::Subject;
use crate::object::{Object, ObjectKey};
use crate::resource::fill::set;
use crate::resource::read::{items, text};
use crate::resource::{MUTATING_WEBHOOK_CONFIGURATIONS, RequestNaming, SERVICES, ServedVersion};
use crate::status::Status;
use crate::store::Snapshot;

/// The versions of the question that are spoken here.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const GROUP: &str = "admission.k8s.io";

/// A webhook with its expressions compiled.
pub(super) struct Webhook {
    pub(super) name: String,
    /// What it is about, or why that cannot be read.
    constraints: Result<Constraints, String>,
    pub(super) conditions: Conditions,
    /// Whether what goes wrong refuses the request.
    pub(super) fails_closed: bool,
    /// Whether it wants to see what others change after it.
    pub(super) is_reinvoked: bool,
    is_mutating: bool,
    /// Its configuration and its place there.
    id: String,
    client: Result<Client, String>,
    timeout: Duration,
    review_version: &'static str,
}

/// How a webhook is reached.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    url: Option<String>,
    service: Option<ServiceReference>,
    #[serde(default)]
    ca_bundle: String,
}

#[derive(Debug, Deserialize)]
struct ServiceReference {
    namespace: String,
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    port: u16,
}

/// Where a question goes.
struct Destination {
    url: String,
    /// The address behind the URL's host where that is a Service, or why it has none.
    connect_to: Option<Result<(String, u16), String>>,
}

impl Webhook {
    pub(super) fn all_of(configuration: &Object) -> Vec<Arc<Self>> {
        let whole = configuration.value();
        let webhooks = items(&whole, "/webhooks").enumerate();
        webhooks.map(|(index, webhook)| Arc::new(Self::of(configuration.key(), index, webhook))).collect()
    }

    fn of(configuration: &ObjectKey, index: usize, webhook: &Value) -> Self {
        let client = webhook.get("clientConfig").cloned().unwrap_or_default();
        let seconds = webhook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(10);
        let mut understood = items(webhook, "/admissionReviewVersions").filter_map(Value::as_str);
        let spoken = understood.find_map(|wanted| REVIEW_VERSIONS.into_iter().find(|version| *version == wanted));
        Self {
            name: text(webhook, "/name").to_owned(),
            constraints: serde_json::from_value(webhook.clone()).map_err(|error| error.to_string()),
            conditions: Conditions::of(webhook, RequestNaming::Request),
            fails_closed: text(webhook, "/failurePolicy") != "Ignore",
            is_reinvoked: text(webhook, "/reinvocationPolicy") == "IfNeeded",
            is_mutating: configuration.resource == MUTATING_WEBHOOK_CONFIGURATIONS,
            id: format!("{configuration}/{index}"),
            client: serde_json::from_value(client).map_err(|error| error.to_string()),
            timeout: Duration::from_secs(seconds),
            review_version: spoken.unwrap_or("v1"),
        }
    }

    /// The version in which a request is meant; `None` where it is not.
    pub(super) fn meant<'s>(&self, subject: &Subject<'s>) -> Option<&'s ServedVersion> {
        // What cannot be read was never valid: only a store from elsewhere holds it.
        self.constraints.as_ref().ok()?.matched(subject, WithoutRules::None)
    }

    /// The question it is asked.
    pub(super) fn call(&self, scene: Scene, snapshot: &Snapshot, answers: &Answers) -> Result<Call, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let Destination { url, connect_to } = client.destination(self.timeout, snapshot);
        let called = |why: String| format!("failed to call webhook: Post {url:?}: {why}");
        let connect_to = connect_to.transpose().map_err(called)?;
        let authorities = STANDARD.decode(&client.ca_bundle);
        let authorities = authorities.map_err(|error| called(format!("unable to load root certificates: {error}")))?;
        let mut request = scene.into_request();
        let question = Bytes::from(format!("{}\n{request}", self.id));
        let uid = answers.uid_of(&question);
        set(&mut request, "uid", uid.as_str());
        let review_version = self.review_version;
        let api_version = format!("{GROUP}/{review_version}");
        let review = json!({"kind": "AdmissionReview", "apiVersion": api_version, "request": request});
        Ok(Call {
            webhook: self.name.clone(),
            url,
            connect_to,
            authorities: authorities.into(),
            timeout: self.timeout,
            body: review.to_string().into(),
            question,
            uid,
            review_version,
            is_mutating: self.is_mutating,
        })
    }

    /// What the client is told where the webhook could not be asked, or its answer not be read.
    pub(super) fn failed(&self, why: &str) -> Status {
        Status::internal(format!("Internal error occurred: failed calling webhook {:?}: {why}", self.name))
    }

    /// What the client is told where a webhook would change what cannot be.
    pub(super) fn cannot_modify(&self) -> Status {
        Status::internal(format!(
            "Internal error occurred: admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            self.name
        ))
    }
}

impl Client {
    fn destination(&self, timeout: Duration, snapshot: &Snapshot) -> Destination {
        let seconds = timeout.as_secs();
        let Some(service) = &self.service else {
            let url = self.url.as_deref().unwrap_or_default();
            let path = if url.matches('/').count() < 3 { "/" } else { "" };
            return Destination { url: format!("{url}{path}?timeout={seconds}s"), connect_to: None };
        };
        let ServiceReference { namespace, name, path, port } = service;
        let path = path.trim_start_matches('/');
        let url = format!("https://{name}.{namespace}.svc:{port}/{path}?timeout={seconds}s");
        Destination { url, connect_to: Some(service.address(snapshot)) }
    }
}

impl ServiceReference {
    /// The address the Service is reached at.
    fn address(&self, snapshot: &Snapshot) -> Result<(String, u16), String> {
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
