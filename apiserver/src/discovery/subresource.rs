//! What is spoken at the subresources of Kubernetes.

use std::borrow::Cow;

use sampan_core::resource::{ResourceDefinition, SchemaSource, ServedVersion};

/// A subresource as discovery shows it.
pub(super) struct Subresource {
    /// Its name.
    pub(super) name: &'static str,
    /// The group of what is spoken there.
    pub(super) group: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    /// Its kind.
    pub(super) kind: &'static str,
    /// The name of its schema; empty where it has none.
    pub(super) schema: Cow<'static, str>,
    /// What may be done there.
    pub(super) verbs: &'static [&'static str],
}

impl Subresource {
    const fn core(
        name: &'static str,
        kind: &'static str,
        schema: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        Self { name, group: "", version: "v1", kind, schema: Cow::Borrowed(schema), verbs }
    }
}

const REPLACE: &[&str] = &["get", "patch", "update"];
const STREAM: &[&str] = &["create", "get"];

/// Those that speak of another kind than their parent's.
const KNOWN: [Subresource; 6] = [
    Subresource::core("attach", "PodAttachOptions", "", STREAM),
    Subresource::core("exec", "PodExecOptions", "", STREAM),
    Subresource::core("portforward", "PodPortForwardOptions", "", STREAM),
    Subresource::core("binding", "Binding", "io.k8s.api.core.v1.Binding", &["create"]),
    Subresource {
        name: "eviction",
        group: "policy",
        version: "v1",
        kind: "Eviction",
        schema: Cow::Borrowed("io.k8s.api.policy.v1.Eviction"),
        verbs: &["create"],
    },
    Subresource {
        name: "scale",
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
        schema: Cow::Borrowed("io.k8s.api.autoscaling.v1.Scale"),
        verbs: REPLACE,
    },
];

/// The subresources of a resource type in one of its versions, in order of their names.
pub(super) fn of(definition: &ResourceDefinition, version: &ServedVersion) -> Vec<Subresource> {
    let status = definition.has_status.then_some("status");
    let scale = definition.scale.as_ref().map(|_| "scale");
    let mut names: Vec<&'static str> = definition.subresources.iter().copied().chain(status).chain(scale).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| named(name, definition, version)).collect()
}

fn named(name: &'static str, definition: &ResourceDefinition, version: &ServedVersion) -> Subresource {
    if let Some(known) = KNOWN.into_iter().find(|known| known.name == name) {
        return known;
    }
    let verbs: &[&str] = match name {
        "log" => &["get"],
        "finalize" => &["update"],
        _ => REPLACE,
    };
    let schema = match &version.schema {
        SchemaSource::Published(name) => Cow::Borrowed(*name),
        SchemaSource::Custom(custom) => Cow::Owned(custom.name.clone()),
    };
    let ServedVersion { group, version, .. } = *version;
    Subresource { name, group, version, kind: definition.kind, schema, verbs }
}
