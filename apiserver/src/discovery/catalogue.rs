//! The registry, ordered as clients read it: groups, their versions, the resource types of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use sampan_core::resource::{Registry, ResourceDefinition, Scope, ServedVersion};

use super::subresource::{Subresource, spelled};

/// Everything that is served.
pub(super) struct Catalogue {
    /// By name; the core group is the empty one and comes first.
    pub(super) groups: Vec<Group>,
}

/// A group.
pub(super) struct Group {
    /// Its name.
    pub(super) name: &'static str,
    /// Its versions, the preferred one first.
    pub(super) versions: Vec<Version>,
}

/// A version of a group.
pub(super) struct Version {
    /// Its name.
    pub(super) name: &'static str,
    /// What is served in it.
    pub(super) resources: Vec<Resource>,
}

/// A resource type in one of its versions.
pub(super) struct Resource {
    /// The resource type.
    pub(super) definition: Arc<ResourceDefinition>,
    /// The version.
    pub(super) version: ServedVersion,
    /// What may be done.
    pub(super) verbs: Vec<&'static str>,
    /// What is served below an object.
    pub(super) subresources: Vec<Subresource>,
}

impl Catalogue {
    /// What a registry serves.
    pub(super) fn of(registry: &Registry) -> Self {
        let mut groups: BTreeMap<&'static str, Vec<Version>> = BTreeMap::new();
        for definition in registry.definitions() {
            for version in definition.versions.iter().filter(|version| version.is_served) {
                let versions = groups.entry(version.group).or_default();
                let resource = Resource::new(registry.in_version(definition, version.version), version);
                match versions.iter_mut().find(|it| it.name == version.version) {
                    Some(known) => known.resources.push(resource),
                    None => versions.push(Version { name: version.version, resources: vec![resource] }),
                }
            }
        }
        let mut groups: Vec<Group> = groups.into_iter().map(|(name, versions)| Group { name, versions }).collect();
        for group in &mut groups {
            group.versions.sort_by_key(|version| std::cmp::Reverse(maturity(version.name)));
        }
        Self { groups }
    }

    /// A version of a group.
    pub(super) fn version(&self, group: &str, version: &str) -> Option<&Version> {
        self.groups.iter().find(|it| it.name == group)?.versions.iter().find(|it| it.name == version)
    }
}

impl Resource {
    fn new(definition: &Arc<ResourceDefinition>, version: &ServedVersion) -> Self {
        let below = definition.all_subresources().into_iter();
        Self {
            verbs: spelled(definition.verbs),
            subresources: below.map(|below| Subresource::of(&below, definition, version)).collect(),
            definition: definition.clone(),
            version: version.clone(),
        }
    }

    /// Whether objects live in a namespace.
    pub(super) fn is_namespaced(&self) -> bool {
        self.definition.scope == Scope::Namespaced
    }
}

/// Orders versions as Kubernetes does: stable before beta before alpha, then by number.
pub(crate) fn maturity(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse::<u32>().unwrap_or_default();
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    if let Some((major, minor)) = rest.split_once("beta") {
        return (2, number(major), number(minor));
    }
    match rest.split_once("alpha") {
        Some((major, minor)) => (1, number(major), number(minor)),
        None => (3, number(rest), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_before_beta_before_alpha() {
        let mut versions = ["v1alpha1", "v1", "v2beta1", "v10", "v1beta2", "v2"];
        versions.sort_by_key(|version| std::cmp::Reverse(maturity(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1"]);
    }
}
