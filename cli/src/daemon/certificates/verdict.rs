//! What becomes of a request: a pure function of the request and the nodes that are there.

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::api::core::v1::Node;
use sampan_apiserver::tls::CertificateRequest;
use sampan_core::access::bootstrap_token::JOINING_NODES;
use sampan_core::access::{Identity, NODES as NODES_GROUP, node_of};
use sampan_core::object::{Name, Object, ObjectKey};
use sampan_core::resource::NODES;
use sampan_core::store::Snapshot;

/// The signer whose requests are answered here.
pub(super) const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// By which a Node says for which key its name was given to a machine that joins: what the key hashes to.
pub(super) const JOINED_WITH: &str = "sampan.dev/joined-with-key";
/// What a node's key may be for.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "client auth"];

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is for others, was answered, or waits for somebody to approve it.
    Leave,
    /// The node it would be is there: it waits for somebody to approve it, or for that Node to go.
    Taken(ObjectKey),
    /// Nobody has the name: it is approved once the name is given to its key.
    Join(Name),
    /// It is approved, for this reason.
    Approve(&'static str),
    /// The certificate is issued.
    Issue,
    /// It can never be issued.
    Fail(String),
}

/// Why a machine that joins is approved.
pub(super) const JOINS: &str = "a machine with a token joins as a node nobody has heard of";

/// What becomes of a request; the certificate it asks for, or why that cannot be read.
pub(super) fn verdict(
    asked: &CertificateSigningRequest,
    request: Result<&CertificateRequest, &str>,
    snapshot: &Snapshot,
) -> Verdict {
    let says = |kind: &str| conditions(asked).any(|condition| condition.type_ == kind);
    let is_issued = asked.status.as_ref().and_then(|status| status.certificate.as_ref()).is_some();
    if is_issued || says("Denied") || says("Failed") {
        return Verdict::Leave;
    }
    let fault = request.map_or_else(|error| Some(error.to_owned()), |request| fault(asked, request));
    match (says("Approved"), fault, request) {
        (true, Some(fault), _) => Verdict::Fail(fault),
        (true, None, _) => Verdict::Issue,
        (false, None, Ok(request)) => approval(&requester(asked), request, snapshot),
        (false, ..) => Verdict::Leave,
    }
}

