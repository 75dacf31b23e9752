//! Who asks.

use std::collections::BTreeMap;

/// The group of cluster administrators.
pub const MASTERS: &str = "system:masters";
/// The group of nodes.
pub const NODES: &str = "system:nodes";
/// The group of the one client that runs all simulated nodes: it is no node, and acts for many.
pub const SIMULATED_NODES: &str = "sampan:simulated-nodes";
/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who is not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user nobody vouches for.
pub const ANONYMOUS: &str = "system:anonymous";

/// Who asks, as authenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, such as `kubernetes-admin` or `system:node:here`.
    pub user: String,
    /// What tells two users of one name apart in time: a service account's uid. Empty where there is none.
    pub uid: String,
    /// The groups, such as `system:masters`.
    pub groups: Vec<String>,
    /// What else is known of the user, such as the pod a token belongs to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// A user in these groups.
    pub fn new(user: impl Into<String>, groups: &[&str]) -> Self {
        Self { user: user.into(), groups: groups.iter().map(|it| (*it).to_owned()).collect(), ..Self::default() }
    }

    /// Nobody vouches for them.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// A service account, as which pods act.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            user: format!("system:serviceaccount:{namespace}:{name}"),
            groups: service_account_groups(namespace),
            ..Self::default()
        }
    }

    /// Whether it is a member.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|it| it == group)
    }
}

/// The groups of every service account of a namespace.
pub(crate) fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}"), AUTHENTICATED.to_owned()]
}
