//! Certificates for nodes on other machines: who asks for one, who gets one at once, and whom somebody has to approve.
//!
//! Of Kubernetes' signers this is `kubernetes.io/kube-apiserver-client-kubelet`. A node renews its own certificate; a machine with
//! a token to join becomes a node nobody has heard of yet. To take the name of one that is there somebody has to say that it may.

use std::time::Duration;

use anyhow::{Result, anyhow};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use sampan_apiserver::tls::{Authority, CertificateRequest};
use sampan_core::access::bootstrap_token::JOINING_NODES;
use sampan_core::access::{Identity, MASTERS, NODES as NODES_GROUP, node_of};
use sampan_core::gateway::{Action, Body, Cluster, Mutation, Options, PatchKind, Subresource, Target};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::{CERTIFICATE_SIGNING_REQUESTS, NODES};
use sampan_core::store::{Origin, Snapshot};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The signer whose requests are answered here.
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// How long a certificate lasts, unless a shorter one is asked for.
const LIFE_SECONDS: i32 = 365 * 24 * 3600;
/// What a node's key may be for.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "client auth"];

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is for others, was answered, or waits for somebody to approve it.
    Leave,
    /// It is approved, by whom the reason tells.
    Approve(&'static str),
    /// The certificate is issued.
    Issue,
    /// It can never be issued.
    Fail(String),
}

/// Answers requests until `shutdown`.
pub(super) async fn keep(cluster: Cluster, authority: Authority, shutdown: CancellationToken) {
    loop {
        let change = cluster.store().reader().listen(CERTIFICATE_SIGNING_REQUESTS);
        let snapshot = cluster.snapshot();
        for object in snapshot.list(CERTIFICATE_SIGNING_REQUESTS, None, None) {
            if let Err(error) = answer(&cluster, &authority, &snapshot, object).await {
                tracing::warn!("failed to answer {}: {error:#}", object.key());
            }
        }
        if shutdown.run_until_cancelled(change).await.is_none() {
            return;
        }
    }
}

async fn answer(cluster: &Cluster, authority: &Authority, snapshot: &Snapshot, object: &Object) -> Result<()> {
    let asked = object.decode::<CertificateSigningRequest>()?;
    if asked.spec.signer_name != SIGNER {
        return Ok(());
    }
    let name = &*object.key().name;
    let request = String::from_utf8_lossy(&asked.spec.request.0);
    let request = CertificateRequest::read(&request).map_err(|error| error.to_string());
    let verdict = verdict(&asked, request.as_ref().map_err(String::as_str), snapshot);
    match (verdict, &request) {
        (Verdict::Leave, _) => Ok(()),
        (Verdict::Approve(message), _) => {
            let condition = json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message});
            write(cluster, object, Subresource::Named("approval"), json!({"conditions": [condition]})).await
        }
        (Verdict::Issue, Ok(request)) => {
            let life = asked.spec.expiration_seconds.unwrap_or(LIFE_SECONDS).min(LIFE_SECONDS);
            let life = Duration::from_secs(u64::from(life.unsigned_abs()));
            let issued = authority.sign(request, life, cluster.now())?;
            tracing::info!("{} has a certificate ({name})", request.user());
            write(cluster, object, Subresource::Status, json!({"certificate": encoded(&issued)})).await
        }
        (Verdict::Issue, Err(error)) => Err(anyhow!("{error}")),
        (Verdict::Fail(message), _) => {
            let reason = "SignerValidationFailure";
            let condition = json!({"type": "Failed", "status": "True", "reason": reason, "message": message});
            let mut conditions: Vec<Value> =
                conditions(&asked).filter_map(|it| serde_json::to_value(it).ok()).collect();
            conditions.push(condition);
            write(cluster, object, Subresource::Status, json!({"conditions": conditions})).await
        }
    }
}

fn encoded(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap_or_default()
}

fn verdict(
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
        (false, None, Ok(request)) => approval(&requester(asked), &request.user(), snapshot),
        (false, ..) => Verdict::Leave,
    }
}

fn conditions(
    asked: &CertificateSigningRequest,
) -> impl Iterator<Item = &k8s_openapi::api::certificates::v1::CertificateSigningRequestCondition> {
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
fn approval(requester: &Identity, user: &str, snapshot: &Snapshot) -> Verdict {
    if requester.user == user && node_of(requester).is_some() {
        return Verdict::Approve("a node renews its own certificate");
    }
    let name = user.strip_prefix("system:node:").unwrap_or_default();
    let is_new = snapshot.get(&ObjectKey::cluster(NODES, name)).is_none();
    match requester.is_in(JOINING_NODES) && is_new {
        true => Verdict::Approve("a machine with a token joins as a node nobody has heard of"),
        false => Verdict::Leave,
    }
}

/// Writes part of the request's status, unless somebody has changed it since.
async fn write(cluster: &Cluster, object: &Object, subresource: Subresource, status: Value) -> Result<()> {
    let resource = CERTIFICATE_SIGNING_REQUESTS;
    let registry = cluster.registry();
    let served =
        registry.served(resource.group, "v1", resource.plural).ok_or_else(|| anyhow!("{resource} are not served"))?;
    let metadata = json!({"resourceVersion": object.revision().to_string()});
    let mutation = Mutation {
        identity: Identity::new("system:apiserver", &[MASTERS]),
        origin: Origin::System { purpose: "certificates for nodes".to_owned() },
        target: Target { served, namespace: None, name: Some(object.key().name.clone()), subresource },
        action: Action::Patch(PatchKind::Merge, Body::Value(json!({"metadata": metadata, "status": status}))),
        options: Options { field_manager: "sampan".to_owned(), ..Options::default() },
    };
    match cluster.mutate(mutation).await {
        Ok(_) => Ok(()),
        // Somebody was faster: it is looked at again, because it changed.
        Err(status) if status.code == 409 => Ok(()),
        Err(status) => Err(anyhow!("{status}")),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};
    use sampan_core::object::Draft;

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

    /// There is one node, `old`.
    fn snapshot() -> Snapshot {
        let metadata = json!({"name": "old", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"});
        Snapshot::of([Draft::new(ObjectKey::cluster(NODES, "old"), json!({"metadata": metadata}), Vec::new()).unwrap()])
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
            assert_eq!(matches!(found, Verdict::Approve(_)), is_approved, "{by} asks for {user}: {found:?}");
        }
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
