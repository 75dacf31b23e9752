//! Webhooks over HTTPS: a program that judges is asked, and trusted if its certificate is.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sampan_apiserver::tls::{Authority, server_config};
use sampan_core::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::{CONFIG_MAPS, Client, World};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// What a webhook answers at a path.
async fn judge(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes()).unwrap();
    let patch = STANDARD.encode(r#"[{"op": "add", "path": "/data", "value": {"signed": "yes"}}]"#);
    let mut response = match path.as_str() {
        "/sign" => json!({"allowed": true, "patchType": "JSONPatch", "patch": patch, "warnings": ["signed"]}),
        "/deny" => json!({"allowed": false, "status": {"code": 403, "message": "not today"}}),
        "/slow" => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            json!({})
        }
        _ => {
            let mut broken = Response::new(Full::new("the webhook is broken".into()));
            *broken.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(broken);
        }
    };
    response["uid"] = review["request"]["uid"].clone();
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::new(Full::new(review.to_string().into())))
}

/// A program that judges, vouched for by `authority`. Answers its port.
async fn serve(authority: &Authority) -> u16 {
    let names = ["localhost", "127.0.0.1", "guard.default.svc"].map(str::to_owned);
    let config = server_config(authority, &authority.serving(&names, Timestamp::now()).unwrap()).unwrap();
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols.clear();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service_fn(judge)).await;
            });
        }
    });
    port
}

async fn configure(admin: &mut Client, client: Value) {
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]});
    let webhook = json!({"name": "guard.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "timeoutSeconds": 1, "rules": [rule], "clientConfig": client});
    admin.delete(&format!("{CONFIGURATIONS}/guard")).await;
    admin.create(CONFIGURATIONS, json!({"metadata": {"name": "guard"}, "webhooks": [webhook]})).await;
}

async fn refusal(admin: &mut Client) -> (u16, String) {
    let refused = admin.post(CONFIG_MAPS, json!({"metadata": {"name": "refused"}})).await;
    (refused.code, refused.value()["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_webhook_is_asked_over_https_and_trusted_by_its_certificate() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::open(ours.path(), Timestamp::now()).unwrap();
    let stranger = Authority::open(theirs.path(), Timestamp::now()).unwrap();
    let port = serve(&authority).await;
    let bundle = STANDARD.encode(authority.certificate());
    let world = World::new().await;
    let mut admin = world.admin().await;

    configure(&mut admin, json!({"url": format!("https://127.0.0.1:{port}/sign"), "caBundle": bundle})).await;
    let signed = admin.post(CONFIG_MAPS, json!({"metadata": {"name": "by-url"}})).await;
    assert_eq!((signed.code, &signed.value()["data"]), (201, &json!({"signed": "yes"})));
    assert_eq!(signed.header("warning"), "299 - \"signed\"");

    let service = json!({"metadata": {"name": "guard"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    admin.create("/api/v1/namespaces/default/services", service).await;
    let by_service = json!({"namespace": "default", "name": "guard", "path": "sign", "port": port});
    configure(&mut admin, json!({"service": by_service, "caBundle": bundle})).await;
    let signed = admin.post(CONFIG_MAPS, json!({"metadata": {"name": "by-service"}})).await;
    assert_eq!((signed.code, &signed.value()["data"]), (201, &json!({"signed": "yes"})));

    let failed = |path: &str, why: &str| {
        let url = format!("https://localhost:{port}{path}?timeout=1s");
        let failed = "Internal error occurred: failed calling webhook \"guard.example.com\": failed to call webhook";
        (500, format!("{failed}: Post \"{url}\": {why}"))
    };
    let foreign = STANDARD.encode(stranger.certificate());
    let cases = [
        ("/deny", &bundle, (403, "admission webhook \"guard.example.com\" denied the request: not today".to_owned())),
        ("/slow", &bundle, failed("/slow", "context deadline exceeded")),
        ("/broken", &bundle, failed("/broken", "the server answered with status 500: the webhook is broken")),
        ("/sign", &foreign, failed("/sign", "tls: failed to verify certificate: ")),
    ];
    for (path, bundle, expected) in cases {
        configure(&mut admin, json!({"url": format!("https://localhost:{port}{path}"), "caBundle": bundle})).await;
        let (code, message) = refusal(&mut admin).await;
        assert_eq!(code, expected.0);
        assert!(message.starts_with(&expected.1), "{message}");
    }
}
