//! Roles of the system: what everybody may ask, what nodes and the parts of a control plane do.

use super::user_roles::READ;
use super::{PolicyRule, Role};

const EVENTS: [&[&str]; 3] = [&["create", "patch", "update"], &["", "events.k8s.io"], &["events"]];
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// The roles of the system.
pub(super) fn all() -> Vec<Role> {
    let mut roles = everybody();
    roles.extend([
        Role::of("system:monitoring", monitoring()),
        Role::of("system:auth-delegator", reviews(&["subjectaccessreviews"])),
        Role::of("system:kubelet-api-admin", kubelet_api_admin()),
        Role::of("system:node", node()),
        Role::of("system:node-bootstrapper", node_bootstrapper()),
        Role::of("system:node-proxier", node_proxier()),
        Role::of("system:node-problem-detector", node_problem_detector()),
        Role::of("system:kube-controller-manager", controller_manager()),
        Role::of("system:kube-scheduler", scheduler()),
        Role::of("system:volume-scheduler", volume_scheduler()),
        Role::of("system:kube-dns", vec![of(&["list", "watch"], "", &["endpoints", "services"])]),
        Role::of("system:kube-aggregator", vec![of(READ, "", &["endpoints", "services"])]),
        Role::of("system:persistent-volume-provisioner", provisioner()),
    ]);
    roles
}

fn of(verbs: &[&str], group: &str, resources: &[&str]) -> PolicyRule {
    PolicyRule::of_resources(verbs, &[group], resources)
}

fn events() -> PolicyRule {
    let [verbs, groups, resources] = EVENTS;
    PolicyRule::of_resources(verbs, groups, resources)
}

fn reviews(access_reviews: &[&str]) -> Vec<PolicyRule> {
    vec![of(&["create"], AUTHENTICATION, &["tokenreviews"]), of(&["create"], AUTHORIZATION, access_reviews)]
}

