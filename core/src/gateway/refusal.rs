//! What the sequencer's refusals mean to a client.

use super::admission::{definition_terminating, namespace_terminating};
use crate::object::ObjectKey;
use crate::status::Status;
use crate::store::Refusal;

/// The answer to a client whose write the sequencer refused. `key` is what the write was about.
pub fn refusal_status(refusal: &Refusal, key: &ObjectKey) -> Status {
    let resource = key.resource.to_string();
    match refusal {
        Refusal::Exists(key) => Status::already_exists(&resource, &key.name),
        Refusal::Missing(key) => Status::not_found(&resource, &key.name),
        Refusal::Changed { .. } | Refusal::Guard { .. } => Status::conflict(
            &resource,
            &key.name,
            "the object has been modified; please apply your changes to the latest version and try again",
        ),
        Refusal::NamespaceMissing(namespace) => Status::not_found("namespaces", namespace),
        Refusal::NamespaceTerminating(namespace) => namespace_terminating(&resource, &key.name, namespace),
        Refusal::NotLasting(_) => definition_terminating(),
        Refusal::TooManyChanges { .. } => Status::too_large(refusal.to_string()),
        Refusal::Overloaded => Status::too_many_requests("too many writes wait already; try again"),
        Refusal::Unavailable(_) => Status::unavailable(refusal.to_string()),
    }
}
