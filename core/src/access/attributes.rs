//! What is asked for.

use super::Identity;
use crate::object::ResourceType;
use crate::resource::Verb;
use crate::status::{Status, StatusDetails};

/// What is to be authorized.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// To do what: one of [`Verb`] or a verb of rules alone, such as `impersonate`.
    pub verb: &'a str,
    /// With what.
    pub what: What<'a>,
}

/// What something is to be done with.
#[derive(Debug, Clone)]
pub enum What<'a> {
    /// A resource.
    Resource(ResourceAttributes<'a>),
    /// A path that is no resource, such as `/metrics`.
    Path(&'a str),
}

/// A resource, or many of a type.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceAttributes<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The plural name.
    pub resource: &'a str,
    /// The part of the object; empty for the whole.
    pub subresource: &'a str,
    /// In which namespace; `None` for all of them, and for what is in none.
    pub namespace: Option<&'a str>,
    /// Which object; `None` for any.
    pub name: Option<&'a str>,
    /// The node whose objects alone are asked for, by a selector for `spec.nodeName`.
    pub of_node: Option<&'a str>,
}

impl<'a> ResourceAttributes<'a> {
    /// What of a resource type a request is about. A namespace lies in itself: who may do something in it may do it to it.
    pub fn of(resource: ResourceType, namespace: Option<&'a str>, name: Option<&'a str>) -> Self {
        let is_namespace = resource == ResourceType::new("", "namespaces");
        let namespace = if is_namespace { name } else { namespace };
        Self { group: resource.group, resource: resource.plural, namespace, name, ..Self::default() }
    }

    /// The part of it.
    pub fn part(self, subresource: &'a str) -> Self {
        Self { subresource, ..self }
    }
}

impl<'a> Attributes<'a> {
    /// Something to be done with a resource.
    pub fn resource(identity: &'a Identity, verb: Verb, resource: ResourceAttributes<'a>) -> Self {
        Self { identity, verb: verb.as_str(), what: What::Resource(resource) }
    }

    /// Something to be done at a path that is no resource.
    pub fn path(identity: &'a Identity, verb: &'a str, path: &'a str) -> Self {
        Self { identity, verb, what: What::Path(path) }
    }
}

/// The refusal of what nobody allowed. `reason` may be empty.
pub fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    let (user, verb) = (&attributes.identity.user, attributes.verb);
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let asked = match &attributes.what {
        What::Path(path) => {
            return Status::forbidden(format!("forbidden: User {user:?} cannot {verb} path {path:?}{reason}"));
        }
        What::Resource(asked) => asked,
    };
    let resource = match asked.subresource {
        "" => asked.resource.to_owned(),
        subresource => format!("{}/{subresource}", asked.resource),
    };
    let place = match asked.namespace {
        Some(namespace) => format!(" in the namespace {namespace:?}"),
        None => " at the cluster scope".to_owned(),
    };
    let qualified = match asked.group {
        "" => asked.resource.to_owned(),
        group => format!("{}.{group}", asked.resource),
    };
    let named = asked.name.map(|name| format!(" {name:?}")).unwrap_or_default();
    let details = StatusDetails {
        name: asked.name.unwrap_or_default().to_owned(),
        group: asked.group.to_owned(),
        kind: asked.resource.to_owned(),
        ..StatusDetails::default()
    };
    Status::forbidden(format!(
        "{qualified}{named} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {:?}{place}{reason}",
        asked.group,
    ))
    .with_details(details)
}
