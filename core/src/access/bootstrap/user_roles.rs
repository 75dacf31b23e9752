//! Roles for people: `cluster-admin`, and what is bound in a namespace: `admin`, `edit`, `view`.

use super::{Made, PolicyRule, Role};

pub(super) const READ: &[&str] = &["get", "list", "watch"];
pub(super) const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const READ_WRITE: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The roles for people.
pub(super) fn all() -> Vec<Role> {
    let everything = vec![PolicyRule::of_resources(&["*"], &["*"], &["*"]), PolicyRule::of_paths(&["*"], &["*"])];
    let whole = |name, part_of| Role { name, part_of, what: Made::OfPartsOf(name) };
    let part = |name, whole, rules| Role { name, part_of: Some(whole), what: Made::Rules(rules) };
    vec![
        Role::of("cluster-admin", everything),
        whole("admin", None),
        whole("edit", Some("admin")),
        whole("view", Some("edit")),
        part("system:aggregate-to-admin", "admin", admin()),
        part("system:aggregate-to-edit", "edit", edit()),
        part("system:aggregate-to-view", "view", view()),
        part("system:aggregated-metrics-reader", "view", metrics()),
    ]
}

fn admin() -> Vec<PolicyRule> {
    let rule = PolicyRule::of_resources;
    vec![
        rule(&["create"], &["authorization.k8s.io"], &["localsubjectaccessreviews"]),
        rule(READ_WRITE, &["rbac.authorization.k8s.io"], &["rolebindings", "roles"]),
    ]
}

fn edit() -> Vec<PolicyRule> {
    let rule = PolicyRule::of_resources;
    let streams = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"];
    vec![
        rule(READ, &[""], &[&streams[..], &["secrets", "services/proxy"]].concat()),
        rule(&["impersonate"], &[""], &["serviceaccounts"]),
        rule(WRITE, &[""], &[&["pods"], &streams[..]].concat()),
        rule(&["create"], &[""], &["pods/eviction"]),
        rule(
            WRITE,
            &[""],
            &[
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
        ),
        rule(&["create"], &[""], &["serviceaccounts/token"]),
        rule(
            WRITE,
            &["apps"],
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
        ),
        rule(WRITE, &["autoscaling"], &["horizontalpodautoscalers"]),
        rule(WRITE, &["batch"], &["cronjobs", "jobs"]),
        rule(
            WRITE,
            &["extensions"],
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "ingresses",
                "networkpolicies",
                "replicasets",
                "replicasets/scale",
                "replicationcontrollers/scale",
            ],
        ),
        rule(WRITE, &["policy"], &["poddisruptionbudgets"]),
        rule(WRITE, &["networking.k8s.io"], &["ingresses", "networkpolicies"]),
        rule(READ_WRITE, &["coordination.k8s.io"], &["leases"]),
    ]
}

fn view() -> Vec<PolicyRule> {
    let read = |group, resources| PolicyRule::of_resources(READ, &[group], resources);
    vec![
        read(
            "",
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "serviceaccounts",
                "services",
                "services/status",
            ],
        ),
        read(
            "",
            &[
                "bindings",
                "events",
                "limitranges",
                "namespaces/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
            ],
        ),
        read("", &["namespaces"]),
        read("discovery.k8s.io", &["endpointslices"]),
        read(
            "apps",
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
        ),
        read("autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
        read("batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
        read(
            "extensions",
            &[
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "ingresses",
                "ingresses/status",
                "networkpolicies",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "replicationcontrollers/scale",
            ],
        ),
        read("policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
        read("networking.k8s.io", &["ingresses", "ingresses/status", "networkpolicies"]),
    ]
}

/// As metrics-server has it.
fn metrics() -> Vec<PolicyRule> {
    vec![PolicyRule::of_resources(READ, &["metrics.k8s.io"], &["nodes", "pods"])]
}
