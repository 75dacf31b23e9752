//! The names things go by.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A shared, immutable name.
pub type Name = Arc<str>;

/// A position in the store's history. Every change has one of its own; there are no gaps.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The identity of one object through its life; a second object of the same name has another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Uid(pub Name);

impl Uid {
    /// The uid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A resource type by its API group and plural name: `deployments` of `apps`.
///
/// The version is not part of it: an object is stored once, whatever versions it is served in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceType {
    /// How both begin: made with them, and never changed without them. Every look into the store compares resource types, most of
    /// which differ there.
    heads: [u64; 2],
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The plural name, such as `deployments`.
    pub plural: &'static str,
}

impl ResourceType {
    /// A resource type known when Sampan is built.
    pub const fn new(group: &'static str, plural: &'static str) -> Self {
        Self { group, plural, heads: [head(group), head(plural)] }
    }

    /// A resource type learnt at run time. Each distinct name is kept for the life of the process: the number of
    /// resource types is bounded by the registry.
    pub fn intern(group: &str, plural: &str) -> Self {
        Self::new(intern(group), intern(plural))
    }
}

/// The first eight bytes of a name as a number that is ordered as the names are. What is missing counts as less than any byte of
/// a name.
const fn head(name: &str) -> u64 {
    let (mut rest, mut head, mut bytes) = (name.as_bytes(), 0, 0);
    while bytes < 8 {
        head <<= 8;
        if let [first, others @ ..] = rest {
            head |= *first as u64;
            rest = others;
        }
        bytes += 1;
    }
    head
}

/// Compares two names that begin with these heads.
fn compare(names: [&'static str; 2], heads: [u64; 2]) -> Ordering {
    let [one, other] = names;
    let [head, other_head] = heads;
    head.cmp(&other_head).then_with(|| if std::ptr::eq(one, other) { Ordering::Equal } else { one.cmp(other) })
}

/// Keeps one copy of a name for the life of the process. Only for names whose number is bounded: those of resource types
/// and of their fields. A custom resource type costs some hundred bytes once, however often its definition changes or comes
/// back; what is large of it is not kept.
pub(crate) fn intern(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.into());
    names.insert(kept);
    kept
}

/// Keeps one copy of a list of names for the life of the process, as [`intern`] keeps the names.
pub(crate) fn intern_list(names: &[&str]) -> &'static [&'static str] {
    static LISTS: Mutex<BTreeSet<&'static [&'static str]>> = Mutex::new(BTreeSet::new());
    let kept: Vec<&'static str> = names.iter().map(|name| intern(name)).collect();
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lists.get(kept.as_slice()) {
        return known;
    }
    let kept: &'static [&'static str] = Box::leak(kept.into());
    lists.insert(kept);
    kept
}

impl Ord for ResourceType {
    /// By group, then by plural name.
    fn cmp(&self, other: &Self) -> Ordering {
        let ([group, plural], [other_group, other_plural]) = (self.heads, other.heads);
        compare([self.group, other.group], [group, other_group])
            .then_with(|| compare([self.plural, other.plural], [plural, other_plural]))
    }
}

impl Hash for ResourceType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.group, self.plural).hash(state);
    }
}

impl PartialOrd for ResourceType {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ResourceType {
    /// `pods`, `deployments.apps`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => formatter.write_str(self.plural),
            group => write!(formatter, "{}.{group}", self.plural),
        }
    }
}

/// Where an object is found: its resource type, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The resource type.
    pub resource: ResourceType,
    /// The namespace; `None` for an object of the cluster.
    pub namespace: Option<Name>,
    /// The name.
    pub name: Name,
}

impl ObjectKey {
    /// The key of an object in a namespace.
    pub fn namespaced(resource: ResourceType, namespace: &str, name: &str) -> Self {
        Self { resource, namespace: Some(namespace.into()), name: name.into() }
    }

    /// The key of an object of the cluster.
    pub fn cluster(resource: ResourceType, name: &str) -> Self {
        Self { resource, namespace: None, name: name.into() }
    }

    /// Reads what [`Display`](fmt::Display) writes: `pods/default/web`, `nodes//here`.
    ///
    /// # Caveats
    /// The names of the resource type are kept for the life of the process: only for what this process or an earlier one
    /// has written itself, never for what a client sent.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (resource, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let namespace = (!namespace.is_empty()).then(|| namespace.into());
        (!plural.is_empty() && !name.is_empty()).then(|| Self {
            resource: ResourceType::intern(group, plural),
            namespace,
            name: name.into(),
        })
    }
}

impl fmt::Display for ObjectKey {
    /// `deployments.apps/default/web`; the namespace is empty for an object of the cluster.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.resource, self.namespace.as_deref().unwrap_or_default(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn resource_types_are_ordered_by_group_and_then_by_name(
            (group, name) in ("[ab]{0,9}", "[ab]{0,9}"), (other_group, other_name) in ("[ab]{0,9}", "[ab]{0,9}"),
        ) {
            let (one, other) = (ResourceType::intern(&group, &name), ResourceType::intern(&other_group, &other_name));
            let expect = (&group, &name).cmp(&(&other_group, &other_name));
            prop_assert_eq!((one.cmp(&other), one == other), (expect, expect.is_eq()));
            // The same names, kept elsewhere.
            let apart = ResourceType::new(Box::leak(group.into()), Box::leak(name.into()));
            prop_assert_eq!((one.cmp(&apart), one == apart), (Ordering::Equal, true));
        }
    }

    #[test]
    fn a_key_reads_back_as_written() {
        let keys = [
            ObjectKey::namespaced(ResourceType::new("apps", "deployments"), "default", "web"),
            ObjectKey::cluster(ResourceType::new("", "nodes"), "here"),
        ];
        for key in keys {
            assert_eq!(ObjectKey::parse(&key.to_string()), Some(key));
        }
        assert_eq!(ObjectKey::parse("pods/default"), None);
    }
}
