//! A webhook of the user's has its say in what kubectl, the manifests directory and the operators write.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Cluster, Setup, cluster::SOON, eventually};
use serde_json::{Value, json};

use crate::workloads::wait_for_rollout;

/// Signs what is created, and refuses what is labelled `bad`.
fn judge(request: &Value) -> Value {
    let labels = &request["object"]["metadata"]["labels"];
    if labels.get("bad").is_some() {
        return json!({"uid": request["uid"], "allowed": false, "status": {"code": 403, "message": "a bad label"}});
    }
    let mut signed = labels.as_object().cloned().unwrap_or_default();
    signed.insert("signed".to_owned(), json!("yes"));
    let patch = json!([{"op": "add", "path": "/metadata/labels", "value": signed}]).to_string();
    json!({"uid": request["uid"], "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch)})
}

/// What a program answers at a path to what is posted there; null where nothing is.
pub(crate) type Answering = fn(&str, &Value) -> Value;

fn review(_: &str, review: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": judge(&review["request"])})
}

/// Answers one request of a connection.
fn answer(stream: TcpStream, config: &Arc<ServerConfig>, answering: Answering) -> Result<()> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config.clone())?, stream));
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    line.clear();
    while stream.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let posted = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
    let said = answering(&path, &posted).to_string();
    write!(
        stream.get_mut(),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{said}",
        said.len()
    )?;
    Ok(stream.get_mut().flush()?)
}

/// A program that vouches for itself under that name. Answers its port and certificate.
pub(crate) fn serve(name: &str, answering: Answering) -> Result<(u16, String)> {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()])?;
    let key = rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            std::thread::spawn(move || answer(stream, &config, answering));
        }
    });
    Ok((port, cert.pem()))
}

fn configured() -> Result<Cluster> {
    let (port, certificate) = serve("localhost", review)?;
    let cluster = Setup::simulated(1).start()?;
    let rule = json!({"apiGroups": ["", "apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["pods", "configmaps", "deployments"]});
    let client = json!({"url": format!("https://localhost:{port}/"), "caBundle": STANDARD.encode(certificate)});
    let webhook = json!({"name": "sign.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "rules": [rule], "clientConfig": client});
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "sign"}, "webhooks": [webhook]});
    cluster.try_kubectl(&["create", "-f", "-"], &configuration.to_string())?.succeeded()?;
    Ok(cluster)
}

#[test]
fn a_webhook_is_asked_about_what_everybody_writes() -> Result<()> {
    let cluster = configured()?;
    cluster.kubectl(&["create", "configmap", "by-kubectl"])?;
    let label = ["get", "configmap", "by-kubectl", "-o", "jsonpath={.metadata.labels.signed}"];
    ensure!(cluster.kubectl(&label)? == "yes", "kubectl's is signed");
    cluster.write_manifest("web.yaml", &web("sampan-demo:v1", 3))?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 3)?;
    let signed = |pod: &Value| pod.pointer("/metadata/labels/signed").is_some();
    ensure!(pods.iter().all(signed), "operators' pods are signed: {pods:#?}");

    let bad = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, labels: {bad: 'yes'}}\n";
    let refused = cluster.try_kubectl(&["create", "-f", "-"], bad)?;
    let why = "admission webhook \"sign.example.com\" denied the request: a bad label";
    ensure!(refused.stderr.contains(why), "{}", refused.stderr);
    cluster.write_manifest("bad.yaml", bad)?;
    eventually("the manifest is refused", SOON, || {
        let problem = cluster.kubectl(&["get", "manifestfile", "bad.yaml", "-o", "jsonpath={.status}"])?;
        Ok(problem.contains("denied the request: a bad label").then_some(()))
    })
}
