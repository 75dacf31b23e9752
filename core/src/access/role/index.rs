//! Roles and bindings, ordered by whom they are for.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::PolicyRule;
use crate::access::Identity;
use crate::object::{Name, Object, ObjectKey, ResourceType, Revision};
use crate::resource::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
use crate::store::{Collection, Snapshot};

/// The resource types that say who may do what.
const KINDS: [ResourceType; 4] = [CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS];

/// The index of one state of roles and bindings, and what was read of them, so that the next one reads only what changed.
#[derive(Default)]
pub(in crate::access) struct RoleCache {
    collections: [Collection; KINDS.len()],
    roles: Parsed<Role>,
    bindings: Parsed<Binding>,
    index: Arc<RoleIndex>,
}

impl RoleCache {
    /// Whether nothing it was made of has changed.
    pub(in crate::access) fn is_of(&self, snapshot: &Snapshot) -> bool {
        self.collections.iter().zip(KINDS).all(|(known, kind)| known.is_same(&snapshot.collection(kind)))
    }

    /// The index.
    pub(in crate::access) fn index(&self) -> &Arc<RoleIndex> {
        &self.index
    }

    /// The cache for `snapshot`, made of this one.
    pub(in crate::access) fn renewed(&self, snapshot: &Snapshot) -> Self {
        let roles = self.roles.renewed(snapshot, [CLUSTER_ROLES, ROLES]);
        let bindings = self.bindings.renewed(snapshot, [CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS]);
        let index = Arc::new(RoleIndex::of(&roles, &bindings));
        Self { collections: KINDS.map(|kind| snapshot.collection(kind)), roles, bindings, index }
    }
}

/// What was read of objects, by key and revision. An object that does not read is as one that is not there.
struct Parsed<T>(BTreeMap<ObjectKey, (Revision, Arc<T>)>);

impl<T> Default for Parsed<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: DeserializeOwned> Parsed<T> {
    fn renewed(&self, snapshot: &Snapshot, kinds: [ResourceType; 2]) -> Self {
        let objects = kinds.into_iter().flat_map(|kind| snapshot.list(kind, None, None));
        Self(objects.filter_map(|object| Some((object.key().clone(), self.read(object)?))).collect())
    }

    fn read(&self, object: &Object) -> Option<(Revision, Arc<T>)> {
        let known = self.0.get(object.key()).filter(|(revision, _)| *revision == object.revision());
        match known {
            Some((revision, parsed)) => Some((*revision, parsed.clone())),
            None => Some((object.revision(), Arc::new(serde_json::from_slice(object.bytes()).ok()?))),
        }
    }
}

#[derive(Deserialize)]
struct Role {
    rules: Option<Vec<PolicyRule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    role_ref: RoleRef,
    subjects: Option<Vec<Subject>>,
}

#[derive(Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
    namespace: Option<String>,
}

/// What a binding gives to one subject.
pub(in crate::access) struct Grant {
    binding: ObjectKey,
    role: ObjectKey,
    subject: String,
    /// The role; `None` where the binding names one that is not there.
    rules: Option<Arc<Role>>,
}

impl Grant {
    /// What it allows.
    pub(in crate::access) fn rules(&self) -> &[PolicyRule] {
        self.rules.as_ref().and_then(|role| role.rules.as_deref()).unwrap_or_default()
    }

    /// Why it allows something, in the words of Kubernetes.
    pub(in crate::access) fn reason(&self) -> String {
        let kind = |key: &ObjectKey, kind: &str| {
            if key.namespace.is_none() { format!("Cluster{kind}") } else { kind.to_owned() }
        };
        let binding = match &self.binding.namespace {
            Some(namespace) => format!("{}/{namespace}", self.binding.name),
            None => self.binding.name.to_string(),
        };
        let (binding_kind, role_kind) = (kind(&self.binding, "RoleBinding"), kind(&self.role, "Role"));
        let role = &self.role.name;
        format!("RBAC: allowed by {binding_kind} {binding:?} of {role_kind} {role:?} to {}", self.subject)
    }
}

/// Grants by whom they are for.
#[derive(Default)]
struct Grants {
    users: BTreeMap<Name, Vec<Arc<Grant>>>,
    groups: BTreeMap<Name, Vec<Arc<Grant>>>,
}

impl Grants {
    fn to<'i>(&'i self, identity: &'i Identity) -> impl Iterator<Item = &'i Grant> {
        let groups = identity.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        self.users.get(identity.user.as_str()).into_iter().chain(groups).flatten().map(|grant| &**grant)
    }
}

/// Roles and bindings, ordered by whom they are for.
#[derive(Default)]
pub(in crate::access) struct RoleIndex {
    everywhere: Grants,
    in_namespace: BTreeMap<Name, Grants>,
}

impl RoleIndex {
    fn of(roles: &Parsed<Role>, bindings: &Parsed<Binding>) -> Self {
        let mut index = Self::default();
        for (key, (_, binding)) in &bindings.0 {
            let grants = match &key.namespace {
                Some(namespace) => index.in_namespace.entry(namespace.clone()).or_default(),
                None => &mut index.everywhere,
            };
            let role = role_key(&binding.role_ref, key);
            let rules = roles.0.get(&role).map(|(_, role)| role.clone());
            for subject in binding.subjects.iter().flatten() {
                let shown = shown(subject);
                let grant = Grant { binding: key.clone(), role: role.clone(), subject: shown, rules: rules.clone() };
                grants.add(subject, key, grant);
            }
        }
        index
    }

    /// What is granted to somebody, in a namespace or, where there is none, everywhere.
    pub(in crate::access) fn grants<'i>(
        &'i self,
        identity: &'i Identity,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'i Grant> {
        let inside = namespace.and_then(|namespace| self.in_namespace.get(namespace));
        self.everywhere.to(identity).chain(inside.into_iter().flat_map(move |grants| grants.to(identity)))
    }
}

impl Grants {
    fn add(&mut self, subject: &Subject, binding: &ObjectKey, grant: Grant) {
        let grant = Arc::new(grant);
        match subject.kind.as_str() {
            "User" => self.users.entry(subject.name.as_str().into()).or_default().push(grant),
            "Group" => self.groups.entry(subject.name.as_str().into()).or_default().push(grant),
            "ServiceAccount" => {
                let named = subject.namespace.as_deref().filter(|namespace| !namespace.is_empty());
                let Some(namespace) = named.or(binding.namespace.as_deref()) else { return };
                let user = Identity::service_account(namespace, &subject.name).user;
                self.users.entry(user.into()).or_default().push(grant);
            }
            _ => {}
        }
    }
}

/// The role a binding names: a role of the binding's namespace, or one of the cluster.
fn role_key(role: &RoleRef, binding: &ObjectKey) -> ObjectKey {
    match (role.kind.as_str(), &binding.namespace) {
        ("Role", Some(namespace)) => ObjectKey::namespaced(ROLES, namespace, &role.name),
        _ => ObjectKey::cluster(CLUSTER_ROLES, &role.name),
    }
}

fn shown(subject: &Subject) -> String {
    match subject.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => format!("{} {:?}", subject.kind, format!("{}/{namespace}", subject.name)),
        None => format!("{} {:?}", subject.kind, subject.name),
    }
}
