//! What may be done with a resource type, the same for every one.

mod collection;
mod delete;
mod eviction;
mod list;
mod pod;
mod read;
mod selection;
mod watch;
mod write;

use sampan_core::gateway::{Subresource, Verb};
use sampan_core::status::Status;

use crate::call::Call;
use crate::response::Response;

/// The answer to a request for a resource.
///
/// # Errors
/// Whatever is refused.
pub(crate) async fn serve(call: Call) -> Result<Response, Status> {
    let verb = call.verb().ok_or_else(Status::method_not_allowed)?;
    let definition = call.path.served.definition.clone();
    match call.subresource() {
        "" => whole(call, verb).await,
        "status" if definition.has_status => part(call, verb, Subresource::Status).await,
        "scale" if definition.scale.is_some() => part(call, verb, Subresource::Scale).await,
        other => match definition.subresources.iter().find(|name| **name == other) {
            Some(name) => named(call, verb, name).await,
            None => Err(Status::no_such_path()),
        },
    }
}

async fn whole(call: Call, verb: Verb) -> Result<Response, Status> {
    match verb {
        Verb::Get => read::get(&call),
        Verb::List => list::list(&call),
        Verb::Watch => watch::watch(&call),
        Verb::Create => write::create(call, Subresource::Whole).await,
        Verb::Update => write::update(call, Subresource::Whole).await,
        Verb::Patch => write::patch(call, Subresource::Whole).await,
        Verb::Delete => delete::delete(call).await,
        Verb::DeleteCollection => collection::delete(call).await,
    }
}

async fn part(call: Call, verb: Verb, subresource: Subresource) -> Result<Response, Status> {
    match verb {
        Verb::Get if subresource == Subresource::Scale => read::scale(&call),
        Verb::Get => read::get(&call),
        Verb::Update => write::update(call, subresource).await,
        Verb::Patch => write::patch(call, subresource).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// Subresources that are more than a part of the object.
async fn named(call: Call, verb: Verb, name: &'static str) -> Result<Response, Status> {
    match (name, verb) {
        ("log", Verb::Get) => pod::log(call).await,
        ("exec" | "attach", Verb::Get | Verb::Create) => pod::stream(call, name).await,
        ("portforward", Verb::Get | Verb::Create) => pod::port_forward(call).await,
        ("eviction", Verb::Create) => eviction::evict(call).await,
        ("log" | "exec" | "attach" | "portforward" | "eviction", _) => Err(Status::method_not_allowed()),
        (_, Verb::Get) => read::get(&call),
        (_, Verb::Create) => write::create(call, Subresource::Named(name)).await,
        (_, Verb::Update) => write::update(call, Subresource::Named(name)).await,
        (_, Verb::Patch) => write::patch(call, Subresource::Named(name)).await,
        _ => Err(Status::method_not_allowed()),
    }
}
