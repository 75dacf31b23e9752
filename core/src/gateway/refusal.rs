//! What the sequencer's refusals mean to a client.

use super::admission::{exceeded, namespace_terminating};
use super::create::definition_terminating;
use crate::object::ObjectKey;
use crate::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;
use crate::status::Status;
use crate::store::{Refusal, Unmet};

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
        Refusal::Unmet { unmet: Unmet::Missing(needed) | Unmet::Terminating(needed), .. }
            if needed.resource == CUSTOM_RESOURCE_DEFINITIONS =>
        {
            definition_terminating()
        }
        Refusal::Unmet { unmet: Unmet::Missing(needed), .. } => {
            Status::not_found(&needed.resource.to_string(), &needed.name)
        }
        Refusal::Unmet { unmet: Unmet::Terminating(namespace), .. } => {
            namespace_terminating(&resource, &key.name, &namespace.name)
        }
        Refusal::Unmet { unmet: Unmet::Taken { by, .. }, .. } => {
            Status::conflict(&resource, &key.name, &format!("what it was given belongs to {by}; please try again"))
        }
        Refusal::Unmet { unmet: Unmet::Exceeded { owner, excesses }, .. } => {
            Status::forbidden(format!("{resource} {:?} is forbidden: {}", key.name, exceeded(owner, excesses)))
        }
        Refusal::TooManyChanges { .. } => Status::too_large(refusal.to_string()),
        Refusal::Overloaded => Status::too_many_requests("too many writes wait already; try again"),
        Refusal::Unavailable(_) => Status::unavailable(refusal.to_string()),
    }
}
