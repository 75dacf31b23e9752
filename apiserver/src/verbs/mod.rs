//! What may be done with a resource type, the same for every one.

mod collection;
mod connection;
mod delete;
mod eviction;
mod list;
mod measure;
mod pod;
mod proxy;
mod read;
mod selection;
mod watch;
mod write;

use sampan_core::gateway::{Subresource, Verb};
use sampan_core::resource::{SubresourceDefinition, SubresourceHandler};
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
        "" if definition.verbs.contains(&verb) => match &definition.measure {
            Some(measure) => measure::measure(&call, &**measure, verb).await,
            None => whole(call, verb).await,
        },
        "" => Err(Status::method_not_allowed()),
        "status" if definition.has_status => part(call, verb, Subresource::Status).await,
        "scale" if definition.scale.is_some() => part(call, verb, Subresource::Scale).await,
        other => match definition.subresource(other) {
            Some(subresource) if subresource.allows(verb) => named(call, verb, subresource).await,
            Some(_) => Err(Status::method_not_allowed()),
            None => Err(Status::no_such_path()),
        },
    }
}

async fn whole(call: Call, verb: Verb) -> Result<Response, Status> {
    match verb {
        Verb::Create => write::create(call, Subresource::Whole).await,
        Verb::Get => read::get(&call).await,
        Verb::List => list::list(&call).await,
        Verb::Watch => watch::watch(&call).await,
        Verb::Update => write::update(call, Subresource::Whole).await,
        Verb::Patch => write::patch(call, Subresource::Whole).await,
        Verb::Delete => delete::delete(call).await,
        Verb::DeleteCollection => collection::delete(call).await,
    }
}

async fn part(call: Call, verb: Verb, subresource: Subresource) -> Result<Response, Status> {
    match verb {
        Verb::Get if subresource == Subresource::Scale => read::scale(&call).await,
        Verb::Get => read::get(&call).await,
        Verb::Update => write::update(call, subresource).await,
        Verb::Patch => write::patch(call, subresource).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// Subresources of the resource type's own; the verb is one they declare.
async fn named(call: Call, verb: Verb, subresource: &SubresourceDefinition) -> Result<Response, Status> {
    match subresource.handler {
        SubresourceHandler::Log => pod::log(call).await,
        SubresourceHandler::Exec | SubresourceHandler::Attach => pod::stream(call, subresource).await,
        SubresourceHandler::PortForward => pod::port_forward(call, subresource).await,
        SubresourceHandler::Proxy => proxy::pass_on(call, verb, subresource).await,
        SubresourceHandler::Eviction => eviction::evict(call, subresource.name).await,
        SubresourceHandler::Command => write::command(call, subresource.name).await,
        SubresourceHandler::Question => write::create(call, Subresource::Named(subresource.name)).await,
        SubresourceHandler::Fields => part(call, verb, Subresource::Named(subresource.name)).await,
    }
}
