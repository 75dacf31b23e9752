//! Objects in another version, where a webhook converts them (`spec.conversion` of their definition).
//!
//! An object stays stored in the version that was stored when it was last written, which its `apiVersion` says. It is turned into
//! another where it is asked for: on the way to a client by [`Cluster::spoken`], which waits for the webhook, and while a write
//! is prepared by a [`Converter`], which ends with the question where it is not answered yet. Nothing converted is kept.
//!
//! A write is worked on in the version that is spoken: what is there is converted to it, and what comes of the write to the
//! version that is stored, just before it is committed. So a write in the version that is stored asks nobody, and neither does
//! a deletion in any.

mod review;

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use self::review::Review;
use super::admission::AdmissionRequest;
use super::asking::Answers;
use super::preparation::Preparation;
use super::{Cluster, Gateway, Unprepared};
use crate::object::Object;
use crate::resource::custom::ConversionWebhook;
use crate::resource::{ResourceDefinition, Served, ServedVersion};
use crate::status::Status;
use crate::store::Snapshot;

/// The most objects put to a webhook in one question, in bytes: what is more is put in several, one after the other.
const QUESTION_BYTES_MAX: usize = 8 << 20;

/// Objects as errors of Kubernetes name them: `example.com/v1, Kind=Widget`.
fn named(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
}

/// The version an object says it is in.
fn is_in(object: &[u8], api_version: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Said<'a> {
        #[serde(borrow)]
        api_version: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Said<'_>>(object).is_ok_and(|said| said.api_version == api_version)
}

/// Drops what the version it was converted to does not know.
fn pruned(gateway: &Gateway, served: &Served, version: &ServedVersion, mut object: Value) -> Value {
    let registry = gateway.registry();
    registry.in_version(&served.definition, version.version).strategy.prune(&mut object);
    object
}

impl Cluster {
    /// Objects as they are stored, in the version that is spoken: those of other versions as the webhook of their type converts
    /// them, all in one question. Without such a webhook they stay as they are.
    ///
    /// # Errors
    /// What the webhook says, or what is wrong with its answer.
    pub async fn spoken(&self, served: &Served, mut objects: Vec<Bytes>) -> Result<Vec<Bytes>, Status> {
        let Some(webhook) = &served.definition.converter else { return Ok(objects) };
        let desired = served.version.api_version();
        let others = objects.iter_mut().filter(|object| !is_in(object, &desired));
        for batch in batches(others.collect()) {
            let asked: Vec<Bytes> = batch.iter().map(|object| (**object).clone()).collect();
            let name = |_: &[u8]| self.new_uid();
            let review = Review::new(webhook, &self.snapshot(), &desired, &asked, name)?;
            let replies = self.ask(vec![review.call.clone()]).await?;
            let (_, reply) = replies.first().ok_or_else(|| Status::unavailable("a webhook is not asked any more"))?;
            for (place, converted) in batch.into_iter().zip(review.read(reply)?) {
                *place = pruned(self.gateway(), served, &served.version, converted).to_string().into();
            }
        }
        Ok(objects)
    }
}

impl Cluster {
    /// An object in the version that is spoken.
    ///
    /// # Errors
    /// As [`spoken`](Self::spoken).
    pub(crate) async fn value_spoken(&self, served: &Served, object: &Object) -> Result<Value, Status> {
        let spoken = self.spoken(served, vec![object.bytes().clone()]).await?;
        let spoken = spoken.first().map(|bytes| serde_json::from_slice(bytes));
        Ok(spoken.transpose().map_err(|error| Status::internal(error.to_string()))?.unwrap_or_default())
    }
}

/// Objects in portions that fit into one question each, nearly always one.
fn batches(objects: Vec<&mut Bytes>) -> Vec<Vec<&mut Bytes>> {
    let (mut batches, mut size) = (Vec::<Vec<&mut Bytes>>::new(), 0);
    for object in objects {
        size += object.len();
        if let Some(batch) = batches.last_mut().filter(|_| size <= QUESTION_BYTES_MAX) {
            batch.push(object);
        } else {
            size = object.len();
            batches.push(vec![object]);
        }
    }
    batches
}

/// Who converts objects while a write is prepared.
#[derive(Clone, Copy)]
struct Converter<'a> {
    gateway: &'a Gateway,
    snapshot: &'a Snapshot,
    answers: &'a Answers,
    served: &'a Served,
    webhook: &'a ConversionWebhook,
}

