//! Who may do what.

use super::{Identity, Mutation};
use crate::object::ResourceType;
use crate::resource::Verb;
use crate::status::Status;

/// What is to be authorized.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// To do what.
    pub verb: Verb,
    /// With which resource type.
    pub resource: ResourceType,
    /// With which part of the object; empty for the whole.
    pub subresource: &'a str,
    /// In which namespace.
    pub namespace: Option<&'a str>,
    /// With which object.
    pub name: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// What a mutation needs to be allowed.
    pub(super) fn of(mutation: &'a Mutation) -> Self {
        Self {
            identity: &mutation.identity,
            verb: mutation.action.verb(),
            resource: mutation.target.resource(),
            subresource: mutation.target.subresource.as_str(),
            namespace: mutation.target.namespace.as_deref(),
            name: mutation.target.name.as_deref(),
        }
    }
}

/// Decides who may do what.
pub trait Authorizer: Send + Sync {
    /// Lets it pass or says no.
    ///
    /// # Errors
    /// `Forbidden`.
    fn authorize(&self, attributes: &Attributes<'_>) -> Result<(), Status>;
}

/// Cluster administrators, Sampan's own operators and manifests may do everything; nodes what a node does; others nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemAuthorizer;

/// The group of cluster administrators.
const MASTERS: &str = "system:masters";
/// The group of nodes.
const NODES: &str = "system:nodes";

impl Authorizer for SystemAuthorizer {
    fn authorize(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let in_group = |group: &str| attributes.identity.groups.iter().any(|it| it == group);
        if in_group(MASTERS) || (in_group(NODES) && a_node_may(attributes)) {
            return Ok(());
        }
        Err(forbidden(attributes))
    }
}

/// What a node reads to run its pods, and what it reports. Limiting it to its own pods comes with RBAC.
fn a_node_may(attributes: &Attributes<'_>) -> bool {
    let resource = (attributes.resource.group, attributes.resource.plural);
    match resource {
        ("", "pods" | "configmaps" | "secrets" | "serviceaccounts" | "services" | "namespaces")
            if attributes.verb.reads() =>
        {
            true
        }
        ("", "pods") => attributes.subresource == "status" || attributes.verb == Verb::Delete,
        ("", "nodes") | ("coordination.k8s.io", "leases") => attributes.verb != Verb::DeleteCollection,
        ("" | "events.k8s.io", "events") => {
            matches!(attributes.verb, Verb::Create | Verb::Update | Verb::Patch | Verb::Get)
        }
        _ => false,
    }
}

fn forbidden(attributes: &Attributes<'_>) -> Status {
    let resource = match attributes.subresource {
        "" => attributes.resource.plural.to_owned(),
        subresource => format!("{}/{subresource}", attributes.resource.plural),
    };
    let place = match attributes.namespace {
        Some(namespace) => format!(" in the namespace {namespace:?}"),
        None => " at the cluster scope".to_owned(),
    };
    let named = attributes.name.map(|name| format!(" {name:?}")).unwrap_or_default();
    Status::forbidden(format!(
        "{}{named} is forbidden: User {:?} cannot {} resource {resource:?} in API group {:?}{place}",
        attributes.resource,
        attributes.identity.user,
        attributes.verb.as_str(),
        attributes.resource.group,
    ))
}
