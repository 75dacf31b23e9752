//! Objects as one client wants to see them: in its version, whole, as rows or as metadata alone.

use bytes::Bytes;
use sampan_core::Timestamp;
use sampan_core::gateway::{Cluster, scale_of};
use sampan_core::resource::Served;
use sampan_core::status::Status;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::table::{self, RowObject};
use super::{JSON, Response, YAML};
use crate::request::{Accept, Format, Query, Shape};

/// How one client wants to see objects of one resource type.
pub(crate) struct View {
    pub(crate) served: Served,
    pub(super) accept: Accept,
    pub(super) rows: RowObject,
    pub(super) pretty: bool,
    pub(crate) now: Timestamp,
    api_version: String,
    as_stored: bool,
}

/// What a watch tells of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// It came into view.
    Added,
    /// It changed.
    Modified,
    /// It went out of view.
    Deleted,
    /// Nothing happened up to here.
    Bookmark,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
        }
    }
}

/// The annotation of the bookmark after which a watcher knows all there was (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl View {
    /// What the client asks for.
    ///
    /// # Errors
    /// Where the query asks for rows nobody knows.
    pub(crate) fn new(served: Served, accept: Accept, query: &Query, now: Timestamp) -> Result<Self, Status> {
        let version = &served.version;
        let api_version = match version.group {
            "" => version.version.to_owned(),
            group => format!("{group}/{}", version.version),
        };
        let stored = served.definition.versions.first();
        let as_stored = version.from_stored.is_none()
            && !served.definition.strategy.completes()
            && stored.is_none_or(|stored| stored.group == version.group && stored.version == version.version);
        let rows = RowObject::parse(query.text("includeObject"))?;
        Ok(Self { served, accept, rows, pretty: query.flag("pretty"), now, api_version, as_stored })
    }

    /// The kind with its group, such as `Deployment`.
    pub(super) fn kind(&self) -> &'static str {
        self.served.definition.kind
    }

    /// The `apiVersion` spoken.
    pub(super) fn api_version(&self) -> &str {
        &self.api_version
    }

    /// Whether objects are shown as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.accept.shape == Shape::Object
    }

    /// Objects as they are stored, converted to the version spoken where a webhook of their type does: what is given to all
    /// else here as stored is that.
    ///
    /// # Errors
    /// What the webhook says.
    pub(crate) async fn converted(&self, cluster: &Cluster, stored: Vec<Bytes>) -> Result<Vec<Bytes>, Status> {
        cluster.spoken(&self.served, stored).await
    }

    /// The same of one object.
    ///
    /// # Errors
    /// What the webhook says.
    pub(crate) async fn converted_one(&self, cluster: &Cluster, stored: Bytes) -> Result<Bytes, Status> {
        let converted = self.converted(cluster, vec![stored]).await?;
        converted.into_iter().next().ok_or_else(|| Status::internal("an object was lost"))
    }

    /// The answer that holds one object, given as it is stored.
    pub(crate) fn one(&self, code: u16, stored: &Bytes) -> Response {
        let bytes = match self.accept.shape {
            Shape::Object | Shape::Discovery(_) => self.spoken(stored),
            Shape::Metadata(_) | Shape::Table(_) => {
                let mut out = Vec::with_capacity(stored.len());
                self.write_alone(&mut out, stored, table::Header::Shown);
                out.into()
            }
        };
        self.answer(code, bytes)
    }

    /// The answer that holds the replicas of an object, given as it is stored.
    ///
    /// # Errors
    /// `NotFound` where its resource type has none.
    pub(crate) fn scale(&self, code: u16, stored: &Bytes) -> Result<Response, Status> {
        let scale = scale_of(&self.served.definition, &decoded(stored)).ok_or_else(Status::no_such_path)?;
        Ok(self.answer(code, scale.to_string().into()))
    }

    /// The answer with these bytes of JSON, made pretty where asked.
    pub(crate) fn answer(&self, code: u16, bytes: Bytes) -> Response {
        let content_type = match self.accept.format {
            Format::Json => JSON,
            Format::Yaml => YAML,
        };
        let bytes = match self.pretty || self.accept.format == Format::Yaml {
            true => super::pretty_text(&decoded(&bytes)).into(),
            false => bytes,
        };
        super::typed(code, super::Body::Full(bytes), content_type)
    }

    /// A stored object in the version spoken; without a copy where that is the stored one.
    pub(crate) fn spoken(&self, stored: &Bytes) -> Bytes {
        if self.as_stored {
            return stored.clone();
        }
        self.spoken_value(decoded(stored)).to_string().into()
    }

    fn spoken_value(&self, mut value: Value) -> Value {
        if self.served.definition.strategy.completes() {
            self.served.definition.strategy.default(&mut value);
        }
        if let Some(from_stored) = self.served.version.from_stored {
            from_stored(&mut value);
        }
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Value::String(self.api_version.clone()));
        }
        value
    }

    /// Writes an object as an item of a list: itself, its metadata, or a row.
    pub(super) fn write_item(&self, out: &mut Vec<u8>, stored: &Bytes) {
        match self.accept.shape {
            Shape::Object | Shape::Discovery(_) => out.extend_from_slice(&self.spoken(stored)),
            Shape::Metadata(version) => write_metadata_object(out, version, stored),
            Shape::Table(version) => self.write_row(out, version, stored),
        }
    }

    /// Writes an object as it stands alone in an answer or an event: a row in a table of its own.
    fn write_alone(&self, out: &mut Vec<u8>, stored: &Bytes, header: table::Header) {
        let Shape::Table(version) = self.accept.shape else {
            return self.write_item(out, stored);
        };
        let metadata = metadata_of(stored);
        let revision = serde_json::from_str::<Versioned<'_>>(metadata.get()).map_or("", |it| it.resource_version);
        table::open(out, &self.served.definition, version, &format!("{{\"resourceVersion\":\"{revision}\"}}"), header);
        self.write_row(out, version, stored);
        out.extend_from_slice(b"]}");
    }

    fn write_row(&self, out: &mut Vec<u8>, version: &str, stored: &Bytes) {
        let value = decoded(stored);
        table::write_cells(out, &self.served.definition, &value, self.now);
        match self.rows {
            RowObject::None => out.extend_from_slice(b"null"),
            RowObject::Metadata => write_metadata_object(out, version, stored),
            RowObject::Whole => out.extend_from_slice(&self.spoken(stored)),
        }
        out.push(b'}');
    }

    /// One line of a watch. `is_first` tells that no line went before it: a table's columns are described once.
    pub(crate) fn event(&self, kind: EventKind, stored: &Bytes, is_first: bool) -> Bytes {
        let mut out = Vec::with_capacity(stored.len() + 48);
        open_event(&mut out, kind);
        self.write_alone(&mut out, stored, if is_first { table::Header::Shown } else { table::Header::Known });
        close_event(out)
    }

    /// A bookmark at a revision, for a client that wants to know how far it has seen.
    pub(crate) fn bookmark(&self, revision: u64, ends_initial_events: bool) -> Bytes {
        let mut metadata = serde_json::json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if let Some(fields) = metadata.as_object_mut().filter(|_| ends_initial_events) {
            fields.insert("annotations".to_owned(), serde_json::json!({INITIAL_EVENTS_END: "true"}));
        }
        let object = match self.accept.shape {
            Shape::Metadata(version) => serde_json::json!({
                "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
            }),
            Shape::Table(version) => table::bookmark(&self.served.definition, version, metadata, self.rows),
            Shape::Object | Shape::Discovery(_) => {
                serde_json::json!({"kind": self.kind(), "apiVersion": self.api_version, "metadata": metadata})
            }
        };
        let mut out = Vec::new();
        open_event(&mut out, EventKind::Bookmark);
        out.extend_from_slice(object.to_string().as_bytes());
        close_event(out)
    }
}

/// The line that ends a watch with a refusal.
pub(crate) fn error_event(status: &Status) -> Bytes {
    format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status.to_value()).into()
}

fn open_event(out: &mut Vec<u8>, kind: EventKind) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

fn close_event(mut out: Vec<u8>) -> Bytes {
    out.extend_from_slice(b"}\n");
    out.into()
}

fn decoded(stored: &Bytes) -> Value {
    serde_json::from_slice(stored).expect("what the store encoded decodes")
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned<'a> {
    #[serde(default)]
    resource_version: &'a str,
}

fn metadata_of(stored: &Bytes) -> &RawValue {
    serde_json::from_slice::<Envelope<'_>>(stored).expect("every object has metadata").metadata
}

fn write_metadata_object(out: &mut Vec<u8>, version: &str, stored: &Bytes) {
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/");
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    out.extend_from_slice(metadata_of(stored).get().as_bytes());
    out.push(b'}');
}
