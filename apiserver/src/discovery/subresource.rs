//! A subresource as discovery shows it.

use sampan_core::resource::{ResourceDefinition, ServedVersion, SpokenKind, SubresourceDefinition, Verb};

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
    pub(super) schema: String,
    /// What may be done there.
    pub(super) verbs: Vec<&'static str>,
}

impl Subresource {
    /// A subresource of a resource type in one of its versions.
    pub(super) fn of(
        subresource: &SubresourceDefinition,
        definition: &ResourceDefinition,
        version: &ServedVersion,
    ) -> Self {
        let (name, verbs) = (subresource.name, spelled(subresource.verbs));
        if let Some(SpokenKind { group, version, kind, schema }) = subresource.spoken {
            return Self { name, group, version, kind, schema: schema.unwrap_or_default().to_owned(), verbs };
        }
        let schema = version.schema.name().to_owned();
        let ServedVersion { group, version, .. } = *version;
        Self { name, group, version, kind: definition.kind, schema, verbs }
    }
}

/// Verbs as discovery spells them.
pub(super) fn spelled(verbs: &[Verb]) -> Vec<&'static str> {
    verbs.iter().map(|verb| verb.as_str()).collect()
}
