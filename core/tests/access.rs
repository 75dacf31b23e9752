//! Who may do what, by the roles and bindings every cluster starts with; and what a token is worth as time goes by.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sampan_core::access::token::{Signer, TokenFault, TokenRequestSpec, Tokens, Verified};
use sampan_core::access::{
    Attributes, Authorizer, Identity, PolicyRule, ResourceAttributes, RoleAuthorizer, What, aggregated_rules, bootstrap,
};
use sampan_core::object::{Draft, Object, ObjectKey, ResourceType, Revision};
use sampan_core::resource::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, PODS, SERVICE_ACCOUNTS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

fn draft(key: ObjectKey, mut value: Value) -> Draft {
    value["metadata"]["uid"] = format!("uid-of-{}", key.name).into();
    value["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    Draft::new(key, value, Vec::new()).unwrap()
}

fn of_cluster(resource: ResourceType, value: Value) -> Draft {
    let name = value["metadata"]["name"].as_str().unwrap().to_owned();
    draft(ObjectKey::cluster(resource, &name), value)
}

/// The roles of the system, those made of others filled in.
fn roles() -> Vec<Value> {
    let mut roles = bootstrap::cluster_roles();
    for _ in 0..3 {
        let objects: Vec<Object> =
            roles.iter().map(|role| of_cluster(CLUSTER_ROLES, role.clone()).at(Revision(1))).collect();
        for (role, object) in roles.iter_mut().zip(&objects) {
            if let Some(rules) = aggregated_rules(object, objects.iter()) {
                role["rules"] = json!(rules);
            }
        }
    }
    roles
}

/// A cluster that has just started, with `extra` besides.
fn cluster(extra: Vec<Draft>) -> Snapshot {
    let roles = roles().into_iter().map(|role| of_cluster(CLUSTER_ROLES, role));
    let bindings = bootstrap::cluster_role_bindings().into_iter();
    let bindings = bindings.map(|binding| of_cluster(CLUSTER_ROLE_BINDINGS, binding));
    Snapshot::of(roles.chain(bindings).chain(extra))
}

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// What roles are asked about: group, resource and part.
const ASKED: [(&str, &str, &str); 28] = [
    ("", "pods", ""),
    ("", "pods", "log"),
    ("", "pods", "exec"),
    ("", "pods", "eviction"),
    ("", "pods", "status"),
    ("", "configmaps", ""),
    ("", "secrets", ""),
    ("", "services", ""),
    ("", "endpoints", ""),
    ("", "serviceaccounts", ""),
    ("", "serviceaccounts", "token"),
    ("", "persistentvolumeclaims", ""),
    ("", "persistentvolumes", ""),
    ("", "resourcequotas", ""),
    ("", "events", ""),
    ("", "nodes", ""),
    ("", "namespaces", ""),
    ("apps", "deployments", ""),
    ("apps", "statefulsets", "scale"),
    ("batch", "jobs", ""),
    ("networking.k8s.io", "ingresses", ""),
    ("discovery.k8s.io", "endpointslices", ""),
    ("coordination.k8s.io", "leases", ""),
    ("rbac.authorization.k8s.io", "roles", ""),
    ("rbac.authorization.k8s.io", "clusterroles", ""),
    ("authorization.k8s.io", "localsubjectaccessreviews", ""),
    ("metrics.k8s.io", "pods", ""),
    ("metrics.k8s.io", "nodes", ""),
];

const PATHS: [&str; 7] = ["/healthz", "/version", "/api", "/apis/apps", "/openapi/v3", "/metrics", "/openid/v1/jwks"];

/// The letters of the verbs that rules allow, in the order of [`VERBS`]; a dot for each that they do not.
fn letters(rules: &[PolicyRule], (group, resource, subresource): (&str, &str, &str)) -> String {
    let identity = Identity::default();
    let allowed = |verb: &&str| {
        let asked = ResourceAttributes { group, resource, subresource, ..ResourceAttributes::default() };
        let attributes = Attributes { identity: &identity, verb, what: What::Resource(asked) };
        rules.iter().any(|rule| rule.allows(&attributes))
    };
    VERBS.iter().zip("glwcupdD".chars()).map(|(verb, letter)| if allowed(&verb) { letter } else { '.' }).collect()
}

/// Every role against every verb, kind and path: a role for each column of lines.
fn matrix() -> String {
    let identity = Identity::default();
    let mut text = String::from("g get, l list, w watch, c create, u update, p patch, d delete, D deletecollection\n");
    for role in roles() {
        let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap();
        writeln!(text, "\n{}", role["metadata"]["name"].as_str().unwrap()).unwrap();
        for asked in ASKED {
            let letters = letters(&rules, asked);
            let (group, resource, part) = asked;
            let slash = if part.is_empty() { "" } else { "/" };
            let dot = if group.is_empty() { "" } else { "." };
            if letters.chars().any(|letter| letter != '.') {
                writeln!(text, "  {letters} {resource}{slash}{part}{dot}{group}").unwrap();
            }
        }
        let paths =
            PATHS.iter().filter(|path| rules.iter().any(|rule| rule.allows(&Attributes::path(&identity, "get", path))));
        let paths: Vec<&str> = paths.copied().collect();
        if !paths.is_empty() {
            writeln!(text, "  {}", paths.join(" ")).unwrap();
        }
    }
    text
}

#[test]
fn every_role_of_the_system_allows_what_the_table_says_and_no_more() {
    let expected = include_str!("bootstrap_roles.txt");
    assert_eq!(matrix(), expected, "the table as it is:\n{}", matrix());
}

fn may(snapshot: &Snapshot, identity: &Identity, verb: &str, resource: &str, namespace: Option<&str>) -> bool {
    let asked = ResourceAttributes { resource, namespace, ..ResourceAttributes::default() };
    let attributes = Attributes { identity, verb, what: What::Resource(asked) };
    RoleAuthorizer::default().authorize(snapshot, &attributes).allowed
}

#[test]
fn nobody_has_anything_of_a_cluster_that_has_just_started_but_its_administrators() {
    let snapshot = cluster(Vec::new());
    let nobodies = [
        Identity::anonymous(),
        Identity::new("ann", &["people", "system:authenticated"]),
        Identity::service_account("default", "default"),
        Identity::service_account("kube-system", "default"),
        Identity::new("system:masters", &["system:authenticated"]),
    ];
    for identity in &nobodies {
        for (_, resource, _) in ASKED {
            for verb in VERBS {
                let allowed = may(&snapshot, identity, verb, resource, Some("default"));
                assert!(!allowed, "{} may {verb} {resource}", identity.user);
            }
        }
    }
    assert!(may(&snapshot, &Identity::new("root", &["system:masters"]), "delete", "nodes", None));
}

#[test]
fn what_was_derived_from_roles_is_renewed_when_one_changes_and_only_then() {
    let binding = |user: &str| {
        let name = json!({"name": "ann"});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
        let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user});
        of_cluster(CLUSTER_ROLE_BINDINGS, json!({"metadata": name, "roleRef": role, "subjects": [subject]}))
    };
    let authorizer = RoleAuthorizer::default();
    let ann = Identity::new("ann", &[]);
    let asked = ResourceAttributes { resource: "pods", ..ResourceAttributes::default() };
    let attributes = Attributes { identity: &ann, verb: "list", what: What::Resource(asked) };
    let with = cluster(vec![binding("ann")]);
    // Revisions tell objects apart: in one history no two have the same.
    let without = cluster(vec![account(), binding("bob")]);
    for _ in 0..2 {
        assert!(authorizer.authorize(&with, &attributes).allowed);
        assert!(!authorizer.authorize(&without, &attributes).allowed);
    }
    assert!(with.collection(CLUSTER_ROLES).is_same(&with.clone().collection(CLUSTER_ROLES)));
    assert!(!with.collection(CLUSTER_ROLES).is_same(&without.collection(CLUSTER_ROLES)));
    let nothing = Snapshot::default();
    assert!(nothing.collection(PODS).is_same(&with.collection(PODS)), "neither has any");
}