/// What was said of a request.
pub(super) fn conditions(
    asked: &CertificateSigningRequest,
) -> impl Iterator<Item = &CertificateSigningRequestCondition> {
    asked.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

fn requester(asked: &CertificateSigningRequest) -> Identity {
    let groups: Vec<&str> = asked.spec.groups.iter().flatten().map(String::as_str).collect();
    Identity::new(asked.spec.username.clone().unwrap_or_default(), &groups)
}

/// What is asked for that this signer does not sign.
fn fault(asked: &CertificateSigningRequest, request: &CertificateRequest) -> Option<String> {
    let usages: Vec<&str> = asked.spec.usages.iter().flatten().map(String::as_str).collect();
    let named = Identity::new(request.user(), &[&request.group()]);
    if node_of(&named).is_none() {
        return Some(format!("subject common name must begin with system:node: and organization be {NODES_GROUP}"));
    }
    if request.has_names() {
        return Some("DNS names and addresses are not allowed".to_owned());
    }
    let is_for_clients = usages.contains(&"client auth") && usages.iter().all(|usage| USAGES.contains(usage));
    (!is_for_clients).then(|| format!("usages did not match {USAGES:?}"))
}

/// Whether it needs nobody to approve it.
fn approval(requester: &Identity, request: &CertificateRequest, snapshot: &Snapshot) -> Verdict {
    let user = request.user();
    if requester.user == user && node_of(requester).is_some() {
        return Verdict::Approve("a node renews its own certificate");
    }
    if !requester.is_in(JOINING_NODES) {
        return Verdict::Leave;
    }
    let name = user.strip_prefix("system:node:").unwrap_or_default();
    let key = ObjectKey::cluster(NODES, name);
    match snapshot.get(&key) {
        None => Verdict::Join(key.name),
        Some(node) if joined_with(node).as_deref() == Some(&*request.key_hash()) => Verdict::Approve(JOINS),
        Some(_) => Verdict::Taken(key),
    }
}

/// What the key hashes to that a Node's name was given to.
fn joined_with(node: &Object) -> Option<String> {
    node.decode::<Node>().ok()?.metadata.annotations.as_ref()?.get(JOINED_WITH).cloned()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};
    use sampan_core::object::Draft;
    use serde_json::{Value, json};

    use super::*;

    fn request(user: &str, group: &str, names: &[&str]) -> CertificateRequest {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        CertificateRequest::read(&params.serialize_request(&key).unwrap().pem().unwrap()).unwrap()
    }

    /// Asked by somebody, with this said of it already.
    fn asked(by: &str, group: &str, usage: &str, status: Value) -> CertificateSigningRequest {
        let spec = json!({"request": "", "signerName": SIGNER, "usages": [usage], "username": by, "groups": [group]});
        serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap()
    }

    /// There is one node, `old`, whose name was given to a key.
    fn snapshot_with(key_hash: &str) -> Snapshot {
        let metadata = json!({"name": "old", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {JOINED_WITH: key_hash}});
        Snapshot::of([Draft::new(ObjectKey::cluster(NODES, "old"), json!({"metadata": metadata}), Vec::new()).unwrap()])
    }

    fn snapshot() -> Snapshot {
        snapshot_with("of another")
    }

    #[test]
    fn a_machine_with_a_token_becomes_a_new_node_and_a_node_stays_itself() {
        let joiner = ("system:bootstrap:abc123", JOINING_NODES);
        let cases = [
            (joiner, "system:node:new", true),
            (joiner, "system:node:old", false),
            (("system:bootstrap:abc123", "system:bootstrappers"), "system:node:new", false),
            (("system:node:old", NODES_GROUP), "system:node:old", true),
            (("system:node:old", NODES_GROUP), "system:node:new", false),
            (("system:node:old", "people"), "system:node:old", false),
            (("ann", "people"), "system:node:new", false),
        ];
        for ((by, group), user, is_approved) in cases {
            let request = request(user, NODES_GROUP, &[]);
            let found = verdict(&asked(by, group, "client auth", json!({})), Ok(&request), &snapshot());
            let approves = matches!(found, Verdict::Approve(_) | Verdict::Join(_));
            assert_eq!(approves, is_approved, "{by} asks for {user}: {found:?}");
        }
    }

    #[test]
    fn a_name_is_given_to_one_key() {
        let asked = asked("system:bootstrap:abc123", JOINING_NODES, "client auth", json!({}));
        let own = request("system:node:old", NODES_GROUP, &[]);
        let of = |request: &CertificateRequest| verdict(&asked, Ok(request), &snapshot_with(&own.key_hash()));
        assert_eq!(of(&own), Verdict::Approve(JOINS), "the machine that has it asks again");
        let other = request("system:node:old", NODES_GROUP, &[]);
        assert_eq!(of(&other), Verdict::Taken(ObjectKey::cluster(NODES, "old")));
        assert_eq!(of(&request("system:node:new", NODES_GROUP, &[])), Verdict::Join("new".into()));
    }

    #[test]
    fn what_is_approved_is_issued_unless_it_is_no_nodes() {
        let with = |kind: &str| json!({"conditions": [{"type": kind, "status": "True"}]});
        let issued = json!({"certificate": "eA==", "conditions": [{"type": "Approved", "status": "True"}]});
        let node = || request("system:node:old", NODES_GROUP, &[]);
        let cases = [
            (node(), "client auth", with("Approved"), Verdict::Issue),
            (node(), "client auth", with("Denied"), Verdict::Leave),
            (node(), "client auth", issued, Verdict::Leave),
            (node(), "server auth", with("Approved"), Verdict::Fail(String::new())),
            (
                request("kubernetes-admin", "system:masters", &[]),
                "client auth",
                with("Approved"),
                Verdict::Fail(String::new()),
            ),
            (
                request("system:node:old", "system:masters", &[]),
                "client auth",
                with("Approved"),
                Verdict::Fail(String::new()),
            ),
            (
                request("system:node:old", NODES_GROUP, &["kubernetes"]),
                "client auth",
                with("Approved"),
                Verdict::Fail(String::new()),
            ),
            (request("system:node:", NODES_GROUP, &[]), "client auth", json!({}), Verdict::Leave),
        ];
        for (request, usage, status, expect) in cases {
            let found = verdict(&asked("ann", "people", usage, status), Ok(&request), &snapshot());
            let is_same = found == expect || matches!((&found, &expect), (Verdict::Fail(_), Verdict::Fail(_)));
            assert!(is_same, "{} {usage}: {found:?}", request.user());
        }
        let broken = verdict(&asked("ann", "people", "client auth", with("Approved")), Err("no request"), &snapshot());
        assert_eq!(broken, Verdict::Fail("no request".to_owned()));
    }
}
