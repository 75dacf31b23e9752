//! What a mutation needs to be allowed.

use super::Mutation;
use crate::access::{Attributes, ResourceAttributes};
use crate::resource::Verb;

/// What a mutation needs to be allowed.
pub(super) fn attributes(mutation: &Mutation) -> Attributes<'_> {
    let (target, verb) = (&mutation.target, mutation.action.verb());
    // Who may delete many needs no right to each.
    let name = target.name.as_deref().filter(|_| verb != Verb::DeleteCollection);
    let resource = ResourceAttributes::of(target.resource(), target.namespace.as_deref(), name);
    Attributes::resource(&mutation.identity, verb, resource.part(target.subresource.as_str()))
}

/// What the same mutation needs where it creates an object that it was not known to create.
pub(super) fn creation(mutation: &Mutation) -> Attributes<'_> {
    Attributes { verb: Verb::Create.as_str(), ..attributes(mutation) }
}
