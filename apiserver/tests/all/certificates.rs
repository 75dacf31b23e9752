//! How a machine becomes a node: its token, its request, its certificate, and how it is known by it.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sampan_apiserver::tls::{Authority, CertificateRequest, Credential, identity_of};
use sampan_apiserver::{Caller, NodeConnector, RemoteNodes};
use sampan_core::Timestamp;
use sampan_core::access::{Identity, node_of};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::{Client, PODS, World};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const CLUSTER_ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const TOKEN: &str = "abc123.0123456789abcdef";

fn request() -> Value {
    json!({
        "metadata": {"name": "one"},
        "spec": {
            "request": "eA==", "signerName": SIGNER, "usages": ["client auth"],
            "username": "system:node:n1", "groups": ["system:nodes"], "uid": "forged", "extra": {"forged": ["yes"]},
        },
    })
}

async fn with_token(world: &World, token: &str, method: Method, uri: &str, body: &Value) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let mut client = world.connect(Caller::Anonymous).await;
    let answer = client.ask(method, uri, &[("authorization", &bearer)], body.to_string().as_bytes()).await;
    (answer.code, answer.value())
}

/// A token to join with, in its Secret.
async fn give_token(admin: &mut Client) {
    admin.create("/api/v1/namespaces", json!({"metadata": {"name": "kube-system"}})).await;
    let data = json!({"token-id": "abc123", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:sampan:nodes"});
    let metadata = json!({"name": "bootstrap-token-abc123"});
    let secret = json!({"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "stringData": data});
    admin.create("/api/v1/namespaces/kube-system/secrets", secret).await;
}

#[tokio::test]
async fn who_has_a_token_to_join_may_ask_for_a_certificate_and_nothing_else() {
    let world = World::new().await;
    give_token(&mut world.admin().await).await;
    let (code, made) = with_token(&world, TOKEN, Method::POST, REQUESTS, &request()).await;
    assert_eq!(code, 201, "{made}");
    let spec = &made["spec"];
    assert_eq!(spec["username"], "system:bootstrap:abc123", "who asks is told by the API");
    let groups = ["system:bootstrappers", "system:authenticated", "system:bootstrappers:sampan:nodes"];
    assert_eq!(spec["groups"], json!(groups));
    assert_eq!((&spec["uid"], &spec["extra"]), (&Value::Null, &Value::Null));
    let refused = [
        (TOKEN, Method::GET, PODS.to_owned(), 403),
        (TOKEN, Method::GET, "/api/v1/nodes".to_owned(), 403),
        (TOKEN, Method::GET, "/api/v1/namespaces/kube-system/secrets".to_owned(), 403),
        (TOKEN, Method::PUT, format!("{REQUESTS}/one/approval"), 403),
        ("abc123.0123456789abcdee", Method::GET, REQUESTS.to_owned(), 401),
    ];
    for (token, method, uri, expect) in refused {
        assert_eq!(with_token(&world, token, method, &uri, &made).await.0, expect, "{uri}");
    }
    world.admin().await.delete("/api/v1/namespaces/kube-system/secrets/bootstrap-token-abc123").await;
    assert_eq!(with_token(&world, TOKEN, Method::GET, REQUESTS, &Value::Null).await.0, 401, "it was taken back");
}

#[tokio::test]
async fn a_certificate_is_approved_and_signed_by_who_may_for_its_signer() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let mut made = admin.create(REQUESTS, request()).await;
    let on = |resources: &[&str], verbs: &[&str]| json!({"apiGroups": ["certificates.k8s.io"], "resources": resources, "verbs": verbs});
    let parts = on(&["certificatesigningrequests/approval", "certificatesigningrequests/status"], &["update"]);
    let role = |rules: Value| json!({"metadata": {"name": "approver"}, "rules": rules});
    admin.create(CLUSTER_ROLES, role(json!([parts]))).await;
    let bound = json!({"metadata": {"name": "approver"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}]});
    admin.create(CLUSTER_ROLE_BINDINGS, bound).await;
    let mut ann = world.known("ann", "people").await;
    let approved = json!([{"type": "Approved", "status": "True", "reason": "R", "message": "M"}]);
    made["status"] = json!({"conditions": approved});
    let refused = ann.put(&format!("{REQUESTS}/one/approval"), made.clone()).await;
    assert_eq!(refused.code, 403);
    assert!(refused.text.contains("user not permitted to approve requests with signerName"), "{}", refused.text);

    let mut signers = on(&["signers"], &["approve"]);
    signers["resourceNames"] = json!(["kubernetes.io/*"]);
    admin.put(&format!("{CLUSTER_ROLES}/approver"), role(json!([parts, signers]))).await;
    let answer = ann.put(&format!("{REQUESTS}/one/approval"), made.clone()).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let mut signed = answer.value();
    signed["status"]["certificate"] = "eA==".into();
    let refused = ann.put(&format!("{REQUESTS}/one/status"), signed.clone()).await;
    assert!(refused.code == 403 && refused.text.contains("not permitted to sign"), "{}", refused.text);
    let answer = ann.put(&format!("{REQUESTS}/one/approval"), signed.clone()).await;
    assert_eq!((answer.code, &answer.value()["status"]["certificate"]), (200, &Value::Null), "approval writes none");
}

#[tokio::test]
async fn whoever_signs_decides_nothing_and_whoever_decides_does_so_once() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let made = admin.create(REQUESTS, request()).await;
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "M"});
    let with = |conditions: Vec<Value>| {
        let mut request = made.clone();
        request["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        request["status"] = json!({"conditions": conditions});
        request
    };
    let (status, approval) = (format!("{REQUESTS}/one/status"), format!("{REQUESTS}/one/approval"));
    for kind in ["Approved", "Denied"] {
        let refused = admin.put(&status, with(vec![condition(kind, "True")])).await;
        let why = format!("status.conditions: Forbidden: updates may not add a condition of type \"{kind}\"");
        assert!(refused.code == 422 && refused.text.contains(&why.replace('"', "\\\"")), "{}", refused.text);
    }
    let both = with(vec![condition("Approved", "True"), condition("Denied", "True")]);
    for (body, why) in [
        (both, "mutually exclusive"),
        (with(vec![condition("Approved", "False")]), "supported values"),
        (with(vec![condition("Approved", "True"), condition("Approved", "True")]), "Duplicate value"),
    ] {
        let refused = admin.put(&approval, body).await;
        assert!(refused.code == 422 && refused.text.contains(why), "{why}: {}", refused.text);
    }
    assert_eq!(admin.put(&approval, with(vec![condition("Approved", "True")])).await.code, 200);
    let mut told = with(vec![condition("Approved", "True"), condition("Failed", "True")]);
    told["status"]["conditions"][0]["reason"] = "another".into();
    let answer = admin.put(&status, told).await;
    let conditions = answer.value()["status"]["conditions"].clone();
    assert_eq!((&conditions[0]["reason"], &conditions[1]["type"]), (&json!("R"), &json!("Failed")), "{}", answer.text);
    let refused = admin.put(&status, with(Vec::new())).await;
    assert!(refused.code == 422 && refused.text.contains("may not remove a condition"), "{}", refused.text);
}

