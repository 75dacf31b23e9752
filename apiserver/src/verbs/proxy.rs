//! Requests for servers in the cluster: those in pods, those behind Services, and the daemons of nodes.

use hyper::header::{HeaderValue, LOCATION, UPGRADE};
use hyper::{Method, Uri};
use sampan_core::gateway::Verb;
use sampan_core::object::Name;
use sampan_core::resource::{ProxyName, SubresourceDefinition};
use sampan_core::status::Status;

use super::pod::admit;
use crate::call::Call;
use crate::proxy::{Server, pass};
use crate::response::{self, Response};

/// Passes a request on to whom it is for, and the answer back.
pub(super) async fn pass_on(call: Call, verb: Verb, subresource: &SubresourceDefinition) -> Result<Response, Status> {
    call.authorize(verb)?;
    let definition = call.path.served.definition.clone();
    let told = call.path.name.clone().unwrap_or_default();
    let no_name = || Status::bad_request(format!("invalid {} request {told:?}", definition.singular));
    let asked = ProxyName::parse(&told).ok_or_else(no_name)?;
    let name = Name::from(asked.name);
    let (key, snapshot) = (call.key_of(name.clone()), call.state.snapshot());
    let object = snapshot.get(&key).ok_or_else(|| Status::not_found(&key.resource.to_string(), &key.name))?;
    admit(&call, Some(&name), subresource, verb).await?;
    let destination = definition.strategy.destination(object, &asked, &snapshot)?;
    let only_asks = matches!(call.parts.method, Method::GET | Method::HEAD) && !call.headers().contains_key(UPGRADE);
    let Call { state, parts, body, path, .. } = call;
    match path.beyond {
        None if only_asks => to_the_root(&parts.uri),
        beyond => {
            let server = Server::of(destination, asked.is_tls, &state);
            pass(&state, &server, (parts, body), &beyond.unwrap_or_default()).await
        }
    }
}

/// Without the slash at the end, links that are relative would lead beside the server.
fn to_the_root(uri: &Uri) -> Result<Response, Status> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let place = HeaderValue::from_str(&format!("{}/{query}", uri.path()));
    let mut response = response::empty(301);
    response.headers_mut().insert(LOCATION, place.map_err(|error| Status::internal(error.to_string()))?);
    Ok(response)
}
