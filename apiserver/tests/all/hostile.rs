//! Clients that send what makes no sense: each is told so, and the server stays.

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use hyper::Method;
use sampan_apiserver::{Caller, NodeConnector, NodeStream, Part};
use serde_json::json;

use crate::world::{CONFIG_MAPS, PODS, World, config_map, pod};

#[tokio::test]
async fn what_is_no_object_is_refused_with_a_status() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let deep = "[".repeat(100_000);
    let bodies: [(&str, &[u8], u16); 9] = [
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"{\"metadata\":{\"name\":\"\xff\"}}", 400),
        ("application/json", deep.as_bytes(), 400),
        ("application/yaml", b"a: [", 400),
        ("application/yaml", b"", 400),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff", 400),
        ("application/xml", b"<a/>", 415),
    ];
    for (content_type, body, code) in bodies {
        let answer = client.ask(Method::POST, CONFIG_MAPS, &[("content-type", content_type)], body).await;
        assert_eq!(answer.code, code, "{content_type}: {}", answer.text);
        assert_eq!(answer.value()["kind"], "Status");
    }
    client.create(CONFIG_MAPS, config_map("still-there")).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let body = vec![b' '; (3 << 20) + 1];
    let answer = client.ask(Method::POST, CONFIG_MAPS, &[], &body).await;
    assert_eq!((answer.code, &answer.value()["reason"]), (413, &json!("RequestEntityTooLarge")));
    world.admin().await.create(CONFIG_MAPS, config_map("still-there")).await;
}

#[tokio::test]
async fn what_is_not_served_is_told_apart() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for (method, uri, code) in [
        (Method::GET, "/nonsense", 404),
        (Method::GET, "/api/v1/nonsense", 404),
        (Method::GET, "/api/v2/pods", 404),
        (Method::GET, "/apis/apps/v9/deployments", 404),
        (Method::GET, "/api/v1/pods/web", 404),
        (Method::GET, "/api/v1/namespaces/default/nodes", 404),
        (Method::GET, "/api/v1/namespaces/default/configmaps/a/status", 404),
        (Method::GET, "/api/v1/namespaces/default/pods/a/b/c", 404),
        (Method::GET, "/api/v1/namespaces//pods", 404),
        (Method::GET, "/api/v1/namespaces/%ff/pods", 400),
        (Method::PUT, CONFIG_MAPS, 405),
        (Method::PATCH, CONFIG_MAPS, 405),
        (Method::POST, "/api/v1/configmaps", 405),
        (Method::OPTIONS, CONFIG_MAPS, 405),
        (Method::POST, "/openapi/v3", 404),
    ] {
        let answer = client.ask(method.clone(), uri, &[], b"{}").await;
        assert_eq!(answer.code, code, "{method} {uri}: {}", answer.text);
        assert_eq!(answer.value()["kind"], "Status");
    }
}

#[tokio::test]
async fn strangers_may_ask_how_the_server_is_and_nothing_else() {
    let world = World::new().await;
    let mut stranger = world.connect(Caller::Anonymous).await;
    for uri in ["/healthz", "/livez", "/version"] {
        assert_eq!(stranger.get(uri).await.code, 200, "{uri}");
    }
    assert_eq!(stranger.get("/readyz").await.code, 503);
    world.server.set_ready(true);
    assert_eq!(
        stranger.get("/readyz?verbose").await.text,
        "[+]ping ok\n[+]started ok\n[+]shutdown ok\nreadyz check passed\n"
    );
    for uri in [CONFIG_MAPS, "/api", "/openapi/v3", "/metrics", "/sampan.dev/v1/why/cm/default/a"] {
        assert_eq!(stranger.get(uri).await.code, 403, "{uri}");
    }
    let headers = [("x-remote-user", "kubernetes-admin"), ("x-remote-group", "system:masters")];
    assert_eq!(stranger.ask(Method::GET, CONFIG_MAPS, &headers, b"").await.code, 403, "headers vouch for nobody");
}

#[tokio::test]
async fn who_is_known_but_not_allowed_is_told_what() {
    let world = World::new().await;
    let mut guest = world.known("guest", "guests").await;
    let answer = guest.get(CONFIG_MAPS).await;
    assert_eq!(answer.code, 403);
    let message = answer.value()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("User \"guest\" cannot list resource \"configmaps\""), "{message}");
    assert_eq!(guest.get(&format!("{CONFIG_MAPS}?watch=true")).await.code, 403);
    assert_eq!(guest.post(CONFIG_MAPS, config_map("a")).await.code, 403);
    assert_eq!(guest.delete(CONFIG_MAPS).await.code, 403);
    assert_eq!(guest.get("/metrics").await.code, 403);
}

/// A way to nodes that has a fault of its own.
struct Faulty;

impl NodeConnector for Faulty {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        panic!("no way to {node}")
    }
}

#[tokio::test]
async fn a_panic_is_the_end_of_its_request_alone() {
    let world = World::with_nodes(Arc::new(Faulty)).await;
    let mut client = world.admin().await;
    client.create(PODS, pod("web", "n1")).await;
    let answer = client.get(&format!("{PODS}/web/log")).await;
    assert_eq!((answer.code, &answer.value()["reason"]), (500, &json!("InternalError")));
    assert!(!answer.text.contains("no way"), "what went wrong is for the log: {}", answer.text);
    assert_eq!(client.get(CONFIG_MAPS).await.code, 200, "the same connection goes on");
}

/// A part of the process that has stopped working.
struct Stuck;

impl Part for Stuck {
    fn name(&self) -> &'static str {
        "operators"
    }

    fn problem(&self) -> Option<String> {
        Some("garbagecollector panicked on pods/default/web".to_owned())
    }

    fn write_metrics(&self, out: &mut String) {
        out.push_str("sampan_operators_queued 7\n");
    }
}

#[tokio::test]
async fn a_part_that_is_not_well_makes_the_server_unready_and_shows_its_figures() {
    let world = World::new().await;
    world.server.set_ready(true);
    let mut client = world.admin().await;
    assert_eq!(client.get("/readyz").await.code, 200);
    world.server.show(Arc::new(Stuck));
    let unready = client.get("/readyz").await;
    assert_eq!(unready.code, 503);
    assert!(unready.text.contains("[-]operators failed: garbagecollector panicked"), "{}", unready.text);
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("sampan_operators_queued 7\n"), "{metrics}");
    assert!(
        metrics.contains("apiserver_request_total{verb=\"create\",resource=\"namespaces\",code=\"201\"} 1"),
        "{metrics}"
    );
}