/// What everybody may ask: who they are, what they may do, what is served, and how the server is.
fn everybody() -> Vec<Role> {
    let paths = |paths: &[&str]| vec![PolicyRule::of_paths(&["get"], paths)];
    vec![
        Role::of(
            "system:basic-user",
            vec![
                of(&["create"], AUTHORIZATION, &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                of(&["create"], AUTHENTICATION, &["selfsubjectreviews"]),
            ],
        ),
        Role::of(
            "system:discovery",
            paths(&[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ]),
        ),
        Role::of("system:public-info-viewer", paths(&["/healthz", "/livez", "/readyz", "/version", "/version/"])),
        Role::of(
            "system:service-account-issuer-discovery",
            paths(&[
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration/",
                "/openid/v1/jwks",
                "/openid/v1/jwks/",
            ]),
        ),
    ]
}

fn monitoring() -> Vec<PolicyRule> {
    let paths = ["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"];
    vec![PolicyRule::of_paths(&["get"], &paths)]
}

fn kubelet_api_admin() -> Vec<PolicyRule> {
    let parts =
        ["nodes/configz", "nodes/healthz", "nodes/log", "nodes/metrics", "nodes/pods", "nodes/proxy", "nodes/stats"];
    vec![of(READ, "", &["nodes"]), of(&["proxy"], "", &["nodes"]), of(&["*"], "", &parts)]
}

fn node() -> Vec<PolicyRule> {
    let mut rules = reviews(&["localsubjectaccessreviews", "subjectaccessreviews"]);
    rules.extend([
        of(READ, "", &["services"]),
        of(&["create", "get", "list", "watch"], "", &["nodes"]),
        of(&["patch", "update"], "", &["nodes/status"]),
        of(&["patch", "update"], "", &["nodes"]),
        events(),
        of(READ, "", &["pods"]),
        of(&["create", "delete"], "", &["pods"]),
        of(&["patch", "update"], "", &["pods/status"]),
        of(&["create"], "", &["pods/eviction"]),
        of(READ, "", &["configmaps", "secrets"]),
        of(&["get"], "", &["persistentvolumeclaims", "persistentvolumes"]),
        of(&["get"], "", &["endpoints"]),
        of(&["create", "get", "list", "watch"], "certificates.k8s.io", &["certificatesigningrequests"]),
        of(&["create", "delete", "get", "patch", "update"], "coordination.k8s.io", &["leases"]),
        of(&["get"], "storage.k8s.io", &["volumeattachments"]),
        of(&["create"], "", &["serviceaccounts/token"]),
        of(&["get", "patch", "update"], "", &["persistentvolumeclaims/status"]),
        of(READ, "storage.k8s.io", &["csidrivers"]),
        of(&["create", "delete", "get", "patch", "update"], "storage.k8s.io", &["csinodes"]),
        of(READ, "node.k8s.io", &["runtimeclasses"]),
        of(&["get"], "", &["serviceaccounts"]),
    ]);
    rules
}

/// What a machine that joins may do before it is a node: ask to become one.
fn node_bootstrapper() -> Vec<PolicyRule> {
    vec![of(&["create", "get", "list", "watch"], "certificates.k8s.io", &["certificatesigningrequests"])]
}

fn node_proxier() -> Vec<PolicyRule> {
    vec![
        of(&["list", "watch"], "", &["endpoints", "services"]),
        of(READ, "", &["nodes"]),
        events(),
        of(&["list", "watch"], "discovery.k8s.io", &["endpointslices"]),
        of(&["list", "watch"], "networking.k8s.io", &["servicecidrs"]),
    ]
}

fn node_problem_detector() -> Vec<PolicyRule> {
    vec![of(&["get"], "", &["nodes"]), of(&["patch"], "", &["nodes/status"]), events()]
}

fn controller_manager() -> Vec<PolicyRule> {
    let mut rules = vec![
        events(),
        of(&["create"], "coordination.k8s.io", &["leases"]),
        of(&["get", "update"], "coordination.k8s.io", &["leases"]).named(&["kube-controller-manager"]),
        of(&["create"], "", &["secrets", "serviceaccounts"]),
        of(&["delete"], "", &["secrets"]),
        of(&["get"], "", &["configmaps", "namespaces", "secrets", "serviceaccounts"]),
        of(&["update"], "", &["secrets", "serviceaccounts"]),
    ];
    rules.extend(reviews(&["subjectaccessreviews"]));
    rules.extend([of(&["list", "watch"], "*", &["*"]), of(&["create"], "", &["serviceaccounts/token"])]);
    rules
}

fn scheduler() -> Vec<PolicyRule> {
    let mut rules = vec![
        events(),
        of(&["create"], "coordination.k8s.io", &["leases"]),
        of(&["get", "list", "update", "watch"], "coordination.k8s.io", &["leases"]).named(&["kube-scheduler"]),
        of(READ, "", &["nodes"]),
        of(&["delete", "get", "list", "watch"], "", &["pods"]),
        of(&["create"], "", &["bindings", "pods/binding"]),
        of(&["patch", "update"], "", &["pods/status"]),
        of(READ, "", &["replicationcontrollers", "services"]),
        PolicyRule::of_resources(READ, &["apps", "extensions"], &["replicasets"]),
        of(READ, "apps", &["statefulsets"]),
        of(READ, "policy", &["poddisruptionbudgets"]),
        of(READ, "", &["persistentvolumeclaims", "persistentvolumes"]),
    ];
    rules.extend(reviews(&["subjectaccessreviews"]));
    rules.extend([
        of(READ, "storage.k8s.io", &["csinodes"]),
        of(READ, "", &["namespaces"]),
        of(READ, "storage.k8s.io", &["csidrivers"]),
        of(READ, "storage.k8s.io", &["csistoragecapacities"]),
        of(READ, "storage.k8s.io", &["volumeattachments"]),
    ]);
    rules
}

fn volume_scheduler() -> Vec<PolicyRule> {
    vec![
        of(&["get", "list", "patch", "update", "watch"], "", &["persistentvolumes"]),
        of(READ, "storage.k8s.io", &["storageclasses"]),
        of(&["get", "list", "patch", "update", "watch"], "", &["persistentvolumeclaims"]),
    ]
}

fn provisioner() -> Vec<PolicyRule> {
    vec![
        of(&["create", "delete", "get", "list", "watch"], "", &["persistentvolumes"]),
        of(&["get", "list", "update", "watch"], "", &["persistentvolumeclaims"]),
        of(READ, "storage.k8s.io", &["storageclasses"]),
        of(&["watch"], "", &["events"]),
        events(),
    ]
}
