//! The OpenAPI documents of what is served.

use hyper::HeaderMap;
use hyper::header::ACCEPT;
use sampan_core::schema::openapi::{self, Endpoint, GroupVersion, SubEndpoint};
use sampan_core::schema::swagger;
use sampan_core::status::Status;

use super::catalogue::{Catalogue, Resource};
use super::gnostic;
use crate::response::{self, Response};

/// `/openapi/v3`: where the document of each group and version is.
pub(super) fn index(catalogue: &Catalogue) -> Vec<u8> {
    with_endpoints(catalogue, |documents| {
        openapi::index(documents.iter().map(|(group_version, endpoints)| (*group_version, endpoints.as_slice())))
    })
}

/// `/openapi/v3/<root>`, where the root is `api/v1` or `apis/<group>/<version>`.
///
/// # Errors
/// `NotFound` where nothing is served there.
pub(super) fn document(catalogue: &Catalogue, root: &[&str]) -> Result<Vec<u8>, Status> {
    let wanted = root.join("/");
    with_endpoints(catalogue, |documents| {
        let found = documents.iter().find(|(group_version, _)| group_version.root() == wanted);
        found.map(|(group_version, endpoints)| openapi::document(*group_version, endpoints))
    })
    .ok_or_else(Status::no_such_path)
}

/// `/openapi/v2`, in JSON or, where the client names its media type, in protobuf.
pub(super) fn v2(catalogue: &Catalogue, headers: &HeaderMap) -> Response {
    let document = with_endpoints(catalogue, |documents| {
        let endpoints: Vec<Endpoint<'_>> = documents.iter().flat_map(|(_, endpoints)| endpoints).copied().collect();
        swagger::document(&endpoints)
    });
    match gnostic::ASKED.into_iter().any(|media| accepts(headers, media)) {
        true => response::bytes(gnostic::document(&document), gnostic::MEDIA_TYPE),
        false => response::bytes(document.to_string(), response::JSON),
    }
}

fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|clause| clause.split(';').next().unwrap_or_default().trim() == media)
}

type Documents<'a> = [(GroupVersion<'a>, Vec<Endpoint<'a>>)];

fn with_endpoints<R>(catalogue: &Catalogue, read: impl FnOnce(&Documents<'_>) -> R) -> R {
    let versions = catalogue.groups.iter().flat_map(|group| {
        group.versions.iter().map(|version| (GroupVersion { group: group.name, version: version.name }, version))
    });
    let versions: Vec<_> = versions.collect();
    let below: Vec<Vec<Vec<SubEndpoint<'_>>>> =
        versions.iter().map(|(_, version)| version.resources.iter().map(subendpoints).collect()).collect();
    let documents: Vec<(GroupVersion<'_>, Vec<Endpoint<'_>>)> = versions
        .iter()
        .zip(&below)
        .map(|((group_version, version), below)| {
            let endpoints = version.resources.iter().zip(below).map(|(resource, below)| endpoint(resource, below));
            (*group_version, endpoints.collect())
        })
        .collect();
    read(&documents)
}

fn subendpoints(resource: &Resource) -> Vec<SubEndpoint<'_>> {
    resource
        .subresources
        .iter()
        .filter(|subresource| !subresource.schema.is_empty())
        .map(|subresource| SubEndpoint {
            name: subresource.name,
            group_version: GroupVersion { group: subresource.group, version: subresource.version },
            kind: subresource.kind,
            schema: &subresource.schema,
            verbs: &subresource.verbs,
        })
        .collect()
}

fn endpoint<'a>(resource: &'a Resource, subresources: &'a [SubEndpoint<'a>]) -> Endpoint<'a> {
    Endpoint {
        plural: resource.definition.resource.plural,
        kind: resource.definition.kind,
        schema: resource.version.schema.name(),
        own_schema: resource.version.schema.own_text(),
        namespaced: resource.is_namespaced(),
        verbs: &resource.verbs,
        subresources,
    }
}
