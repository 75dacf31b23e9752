//! What somebody may do, for expressions that ask: decided as for a request of theirs.

use std::fmt;

use super::AdmissionRequest;
use super::subject::Subject;
use crate::access::{Attributes, Identity, ResourceAttributes, What as Asked};
use crate::cel::{Authority, Decision, Resource, What, Who};
use crate::resource::ServedVersion;

/// What somebody may do as the cluster stands at a request.
pub(super) struct Rights<'a> {
    request: &'a AdmissionRequest<'a>,
    resource: Resource,
}

impl<'a> Rights<'a> {
    /// The rights at a request that is seen in a version of its resource.
    pub(super) fn new(subject: &Subject<'a>, version: &ServedVersion) -> Self {
        let target = &subject.request.mutation.target;
        let resource = Resource {
            group: version.group.to_owned(),
            resource: target.resource().plural.to_owned(),
            subresource: target.subresource.as_str().to_owned(),
            namespace: subject.namespace().to_owned(),
            name: subject.name().to_owned(),
            field_selector: String::new(),
        };
        Self { request: subject.request, resource }
    }
}

impl fmt::Debug for Rights<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rights")
    }
}

impl Authority for Rights<'_> {
    fn decide(&self, who: &Who, what: &What, verb: &str) -> Decision {
        let account;
        let identity = match who {
            Who::Requester => &self.request.mutation.identity,
            Who::ServiceAccount(namespace, name) => {
                account = Identity::service_account(namespace, name);
                &account
            }
        };
        let what = match what {
            What::Path(path) => Asked::Path(path),
            What::Resource(resource) => Asked::Resource(attributes(resource)),
        };
        let verdict =
            self.request.gateway.authorizer().authorize(self.request.snapshot, &Attributes { identity, verb, what });
        Decision { allowed: verdict.allowed, reason: verdict.reason }
    }

    fn request_resource(&self) -> &Resource {
        &self.resource
    }
}

fn attributes(resource: &Resource) -> ResourceAttributes<'_> {
    ResourceAttributes {
        group: &resource.group,
        resource: &resource.resource,
        subresource: &resource.subresource,
        namespace: given(&resource.namespace),
        name: given(&resource.name),
        of_node: resource.field_selector.split(',').find_map(|part| {
            part.strip_prefix("spec.nodeName=").map(|node| node.trim_start_matches('=')).filter(|node| !node.is_empty())
        }),
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
