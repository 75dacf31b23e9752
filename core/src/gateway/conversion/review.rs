//! A `ConversionReview`: what a webhook is asked to convert, and what of its answer may be.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::named;
use crate::gateway::asking::{Call, Reply};
use crate::object::{FieldErrors, FieldPath, names};
use crate::resource::custom::ConversionWebhook;
use crate::status::Status;
use crate::store::Snapshot;

/// How long a webhook may take, as in Kubernetes.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much longer than the question an answer may be, in bytes: as much as the largest object, twice.
const ANSWER_BYTES_BEYOND: usize = 3 << 20;
const GROUP: &str = "apiextensions.k8s.io";
/// The maps of the metadata that are converted; all other metadata stays as it was.
const CONVERTED_METADATA: [&str; 2] = ["labels", "annotations"];

/// What an object says it is, and its metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Original {
    api_version: String,
    kind: String,
    metadata: Map<String, Value>,
}

/// Objects put to a webhook, all at once.
pub(super) struct Review {
    pub(super) call: Call,
    /// The objects as the webhook's errors name them: `example.com/v1, Kind=Widget`.
    about: String,
    desired: String,
    originals: Vec<Original>,
    protocol: &'static str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    api_version: String,
    kind: String,
    response: Option<Response>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    uid: String,
    converted_objects: Option<Vec<Value>>,
    result: Outcome,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outcome {
    status: String,
    message: String,
}

impl Review {
    /// Asks for `objects`, which are of other versions, in the version `desired`. `uid_of` names the question.
    pub(super) fn new(
        webhook: &ConversionWebhook,
        snapshot: &Snapshot,
        desired: &str,
        objects: &[Bytes],
        uid_of: impl FnOnce(&[u8]) -> String,
    ) -> Result<Self, Status> {
        let original =
            |object: &Bytes| serde_json::from_slice(object).map_err(|error| Status::internal(error.to_string()));
        let originals = objects.iter().map(original).collect::<Result<Vec<Original>, Status>>()?;
        require_versions(webhook, desired, &originals)?;
        let about = originals.first().map(|it| named(&it.api_version, &it.kind)).unwrap_or_default();
        let failed = |why: String| Status::unexplained(format!("conversion webhook for {about} failed: {why}"));
        let protocol = webhook.review_version;
        let protocol = protocol.ok_or_else(|| Status::unexplained("no supported conversion review versions"))?;
        let address = webhook.address.as_ref().map_err(|why| failed(why.clone()))?;
        let destination = address.destination(TIMEOUT, snapshot);
        let unreached = |why: String| failed(format!("Post {:?}: {why}", destination.url));
        let (connect_to, authorities) = destination.reached().map_err(unreached)?;
        let objects = objects.join(&b","[..]);
        let question = [webhook.definition.as_bytes(), desired.as_bytes(), &objects].join(&b"\n"[..]);
        let uid = uid_of(&question);
        let head = format!(
            r#"{{"kind":"ConversionReview","apiVersion":"{GROUP}/{protocol}","request":{{"uid":"{uid}","desiredAPIVersion":"{desired}","objects":["#
        );
        let body = [head.as_bytes(), &objects, b"]}}"].concat();
        let call = Call {
            webhook: format!("conversion_webhook_for_{}", webhook.definition),
            url: destination.url,
            connect_to,
            authorities,
            timeout: TIMEOUT,
            answer_bytes_max: body.len().saturating_mul(2).saturating_add(ANSWER_BYTES_BEYOND),
            body: body.into(),
            question: question.into(),
            uid,
        };
        Ok(Self { call, about, desired: desired.to_owned(), originals, protocol })
    }

    /// The objects as the webhook has converted them, in order.
    ///
    /// # Errors
    /// What the webhook says, or what is wrong with its answer: whole, never a part of it.
    pub(super) fn read(self, reply: &Reply) -> Result<Vec<Value>, Status> {
        let Self { about, originals, desired, .. } = &self;
        let told = |why: String| Status::unexplained(format!("conversion webhook for {about} {why}"));
        let converted = self.converted(reply).map_err(|why| told(format!("failed: {why}")))?;
        if converted.len() != originals.len() {
            return Err(told(format!("returned {} objects, expected {}", converted.len(), originals.len())));
        }
        let is_one = originals.len() == 1;
        let at = |index: usize| if is_one { String::new() } else { format!(" at index {index}") };
        let each = originals.iter().zip(converted).enumerate().map(|(index, (original, mut converted))| {
            let what = if is_one { "object" } else { "converted object" };
            check_type(original, desired, &converted)
                .map_err(|why| told(format!("returned invalid {what} at index {index}: {why}")))?;
            check_identity(original, &converted)
                .map_err(|why| told(format!("returned invalid {what}{}: {why}", at(index))))?;
            let within = if is_one { String::new() } else { format!(" in object{}", at(index)) };
            restore_metadata(original, &mut converted)
                .map_err(|why| told(format!("returned invalid metadata{within}: {why}")))?;
            Ok(converted)
        });
        each.collect()
    }