/// Signs nothing: for tests of what tokens say.
struct Plain;

impl Signer for Plain {
    fn sign(&self, claims: &[u8]) -> String {
        String::from_utf8(claims.to_vec()).unwrap()
    }

    fn open(&self, token: &str) -> Option<Vec<u8>> {
        Some(token.as_bytes().to_vec())
    }

    fn key_set(&self) -> Value {
        json!({})
    }
}

const START: &str = "2026-01-01T00:00:00Z";

fn account() -> Draft {
    let key = ObjectKey::namespaced(SERVICE_ACCOUNTS, "default", "robot");
    draft(key, json!({"metadata": {"name": "robot", "namespace": "default"}}))
}

fn issue(spec: Value) -> String {
    let spec: TokenRequestSpec = serde_json::from_value(spec).unwrap();
    let (snapshot, asker) = (Snapshot::of([account(), pod(Value::Null)]), Identity::default());
    let account = account().at(Revision(1));
    let tokens = Tokens::new("us", Arc::new(Plain));
    let claims = tokens.claims(&asker, &account, &spec, "1".to_owned(), &snapshot, START.parse().unwrap()).unwrap();
    tokens.sign(&claims)
}

fn pod(deletion: Value) -> Draft {
    let mut pod = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"serviceAccountName": "robot"}});
    if !deletion.is_null() {
        pod["metadata"]["deletionTimestamp"] = deletion;
    }
    draft(ObjectKey::namespaced(PODS, "default", "web"), pod)
}

