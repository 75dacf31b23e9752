//! A webhook as configured, ready to be asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::WithoutRules;
use super::response::Question;
use crate::gateway::admission::expressions::{Conditions, Scene};
use crate::gateway::admission::matching::Constraints;
use crate::gateway::admission::subject::Subject;
use crate::gateway::asking::{Answers, Call};
use crate::object::{Object, ObjectKey};
use crate::resource::fill::set;
use crate::resource::read::{items, text};
use crate::resource::{MUTATING_WEBHOOK_CONFIGURATIONS, RequestNaming, ServedVersion, WebhookAddress};
use crate::status::Status;
use crate::store::Snapshot;

/// The versions of the question that are spoken here.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const GROUP: &str = "admission.k8s.io";
/// The longest answer, in bytes: as large as the largest object, twice.
const ANSWER_BYTES_MAX: usize = 3 << 20;

/// A webhook with its expressions compiled.
pub(in crate::gateway) struct Webhook {
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
    address: Result<WebhookAddress, String>,
    timeout: Duration,
    review_version: &'static str,
}

impl Webhook {
    pub(super) fn all_of(configuration: &Object) -> Vec<Arc<Self>> {
        let whole = configuration.value();
        let webhooks = items(&whole, "/webhooks").enumerate();
        webhooks.map(|(index, webhook)| Arc::new(Self::of(configuration.key(), index, webhook))).collect()
    }

    fn of(configuration: &ObjectKey, index: usize, webhook: &Value) -> Self {
        let client = webhook.get("clientConfig").unwrap_or(&Value::Null);
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
            address: WebhookAddress::read(client),
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
        let address = self.address.as_ref().map_err(Clone::clone)?;
        let destination = address.destination(self.timeout, snapshot);
        let (connect_to, authorities) = destination
            .reached()
            .map_err(|why| format!("failed to call webhook: Post {:?}: {why}", destination.url))?;
        let mut request = scene.into_request();
        let question = Bytes::from(format!("{}\n{request}", self.id));
        let uid = answers.uid_of(&question);
        set(&mut request, "uid", uid.as_str());
        let review_version = self.review_version;
        let api_version = format!("{GROUP}/{review_version}");
        let review = json!({"kind": "AdmissionReview", "apiVersion": api_version, "request": request});
        Ok(Call {
            webhook: self.name.clone(),
            url: destination.url,
            connect_to,
            authorities,
            timeout: self.timeout,
            body: review.to_string().into(),
            answer_bytes_max: ANSWER_BYTES_MAX,
            question,
            uid,
        })
    }

    /// What its answers are read by.
    pub(super) fn asked<'a>(&'a self, call: &'a Call) -> Question<'a> {
        let Self { name, review_version, is_mutating, .. } = self;
        Question { webhook: name, uid: &call.uid, review_version, is_mutating: *is_mutating }
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