/// A certificate for a node, as a machine asks for it and the authority gives it.
fn certified(authority: &Authority, node: &str) -> Credential {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["kubernetes.default.svc".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    let request = CertificateRequest::read(&params.serialize_request(&key).unwrap().pem().unwrap()).unwrap();
    assert!(request.has_names());
    let certificate = authority.sign(&request, Duration::from_secs(3600), Timestamp::now()).unwrap();
    Credential { certificate, key: key.serialize_pem() }
}

fn der(credential: &Credential) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_slice(credential.certificate.as_bytes()).unwrap();
    (certificate, PrivateKeyDer::from_pem_slice(credential.key.as_bytes()).unwrap())
}

#[test]
fn what_is_signed_says_who_somebody_is_and_vouches_for_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), Timestamp::now()).unwrap();
    let (certificate, _) = der(&certified(&authority, "n1"));
    let found = identity_of(&certificate).unwrap();
    assert_eq!(node_of(&found), Some("n1"));
    assert_eq!(found, Identity::new("system:node:n1", &["system:nodes", "system:authenticated"]));
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    assert!(parsed.subject_alternative_name().unwrap().is_none(), "it asked for the API server's name");
    assert!(!parsed.is_ca());
    assert!(CertificateRequest::read("nothing").is_err());
}

#[tokio::test]
async fn a_node_is_who_its_certificate_says_and_not_where_it_answers() {
    let world = World::new().await;
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::open(ours.path(), Timestamp::now()).unwrap();
    let strange = Authority::open(theirs.path(), Timestamp::now()).unwrap();
    let shown = [
        ("n1", certified(&authority, "n1"), true),
        ("n2", certified(&authority, "n1"), false),
        ("n3", certified(&strange, "n3"), false),
        ("n4", authority.serving(&[], Timestamp::now()).unwrap(), false),
    ];
    let own = authority.client("k", "kube-apiserver-kubelet-client", "g", Timestamp::now()).unwrap();
    let nodes = RemoteNodes::new(world.reader.clone(), &authority, own).unwrap();
    let mut admin = world.admin().await;
    for (node, credential, is_believed) in shown {
        let (certificate, key) = der(&credential);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
        admin.create("/api/v1/nodes", json!({"metadata": {"name": node}})).await;
        let status = json!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}});
        let answer =
            admin.patch(&format!("/api/v1/nodes/{node}/status"), "merge-patch+json", json!({"status": status})).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        let connected = nodes.connect(node).await;
        assert_eq!(connected.is_ok(), is_believed, "{node}: {:?}", connected.err());
    }
    assert!(nodes.connect("nobody").await.is_err());
}
