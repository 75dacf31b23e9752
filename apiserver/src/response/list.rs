//! Lists, written piece by piece: the memory a list takes does not grow with its length.

use bytes::Bytes;
use futures::stream;
use hyper::header::{CONTENT_ENCODING, HeaderValue, VARY};
use serde_json::{Value, json};

use super::gzip::Gzip;
use super::{Body, JSON, Response, View, table};
use crate::request::{Format, Shape};

/// The size of a piece, in bytes: a few TLS records.
const PIECE_BYTES: usize = 32 << 10;
/// A list above this size, in bytes, is packed where the client can unpack, as Kubernetes does.
const PACKED_BYTES_MIN: usize = 128 << 10;

/// What a list says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListMetadata {
    /// The revision it was read at.
    pub(crate) revision: u64,
    /// Where to go on; empty at the end.
    pub(crate) continue_token: String,
    /// How many come after it, where that is known.
    pub(crate) remaining: Option<usize>,
}

impl ListMetadata {
    fn to_text(&self) -> String {
        let mut value = json!({"resourceVersion": self.revision.to_string()});
        if let Some(fields) = value.as_object_mut() {
            if !self.continue_token.is_empty() {
                fields.insert("continue".to_owned(), Value::String(self.continue_token.clone()));
            }
            if let Some(remaining) = self.remaining {
                fields.insert("remainingItemCount".to_owned(), Value::from(remaining));
            }
        }
        value.to_string()
    }
}

/// The answer that lists these objects, given as they are stored.
pub(crate) fn list(view: View, objects: Vec<Bytes>, metadata: &ListMetadata, gzip: bool) -> Response {
    let whole = view.pretty || view.accept.format == Format::Yaml;
    let mut pieces = Pieces::new(view, objects, metadata);
    let mut start = Vec::new();
    while whole || start.len() <= PACKED_BYTES_MIN {
        match pieces.next() {
            Some(piece) => start.extend_from_slice(&piece),
            None => return pieces.view.answer(200, start.into()),
        }
    }
    let pieces = std::iter::once(Bytes::from(start)).chain(pieces);
    if !gzip {
        return super::typed(200, Body::stream(stream::iter(pieces)), JSON);
    }
    let mut response = super::typed(200, Body::stream(stream::iter(Gzip::new(pieces))), JSON);
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A list in pieces.
struct Pieces {
    view: View,
    objects: std::vec::IntoIter<Bytes>,
    head: Option<Vec<u8>>,
    is_first: bool,
    is_closed: bool,
}

impl Pieces {
    fn new(view: View, objects: Vec<Bytes>, metadata: &ListMetadata) -> Self {
        let head = open(&view, &metadata.to_text());
        Self { view, objects: objects.into_iter(), head: Some(head), is_first: true, is_closed: false }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.is_closed {
            return None;
        }
        let mut piece = self.head.take().unwrap_or_default();
        while piece.len() < PIECE_BYTES {
            let Some(object) = self.objects.next() else {
                piece.extend_from_slice(b"]}");
                self.is_closed = true;
                break;
            };
            if !std::mem::take(&mut self.is_first) {
                piece.push(b',');
            }
            self.view.write_item(&mut piece, &object);
        }
        Some(piece.into())
    }
}

fn open(view: &View, metadata: &str) -> Vec<u8> {
    let (kind, api_version) = match view.accept.shape {
        Shape::Table(version) => {
            let mut out = Vec::new();
            table::open(&mut out, &view.served.definition, version, metadata, table::Header::Shown);
            return out;
        }
        Shape::Metadata(version) => ("PartialObjectMetadata", format!("meta.k8s.io/{version}")),
        Shape::Object | Shape::Discovery(_) => (view.kind(), view.api_version().to_owned()),
    };
    format!("{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[").into()
}