    fn converted(&self, reply: &Reply) -> Result<Vec<Value>, String> {
        let body = reply.as_ref().map_err(Clone::clone)?;
        let Answer { api_version, kind, response } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let is_checked = self.protocol == "v1";
        let expected = (format!("{GROUP}/v1"), "ConversionReview".to_owned());
        if is_checked && (&api_version, &kind) != (&expected.0, &expected.1) {
            let (expected, got) = (named(&expected.0, &expected.1), named(&api_version, &kind));
            return Err(format!("expected webhook response of {expected}, got {got}"));
        }
        let Response { uid, converted_objects, result } = response.ok_or("no response provided")?;
        if is_checked && uid != self.call.uid {
            return Err(format!("expected response.uid={:?}, got {uid:?}", self.call.uid));
        }
        match (result.status.as_str(), result.message.as_str()) {
            ("Success", _) => Ok(converted_objects.unwrap_or_default()),
            (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
            (_, message) => Err(message.to_owned()),
        }
    }
}

fn require_versions(webhook: &ConversionWebhook, desired: &str, originals: &[Original]) -> Result<(), Status> {
    let is_known = |api_version: &str| webhook.api_versions.iter().any(|known| known == api_version);
    if !is_known(desired) {
        let message = format!("request to convert CR to an invalid group/version: {desired}");
        return Err(Status::unexplained(message));
    }
    match originals.iter().find(|original| !is_known(&original.api_version)) {
        None => Ok(()),
        Some(Original { api_version, .. }) => {
            Err(Status::unexplained(format!("request to convert CR from an invalid group/version: {api_version}")))
        }
    }
}

fn text<'v>(converted: &'v Value, pointer: &str) -> &'v str {
    converted.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn check_type(original: &Original, desired: &str, converted: &Value) -> Result<(), String> {
    let (version, kind) = (text(converted, "/apiVersion"), text(converted, "/kind"));
    if version != desired {
        return Err(format!("invalid groupVersion (expected {desired}, received {version})"));
    }
    if kind != original.kind {
        return Err(format!("invalid kind (expected {}, received {kind})", original.kind));
    }
    Ok(())
}

fn check_identity(original: &Original, converted: &Value) -> Result<(), String> {
    let fields = [("name", "name", "/metadata/name"), ("namespace", "namespace", "/metadata/namespace")];
    for (field, told, pointer) in fields.into_iter().chain([("uid", "UID", "/metadata/uid")]) {
        let was = original.metadata.get(field).and_then(Value::as_str).unwrap_or_default();
        let is = text(converted, pointer);
        if was != is {
            return Err(format!("must have the same {told}: {was} != {is}"));
        }
    }
    Ok(())
}

/// All metadata is as it was, but for labels and annotations.
fn restore_metadata(original: &Original, converted: &mut Value) -> Result<(), String> {
    let given = converted.get_mut("metadata").map(Value::take).ok_or("missing metadata in converted object")?;
    let Value::Object(mut given) = given else {
        return Err("invalid metadata in converted object: an object is expected".to_owned());
    };
    let mut metadata = original.metadata.clone();
    for field in CONVERTED_METADATA {
        let was = metadata.remove(field);
        let Some(is) = given.remove(field).filter(|is| !is.is_null()) else { continue };
        if was.as_ref() != Some(&is) {
            check_texts(field, &is)?;
        }
        metadata.insert(field.to_owned(), is);
    }
    converted["metadata"] = Value::Object(metadata);
    Ok(())
}

fn check_texts(field: &'static str, given: &Value) -> Result<(), String> {
    let Value::Object(entries) = given else {
        return Err(format!("invalid metadata.{field} in converted object: an object is expected"));
    };
    if let Some((key, _)) = entries.iter().find(|(_, value)| !value.is_string()) {
        return Err(format!("metadata.{field}[{key}] must be a string in converted object"));
    }
    let texts = entries.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let (path, mut errors) = (FieldPath::root().child("metadata").child(field), FieldErrors::new());
    match field {
        "labels" => names::labels(texts, &path, &mut errors),
        _ => names::annotations(texts, &path, &mut errors),
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.to_string()) }
}
