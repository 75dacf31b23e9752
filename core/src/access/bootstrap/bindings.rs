//! Who has the roles from the start.

use serde_json::{Value, json};

use super::object;
use crate::access::bootstrap_token::JOINING_NODES;
use crate::access::{AUTHENTICATED, MASTERS, NODES, SIMULATED_NODES, UNAUTHENTICATED};
use crate::resource::fill::set;

const API_GROUP: &str = "rbac.authorization.k8s.io";

enum Subject {
    User(&'static str),
    Group(&'static str),
    ServiceAccount(&'static str),
}

use Subject::{Group, ServiceAccount, User};

/// The bindings.
pub(super) fn all() -> Vec<Value> {
    let named_alike = [
        ("cluster-admin", vec![Group(MASTERS)]),
        ("system:basic-user", vec![Group(AUTHENTICATED)]),
        ("system:discovery", vec![Group(AUTHENTICATED)]),
        ("system:kube-controller-manager", vec![User("system:kube-controller-manager")]),
        ("system:kube-dns", vec![ServiceAccount("kube-dns")]),
        ("system:kube-scheduler", vec![User("system:kube-scheduler")]),
        ("system:monitoring", vec![Group("system:monitoring")]),
        // Nodes are authorized by what runs on them; the role is here for those who look for it.
        ("system:node", vec![]),
        ("system:node-proxier", vec![User("system:kube-proxy")]),
        ("system:public-info-viewer", vec![Group(AUTHENTICATED), Group(UNAUTHENTICATED)]),
        ("system:service-account-issuer-discovery", vec![Group("system:serviceaccounts")]),
        ("system:volume-scheduler", vec![User("system:kube-scheduler")]),
    ];
    let ours = [
        ("sampan:node-bootstrapper", "system:node-bootstrapper", vec![Group(JOINING_NODES)]),
        // A node's service proxy and DNS are parts of the node.
        ("sampan:node-proxier", "system:node-proxier", vec![Group(NODES), Group(SIMULATED_NODES)]),
        ("sampan:simulated-nodes", "system:node", vec![Group(SIMULATED_NODES)]),
        // What a node may do with the volumes it keeps, simulated ones may do with all.
        ("sampan:simulated-nodes-volumes", "system:volume-scheduler", vec![Group(SIMULATED_NODES)]),
    ];
    let named_alike = named_alike.into_iter().map(|(name, subjects)| binding(name, name, &subjects));
    named_alike.chain(ours.into_iter().map(|(name, role, subjects)| binding(name, role, &subjects))).collect()
}

fn binding(name: &str, role: &str, subjects: &[Subject]) -> Value {
    let mut binding = object("ClusterRoleBinding", name);
    set(&mut binding, "roleRef", json!({"apiGroup": API_GROUP, "kind": "ClusterRole", "name": role}));
    if !subjects.is_empty() {
        set(&mut binding, "subjects", subjects.iter().map(subject).collect::<Vec<_>>());
    }
    binding
}

fn subject(subject: &Subject) -> Value {
    match subject {
        User(name) => json!({"kind": "User", "apiGroup": API_GROUP, "name": name}),
        Group(name) => json!({"kind": "Group", "apiGroup": API_GROUP, "name": name}),
        ServiceAccount(name) => json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}),
    }
}
