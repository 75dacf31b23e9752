//! The decision.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::role::{Grant, RoleCache, RoleIndex};
use super::{Attributes, Identity, MASTERS, PolicyRule, What, node};
use crate::store::Snapshot;

/// What an authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be.
    pub allowed: bool,
    /// Why; may be empty.
    pub reason: String,
}

impl Verdict {
    /// It may be.
    pub fn allowed(reason: impl Into<String>) -> Self {
        Self { allowed: true, reason: reason.into() }
    }

    /// Nothing says that it may be.
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { allowed: false, reason: reason.into() }
    }
}

/// Decides who may do what, as the cluster stands in a snapshot.
pub trait Authorizer: Send + Sync {
    /// Whether it may be.
    fn authorize(&self, snapshot: &Snapshot, attributes: &Attributes<'_>) -> Verdict;

    /// Everything somebody may do in a namespace, or in the cluster, as rules.
    fn rules(&self, snapshot: &Snapshot, identity: &Identity, namespace: Option<&str>) -> Vec<PolicyRule>;
}

impl<Decider: Authorizer + ?Sized> Authorizer for Arc<Decider> {
    fn authorize(&self, snapshot: &Snapshot, attributes: &Attributes<'_>) -> Verdict {
        (**self).authorize(snapshot, attributes)
    }

    fn rules(&self, snapshot: &Snapshot, identity: &Identity, namespace: Option<&str>) -> Vec<PolicyRule> {
        (**self).rules(snapshot, identity, namespace)
    }
}

/// Administrators may do everything, others nothing: for tools and tests without roles.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemAuthorizer;

impl Authorizer for SystemAuthorizer {
    fn authorize(&self, _: &Snapshot, attributes: &Attributes<'_>) -> Verdict {
        Verdict { allowed: attributes.identity.is_in(MASTERS), reason: String::new() }
    }

    fn rules(&self, _: &Snapshot, identity: &Identity, _: Option<&str>) -> Vec<PolicyRule> {
        if identity.is_in(MASTERS) { everything() } else { Vec::new() }
    }
}

/// Administrators may do everything; nodes what the pods on them need; everybody what roles are bound to them for.
#[derive(Default)]
pub struct RoleAuthorizer {
    cache: ArcSwap<RoleCache>,
}

impl RoleAuthorizer {
    /// Roles and bindings as they stand. They are read again only after one of them has changed.
    fn index(&self, snapshot: &Snapshot) -> Arc<RoleIndex> {
        let cache = self.cache.load();
        if cache.is_of(snapshot) {
            return cache.index().clone();
        }
        let renewed = Arc::new(cache.renewed(snapshot));
        let index = renewed.index().clone();
        self.cache.store(renewed);
        index
    }
}

impl Authorizer for RoleAuthorizer {
    fn authorize(&self, snapshot: &Snapshot, attributes: &Attributes<'_>) -> Verdict {
        let identity = attributes.identity;
        if identity.is_in(MASTERS) {
            return Verdict::allowed("");
        }
        let mut verdict = Verdict::no_opinion("");
        if let Some(node) = node::node_of(identity) {
            verdict = node::authorize(snapshot, node, attributes);
            if verdict.allowed {
                return verdict;
            }
        }
        let index = self.index(snapshot);
        let namespace = match &attributes.what {
            What::Resource(asked) => asked.namespace,
            What::Path(_) => None,
        };
        let mut grants = index.grants(identity, namespace);
        match grants.find(|grant| grant.rules().iter().any(|rule| rule.allows(attributes))) {
            Some(grant) => Verdict::allowed(grant.reason()),
            None => verdict,
        }
    }

    fn rules(&self, snapshot: &Snapshot, identity: &Identity, namespace: Option<&str>) -> Vec<PolicyRule> {
        if identity.is_in(MASTERS) {
            return everything();
        }
        let index = self.index(snapshot);
        let mut rules: Vec<PolicyRule> = Vec::new();
        for rule in index.grants(identity, namespace).flat_map(Grant::rules) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        rules
    }
}

/// All that can be done.
fn everything() -> Vec<PolicyRule> {
    vec![PolicyRule::of_resources(&["*"], &["*"], &["*"]), PolicyRule::of_paths(&["*"], &["*"])]
}
