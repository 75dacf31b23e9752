//! Requests that are passed on to nodes.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use sampan_apiserver::{NodeConnector, NodeStream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, duplex, split};

use crate::world::{PODS, World, pod};

/// A node that tells what it was asked, and echoes where it is asked for another protocol.
struct Echo;

impl NodeConnector for Echo {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        Box::pin(async move {
            let (ours, theirs) = duplex(1024);
            let node = node.to_owned();
            tokio::spawn(async move {
                let service = service_fn(move |request| ready(Ok::<_, Infallible>(answer(&node, request))));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
                connection.with_upgrades().await
            });
            Ok(Box::new(ours) as Box<dyn NodeStream>)
        })
    }
}

fn answer(node: &str, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path().ends_with("/broken") {
        let body = Full::new(Bytes::from("container is waiting to start"));
        return Response::builder().status(400).body(body).unwrap();
    }
    if !request.headers().contains_key("upgrade") {
        return Response::new(Full::new(Bytes::from(format!("{node} {}", request.uri()))));
    }
    let told = format!("{}\n", request.uri());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut reader, mut writer) = split(TokioIo::new(upgraded.await.unwrap()));
        writer.write_all(told.as_bytes()).await.unwrap();
        copy(&mut reader, &mut writer).await
    });
    let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
    response.header("sec-websocket-protocol", "v5.channel.k8s.io").body(Full::default()).unwrap()
}

async fn world() -> World {
    let world = World::with_nodes(Arc::new(Echo)).await;
    let mut client = world.admin().await;
    client.create(PODS, pod("web", "n1")).await;
    let mut two = pod("two", "n1");
    two["spec"]["containers"] = json!([{"name": "a", "image": "x"}, {"name": "broken", "image": "x"}]);
    client.create(PODS, two).await;
    world
}

#[tokio::test]
async fn a_log_is_asked_of_the_node_of_the_pod() {
    let world = world().await;
    let mut client = world.admin().await;
    let log = client.get(&format!("{PODS}/web/log?tailLines=5&follow=true&pretty=1")).await;
    assert_eq!((log.code, log.text.as_str()), (200, "n1 /containerLogs/default/web/main?follow=true&tailLines=5"));
    let ambiguous = client.get(&format!("{PODS}/two/log")).await;
    assert_eq!(ambiguous.code, 400);
    assert!(ambiguous.text.contains("choose one of: [a broken]"), "{}", ambiguous.text);
    let refused = client.get(&format!("{PODS}/two/log?container=broken")).await;
    assert_eq!((refused.code, &refused.value()["message"]), (400, &json!("container is waiting to start")));
    assert_eq!(client.get(&format!("{PODS}/none/log")).await.code, 404);
}

#[tokio::test]
async fn a_pod_that_has_no_node_has_no_log_and_runs_nothing() {
    let world = world().await;
    let mut client = world.admin().await;
    client.create(PODS, pod("pending", "")).await;
    let log = client.get(&format!("{PODS}/pending/log")).await;
    assert_eq!((log.code, log.text.as_str()), (200, ""));
    assert_eq!(client.get(&format!("{PODS}/pending/exec?command=ls")).await.code, 400);
}

#[tokio::test]
async fn exec_carries_bytes_both_ways() {
    let world = world().await;
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "a2V5"),
        ("sec-websocket-protocol", "v5.channel.k8s.io"),
    ];
    let uri = format!("{PODS}/web/exec?command=sh&command=-c&stdin=true&stdout=true&tty=false");
    let mut response = world.admin().await.send(Method::GET, &uri, &headers, b"").await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let told = "/exec/default/web/main?command=sh&command=-c&input=1&output=1\n";
    stream.write_all(b"hello").await.unwrap();
    let mut received = vec![0; told.len() + 5];
    stream.read_exact(&mut received).await.unwrap();
    assert_eq!(String::from_utf8(received).unwrap(), format!("{told}hello"));
}

/// What a client of a command asks with.
const UPGRADE: [(&str, &str); 3] = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "a2V5")];

#[tokio::test]
async fn streams_are_counted_and_end_with_the_server() {
    let world = world().await;
    let uri = format!("{PODS}/web/exec?command=sh&stdin=true");
    let mut streams = Vec::new();
    let refused = loop {
        let mut response = world.admin().await.send(Method::GET, &uri, &UPGRADE, b"").await;
        match response.status().as_u16() {
            101 => streams.push(TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())),
            other => break other,
        }
        assert!(streams.len() < 1000, "there is a limit");
    };
    assert_eq!(refused, 429);
    world.shutdown.cancel();
    let ended = streams.pop().unwrap().read_to_end(&mut Vec::new()).await;
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() != io::ErrorKind::TimedOut));
}

#[tokio::test]
async fn exec_without_an_upgrade_is_refused() {
    let world = world().await;
    let answer = world.admin().await.get(&format!("{PODS}/web/exec?command=ls")).await;
    assert_eq!((answer.code, &answer.value()["message"]), (400, &json!("Upgrade request required")));
}
