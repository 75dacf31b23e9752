//! The parts of an object that have an endpoint of their own: what is spoken there, and what may be done.

use super::{ResourceDefinition, Verb};

/// A part of an object that has an endpoint of its own, beyond `status` and `scale`.
#[derive(Debug, Clone, Copy)]
pub struct SubresourceDefinition {
    /// Its name, the last word of the path.
    pub name: &'static str,
    /// What is spoken there; `None` where it is the object itself.
    pub spoken: Option<SpokenKind>,
    /// What may be done there; all else is refused with 405. In the order discovery lists them in.
    pub verbs: &'static [Verb],
    /// Who answers.
    pub handler: SubresourceHandler,
}

/// A kind that is spoken at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpokenKind {
    /// The API group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The name of its schema; `None` where it comes as the parameters of a query.
    pub schema: Option<&'static str>,
}

/// Who answers at a subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubresourceHandler {
    /// The object is read, replaced and patched, and [`Strategy::write_subresource`](super::Strategy::write_subresource)
    /// takes from it the few fields that are written here: a namespace's `finalize`.
    Fields,
    /// A value of another kind is created, and [`Strategy::write_subresource`](super::Strategy::write_subresource)
    /// carries it out on the object: a pod's `binding`.
    Command,
    /// A value of another kind is created, and the [`Question`](super::Question) of that name answers; nothing is kept.
    Question,
    /// A deletion that asks first.
    Eviction,
    /// A container's log, from the object's node.
    Log,
    /// A process started in a container, on the object's node.
    Exec,
    /// The process of a container, on the object's node.
    Attach,
    /// Ports of the object, on its node.
    PortForward,
    /// A server that the object is or stands for, at [`Strategy::destination`](super::Strategy::destination): HTTP is passed
    /// on.
    Proxy,
}

impl SubresourceHandler {
    /// Whether bytes flow for as long as the client likes.
    pub fn streams(self) -> bool {
        matches!(self, Self::Log | Self::Exec | Self::Attach | Self::PortForward | Self::Proxy)
    }
}

impl SpokenKind {
    /// A kind of the core group that comes as the parameters of a query.
    pub const fn options(kind: &'static str) -> Self {
        Self { group: "", version: "v1", kind, schema: None }
    }
}

/// Every verb that stands for a method of HTTP.
const METHODS: &[Verb] = &[Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update];

const REPLACE: &[Verb] = &[Verb::Get, Verb::Patch, Verb::Update];

const STATUS: SubresourceDefinition =
    SubresourceDefinition { name: "status", spoken: None, verbs: REPLACE, handler: SubresourceHandler::Fields };

const SCALE: SubresourceDefinition = SubresourceDefinition {
    name: "scale",
    spoken: Some(SpokenKind {
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
        schema: Some("io.k8s.api.autoscaling.v1.Scale"),
    }),
    verbs: REPLACE,
    handler: SubresourceHandler::Fields,
};

impl SubresourceDefinition {
    /// A part that is read, replaced and patched in the shape of the whole object.
    pub const fn fields(name: &'static str, verbs: &'static [Verb]) -> Self {
        Self { name, spoken: None, verbs, handler: SubresourceHandler::Fields }
    }

    /// A proxy to the server that the object is or stands for.
    pub const fn proxy(options: &'static str) -> Self {
        let spoken = Some(SpokenKind::options(options));
        Self { name: "proxy", spoken, verbs: METHODS, handler: SubresourceHandler::Proxy }
    }

    /// Whether that may be done there.
    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

impl ResourceDefinition {
    /// The subresource of that name, beyond `status` and `scale`.
    pub fn subresource(&self, name: &str) -> Option<&SubresourceDefinition> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// All subresources, also `status` and `scale`, in order of their names.
    pub fn all_subresources(&self) -> Vec<SubresourceDefinition> {
        let status = self.has_status.then_some(STATUS);
        let scale = self.scale.as_ref().map(|_| SCALE);
        let mut all: Vec<_> = self.subresources.iter().copied().chain(status).chain(scale).collect();
        all.sort_unstable_by_key(|subresource| subresource.name);
        all
    }

    /// Whether `name` is a subresource of it.
    pub fn has_subresource(&self, name: &str) -> bool {
        match name {
            "status" => self.has_status,
            "scale" => self.scale.is_some(),
            name => self.subresource(name).is_some(),
        }
    }
}
