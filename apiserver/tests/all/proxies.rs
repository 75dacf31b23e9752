//! Requests that are passed on to servers in the cluster.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use sampan_apiserver::{NodeConnector, NodeStream};
use serde_json::{Value, json};
use tokio::io::duplex;

use crate::world::{PODS, World, pod};

const NODES: &str = "/api/v1/nodes";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// The daemon of a node that tells what it was asked, on a page of links.
struct Teller;

impl NodeConnector for Teller {
    fn connect<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        Box::pin(async move {
            let (ours, theirs) = duplex(1024);
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
            Ok(Box::new(ours) as Box<dyn NodeStream>)
        })
    }
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let told = json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "names": parts.headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()),
    });
    let answer = Response::builder().header("x-own", "1");
    let answer = match parts.uri.path() {
        "/page" => answer.header("content-type", "text/html; charset=utf-8").body("<a href=\"/next\">/next</a>".into()),
        "/moved" => answer.status(302).header("location", "/there").body(Full::default()),
        _ => answer.status(207).body(told.to_string().into()),
    };
    answer.unwrap()
}

async fn world() -> World {
    let world = World::with_nodes(Arc::new(Teller)).await;
    let mut admin = world.admin().await;
    admin.create(NODES, json!({"metadata": {"name": "n1"}})).await;
    admin.create(PODS, pod("web", "n1")).await;
    world
}

#[tokio::test]
async fn every_method_is_passed_on_with_its_body_and_its_answer_comes_back() {
    let world = world().await;
    let mut admin = world.admin().await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let uri = format!("{NODES}/n1/proxy/a//b%2Fc/?d=e&watch=1");
        let given = admin.ask(method.clone(), &uri, &[("x-mine", "1")], b"told").await;
        assert_eq!((given.code, given.header("x-own")), (207, "1"), "{method}: {}", given.text);
        let told: Value = given.value();
        assert_eq!((&told["method"], &told["uri"]), (&json!(method.as_str()), &json!("/a//b%2Fc/?d=e&watch=1")));
        assert_eq!(told["body"], "told");
        let names = told["names"].as_array().unwrap();
        assert!(names.contains(&json!("x-mine")) && names.contains(&json!("x-forwarded-uri")), "{told}");
    }
}

#[tokio::test]
async fn links_and_places_lead_through_the_proxy() {
    let world = world().await;
    let mut admin = world.admin().await;
    let page = admin.get(&format!("{NODES}/n1/proxy/page")).await;
    assert_eq!(page.text, "<a href=\"/api/v1/nodes/n1/proxy/next\">/next</a>");
    let moved = admin.get(&format!("{NODES}/n1/proxy/moved")).await;
    assert_eq!((moved.code, moved.header("location")), (302, "/api/v1/nodes/n1/proxy/there"));
    let root = admin.get(&format!("{NODES}/n1/proxy?a=b")).await;
    assert_eq!((root.code, root.header("location")), (301, "/api/v1/nodes/n1/proxy/?a=b"));
}

#[tokio::test]
async fn who_leads_nowhere_says_why() {
    let world = world().await;
    let mut admin = world.admin().await;
    let spec = json!({"ports": [{"port": 80, "name": "http"}]});
    admin.create(SERVICES, json!({"metadata": {"name": "shop"}, "spec": spec})).await;
    for (uri, code, message) in [
        (format!("{PODS}/web/proxy/"), 400, "address not allowed"),
        (format!("{PODS}/ftp:web:21/proxy/"), 400, "invalid pod request \"ftp:web:21\""),
        (format!("{PODS}/none:80/proxy/"), 404, "pods \"none\" not found"),
        (format!("{SERVICES}/shop:http/proxy/"), 503, "no endpoints available for service \"shop\""),
        (format!("{SERVICES}/shop:81/proxy/"), 503, "no service port 81 found for service \"shop\""),
    ] {
        let refused = admin.get(&uri).await;
        assert_eq!((refused.code, refused.value()["message"].as_str()), (code, Some(message)), "{uri}");
    }
    assert_eq!(admin.get(&format!("{PODS}/web/log/more")).await.code, 404, "only a proxy has something beyond");
}

#[tokio::test]
async fn what_a_role_does_not_allow_is_not_passed_on() {
    let world = world().await;
    let mut stranger = world.known("ann", "people").await;
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        let refused = stranger.ask(method, &format!("{NODES}/n1/proxy/page"), &[], b"").await;
        assert_eq!(refused.code, 403, "{}", refused.text);
    }
}
