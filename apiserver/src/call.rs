//! One request for a resource.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::USER_AGENT;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request};
use sampan_core::access::{Attributes, Identity, NODES, ResourceAttributes, SIMULATED_NODES};
use sampan_core::gateway::Verb;
use sampan_core::object::{Name, ObjectKey};
use sampan_core::resource::SubresourceHandler;
use sampan_core::status::Status;
use sampan_core::store::Origin;

use crate::metrics::Observed;
use crate::request::{Accept, FieldSelector, Query, ResourcePath};
use crate::response::View;
use crate::state::State;

/// How much of what a client calls itself is kept with each change.
const CLIENT_BYTES_MAX: usize = 128;
/// What a node's user name begins with.
const NODE_PREFIX: &str = "system:node:";

/// One request for a resource.
pub(crate) struct Call {
    pub(crate) state: Arc<State>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) parts: Parts,
    pub(crate) body: Incoming,
    pub(crate) query: Query,
    pub(crate) path: ResourcePath,
}

impl Call {
    pub(crate) fn new(
        state: Arc<State>,
        identity: Arc<Identity>,
        request: Request<Incoming>,
        query: Query,
        path: ResourcePath,
    ) -> Self {
        let (parts, body) = request.into_parts();
        Self { state, identity, parts, body, query, path }
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The part of the object; empty for the whole.
    pub(crate) fn subresource(&self) -> &str {
        self.path.subresource.as_deref().unwrap_or_default()
    }

    /// Whether changes are asked for.
    pub(crate) fn watches(&self) -> bool {
        let reads = self.parts.method == Method::GET && self.path.subresource.is_none();
        reads && (self.path.watches || (self.path.name.is_none() && self.query.flag("watch")))
    }

    /// Whether the request is for a server behind a proxy.
    fn is_proxied(&self) -> bool {
        let found = self.path.served.definition.subresource(self.subresource());
        found.is_some_and(|subresource| subresource.handler == SubresourceHandler::Proxy)
    }

    /// What is asked, in the API's words; `None` for a method the API does not have.
    pub(crate) fn verb(&self) -> Option<Verb> {
        let named = self.path.name.is_some();
        match self.parts.method.as_str() {
            "GET" if self.watches() => Some(Verb::Watch),
            "GET" if named => Some(Verb::Get),
            "GET" => Some(Verb::List),
            "POST" => Some(Verb::Create),
            "PUT" if named => Some(Verb::Update),
            "PATCH" if named => Some(Verb::Patch),
            "DELETE" if named => Some(Verb::Delete),
            // To the server behind a proxy anything may be said that HTTP has; what only asks is a read.
            "HEAD" | "OPTIONS" if self.is_proxied() => Some(Verb::Get),
            "DELETE" => Some(Verb::DeleteCollection),
            _ => None,
        }
    }

    /// What the request is counted as.
    pub(crate) fn observed(&self) -> Observed {
        let verb = self.verb().map_or("other", Verb::as_str);
        Observed { verb, resource: self.path.served.definition.resource.plural }
    }

    /// The object of the path.
    ///
    /// # Errors
    /// `MethodNotAllowed` where the path names none.
    pub(crate) fn key(&self) -> Result<ObjectKey, Status> {
        let name = self.path.name.clone().ok_or_else(Status::method_not_allowed)?;
        Ok(self.key_of(name))
    }

    /// The object of that name in the place of the path.
    pub(crate) fn key_of(&self, name: Name) -> ObjectKey {
        let resource = self.path.served.definition.resource;
        ObjectKey { resource, namespace: self.path.namespace.clone(), name }
    }

    /// Whether the caller may do that.
    pub(crate) fn authorize(&self, verb: Verb) -> Result<(), Status> {
        let resource = self.path.served.definition.resource;
        let fields = match verb {
            // One that cannot be read, or asks for what the resource type has not, is refused later.
            Verb::List | Verb::Watch => FieldSelector::read(self.query.text("fieldSelector")).unwrap_or_default(),
            _ => FieldSelector::default(),
        };
        let name = self.path.name.as_deref().or_else(|| fields.name());
        let of_node = fields.exact("spec.nodeName").filter(|node| !node.is_empty());
        let asked = ResourceAttributes::of(resource, self.path.namespace.as_deref(), name);
        let asked = ResourceAttributes { of_node, ..asked.part(self.subresource()) };
        self.state.authorize(&Attributes::resource(&self.identity, verb, asked))
    }

    /// How the client wants to see objects.
    pub(crate) fn view(&self) -> Result<View, Status> {
        View::new(self.path.served.clone(), Accept::objects(self.headers())?, &self.query, self.state.now())
    }

    /// The node that asks, where a node does.
    pub(crate) fn node(&self) -> Option<&str> {
        let speaks = self.identity.is_in(NODES) || self.identity.is_in(SIMULATED_NODES);
        self.identity.user.strip_prefix(NODE_PREFIX).filter(|_| speaks)
    }

    /// What a change will say of where it comes from.
    pub(crate) fn origin(&self, verb: Verb) -> Origin {
        if let Some(node) = self.node() {
            return Origin::Node { name: node.to_owned() };
        }
        let client = self.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let client = client.get(..CLIENT_BYTES_MAX).unwrap_or(client).to_owned();
        Origin::Request { user: self.identity.user.clone(), client, verb: verb.as_str().to_owned() }
    }
}