impl Converter<'_> {
    /// The object in a version.
    fn convert(self, object: Value, version: &ServedVersion) -> Result<Value, Unprepared> {
        let Self { gateway, snapshot, answers, served, webhook } = self;
        let desired = version.api_version();
        if object.get("apiVersion").and_then(Value::as_str) == Some(&desired) {
            return Ok(object);
        }
        let name = |question: &[u8]| answers.uid_of(question);
        let review = Review::new(webhook, snapshot, &desired, &[object.to_string().into()], name)?;
        let Some(reply) = answers.to(&review.call) else { return Err(Unprepared::Asks(vec![review.call])) };
        let converted = review.read(reply)?.pop().unwrap_or_default();
        Ok(pruned(gateway, served, version, converted))
    }
}

impl AdmissionRequest<'_> {
    /// A value of the type that is written, as it is worked on, in another of its versions.
    pub(super) fn in_version(&self, value: Value, version: &ServedVersion) -> Result<Value, Unprepared> {
        let definition = self.mutation.target.served.definition.clone();
        self.in_version_of(&Served { definition, version: version.clone() }, value)
    }

    /// An object of any type, as it is stored or worked on, in a version.
    pub(super) fn in_version_of(&self, served: &Served, mut value: Value) -> Result<Value, Unprepared> {
        let (definition, version) = (&served.definition, &served.version);
        if let Some(webhook) = &definition.converter {
            let Self { gateway, snapshot, answers, .. } = *self;
            return Converter { gateway, snapshot, answers, served, webhook }.convert(value, version);
        }
        if let Some(from_stored) = version.from_stored {
            from_stored(&mut value);
        }
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".to_owned(), version.api_version().into());
            fields.insert("kind".to_owned(), definition.kind.into());
        }
        Ok(value)
    }
}

impl Preparation<'_> {
    /// The version objects are worked on in: the one that is stored, or the one that is spoken where a webhook converts.
    pub(super) fn worked_version(&self) -> Option<&ServedVersion> {
        match self.definition.converter {
            Some(_) => Some(&self.mutation.target.served.version),
            None => self.definition.stored_version(),
        }
    }

    /// What is there, in the version it is worked on in.
    pub(super) fn worked(&self, existing: &Object) -> Result<Value, Unprepared> {
        let mut object = self.converted(existing.value(), &self.mutation.target.served.version)?;
        if self.definition.converter.is_some() {
            // What a webhook leaves out is no change of the writer's.
            self.definition.strategy.default(&mut object);
        }
        Ok(object)
    }

    /// What was worked on, in the version that is stored. A dry run shows it as it is.
    pub(super) fn to_storage(&self, object: Value) -> Result<Value, Unprepared> {
        match self.definition.stored_version().filter(|_| !self.mutation.options.dry_run) {
            Some(stored) => self.converted(object, stored),
            None => Ok(object),
        }
    }

    /// Whether an object is in the version that is stored, where a webhook converts it: then a write that changes nothing leaves it.
    pub(super) fn is_stored_as_asked(&self, existing: &Object) -> bool {
        let stored = self.definition.stored_version().filter(|_| self.definition.converter.is_some());
        stored.is_none_or(|stored| is_in(existing.bytes(), &stored.api_version()))
    }

    /// An object in a version, where a webhook converts; else as it is.
    pub(super) fn converted(&self, object: Value, version: &ServedVersion) -> Result<Value, Unprepared> {
        let Some(webhook) = &self.definition.converter else { return Ok(object) };
        let (gateway, snapshot, answers) = (self.gateway, self.snapshot, self.answers);
        let served = &self.mutation.target.served;
        Converter { gateway, snapshot, answers, served, webhook }.convert(object, version)
    }

    /// What objects are found by as they are stored: where no webhook converts, they are worked on as they are stored.
    pub(super) fn index_values(&self, stored: &Value) -> Vec<(&'static str, String)> {
        if self.definition.converter.is_none() {
            return self.definition.index_values(stored);
        }
        let registry = self.gateway.registry();
        let of_storage = registry.definition(self.definition.resource);
        of_storage.map_or(self.definition, |it: &Arc<ResourceDefinition>| it).index_values(stored)
    }
}