fn after(token: &str, seconds: i64, snapshot: &Snapshot) -> Result<Verified, TokenFault> {
    let now: Timestamp = START.parse().unwrap();
    let now = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    Tokens::new("us", Arc::new(Plain)).verify(token, &[], snapshot, now)
}

#[test]
fn a_token_is_worth_something_from_its_beginning_to_its_end() {
    let snapshot = Snapshot::of([account()]);
    let cases = [
        (json!({}), -1, Some(TokenFault::NotYet)),
        (json!({}), 0, None),
        (json!({}), 3599, None),
        (json!({}), 3600, Some(TokenFault::Expired)),
        (json!({"expirationSeconds": 600}), 599, None),
        (json!({"expirationSeconds": 600}), 600, Some(TokenFault::Expired)),
    ];
    for (spec, seconds, expect) in cases {
        assert_eq!(after(&issue(spec.clone()), seconds, &snapshot).err(), expect, "{spec} after {seconds} s");
    }
}

#[test]
fn a_pod_that_goes_takes_its_token_along_a_minute_later() {
    let token = issue(json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web"}}));
    let going = Snapshot::of([account(), pod(json!("2026-01-01T00:00:30Z"))]);
    assert!(after(&token, 89, &going).is_ok());
    let gone = TokenFault::Gone(ObjectKey::namespaced(PODS, "default", "web"));
    assert_eq!(after(&token, 90, &going).err(), Some(gone.clone()));
    assert_eq!(after(&token, 1, &Snapshot::of([account()])).err(), Some(gone));
}

#[test]
fn a_token_of_another_issuer_is_none_of_ours() {
    let mut claims: Value = serde_json::from_str(&issue(json!({}))).unwrap();
    claims["iss"] = "them".into();
    assert_eq!(after(&claims.to_string(), 1, &Snapshot::of([account()])).err(), Some(TokenFault::Foreign));
    assert_eq!(after("{}", 1, &Snapshot::of([account()])).err(), Some(TokenFault::Foreign));
}
