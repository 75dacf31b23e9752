//! Which of the answers we can give a client would rather have.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING};
use sampan_core::status::Status;

/// The encoding of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML, of which JSON is a part: the same text under another name.
    Yaml,
}

/// What an object is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As it is.
    Object,
    /// A row of a table, in this version of `meta.k8s.io`.
    Table(&'static str),
    /// Its metadata alone, in this version of `meta.k8s.io`.
    Metadata(&'static str),
    /// A discovery document with everything in one.
    Discovery(DiscoveryVersion),
}

/// Versions of `apidiscovery.k8s.io`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiscoveryVersion {
    /// Since Kubernetes 1.30.
    V2,
    /// Since Kubernetes 1.27.
    V2Beta1,
}

impl DiscoveryVersion {
    /// As it is spelled in `Accept` and `apiVersion`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }
}

/// What the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accept {
    /// The encoding.
    pub(crate) format: Format,
    /// What an object is turned into.
    pub(crate) shape: Shape,
}

/// Where an answer is wanted: not every shape is given everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Objects,
    Discovery,
}

const ACCEPTED: &str =
    "only the following media types are accepted: application/json, application/yaml, application/json;stream=watch";

impl Accept {
    /// For objects: plain, as a table or as metadata alone.
    ///
    /// # Errors
    /// `NotAcceptable` where nothing we can write is accepted.
    pub(crate) fn objects(headers: &HeaderMap) -> Result<Self, Status> {
        negotiate(headers, Place::Objects)
    }

    /// For discovery: plain or aggregated.
    ///
    /// # Errors
    /// `NotAcceptable` where nothing we can write is accepted.
    pub(crate) fn discovery(headers: &HeaderMap) -> Result<Self, Status> {
        negotiate(headers, Place::Discovery)
    }
}

fn negotiate(headers: &HeaderMap, place: Place) -> Result<Accept, Status> {
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    for value in headers.get_all(ACCEPT) {
        let text = value.to_str().map_err(|_| Status::not_acceptable(ACCEPTED))?;
        clauses.extend(text.split(',').map(str::trim).filter(|clause| !clause.is_empty()).map(Clause::new));
    }
    if clauses.is_empty() {
        return Ok(Accept { format: Format::Json, shape: Shape::Object });
    }
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.quality));
    clauses.iter().find_map(|clause| clause.answer(place)).ok_or_else(|| Status::not_acceptable(ACCEPTED))
}

/// One alternative of an `Accept` header.
struct Clause<'a> {
    media: &'a str,
    shape: Option<&'a str>,
    group: Option<&'a str>,
    version: Option<&'a str>,
    /// Thousandths.
    quality: u16,
}

impl<'a> Clause<'a> {
    fn new(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let mut clause = Self { media, shape: None, group: None, version: None, quality: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name {
                "as" => clause.shape = Some(value),
                "g" => clause.group = Some(value),
                "v" => clause.version = Some(value),
                "q" => clause.quality = value.parse::<f32>().map_or(1000, |quality| (quality * 1000.0) as u16),
                _ => {}
            }
        }
        clause
    }

    fn answer(&self, place: Place) -> Option<Accept> {
        let format = match self.media {
            "application/json" | "application/*" | "*/*" => Format::Json,
            "application/yaml" => Format::Yaml,
            _ => return None,
        };
        Some(Accept { format, shape: self.shape(place)? })
    }

    fn shape(&self, place: Place) -> Option<Shape> {
        let Some(shape) = self.shape else { return Some(Shape::Object) };
        let meta_version = match self.version {
            Some("v1") => Some("v1"),
            Some("v1beta1") => Some("v1beta1"),
            _ => None,
        };
        match (place, shape, self.group) {
            (Place::Objects, "Table", Some("meta.k8s.io")) => meta_version.map(Shape::Table),
            (Place::Objects, "PartialObjectMetadata" | "PartialObjectMetadataList", Some("meta.k8s.io")) => {
                meta_version.map(Shape::Metadata)
            }
            (Place::Discovery, "APIGroupDiscoveryList", Some("apidiscovery.k8s.io")) => match self.version {
                Some("v2") => Some(Shape::Discovery(DiscoveryVersion::V2)),
                Some("v2beta1") => Some(Shape::Discovery(DiscoveryVersion::V2Beta1)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether the client can unpack gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| part == "q=0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())])
    }

    fn check(accept: &str, expect: Option<(Format, Shape)>) {
        let found = Accept::objects(&headers(accept)).ok().map(|accept| (accept.format, accept.shape));
        assert_eq!(found, expect, "{accept}");
    }

    #[test]
    fn the_first_answer_we_can_give_is_given() {
        check("application/json", Some((Format::Json, Shape::Object)));
        check("*/*", Some((Format::Json, Shape::Object)));
        check("application/yaml", Some((Format::Yaml, Shape::Object)));
        check("application/vnd.kubernetes.protobuf, application/json", Some((Format::Json, Shape::Object)));
        check("application/vnd.kubernetes.protobuf", None);
        check("text/html", None);
        check("text/html, application/json;q=0.5, application/yaml;q=0.9", Some((Format::Yaml, Shape::Object)));
    }

    #[test]
    fn tables_and_metadata_are_asked_for_by_parameters() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        check(kubectl, Some((Format::Json, Shape::Table("v1"))));
        check("application/json;as=Table;v=v9;g=meta.k8s.io, application/json", Some((Format::Json, Shape::Object)));
        check("application/json;as=Table;v=v9;g=meta.k8s.io", None);
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        check(metadata, Some((Format::Json, Shape::Metadata("v1"))));
    }

    #[test]
    fn discovery_is_plain_where_only_tables_or_nothing_is_known() {
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let found = Accept::discovery(&headers(aggregated)).unwrap();
        assert_eq!(found.shape, Shape::Discovery(DiscoveryVersion::V2));
        let plain =
            Accept::discovery(&headers("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")).unwrap();
        assert_eq!(plain.shape, Shape::Object);
    }
}
