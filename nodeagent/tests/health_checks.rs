//! Load balancers before the cluster ask whether the node has pods of a Service.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end with a panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::watcher::Event;
use sampan_nodeagent::proxy::health;
use sampan_nodeagent::services::{Directory, News};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

fn service(port: Option<u16>) -> News {
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port});
    let service = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": spec});
    News::Service(Box::new(Event::Apply(serde_json::from_value(service).unwrap())))
}

fn slice(endpoints: Value) -> News {
    let labels = json!({"kubernetes.io/service-name": "web"});
    let slice = json!({"addressType": "IPv4", "endpoints": endpoints,
        "metadata": {"namespace": "shop", "name": "web-a", "labels": labels}});
    News::Slice(Box::new(Event::Apply(serde_json::from_value(slice).unwrap())))
}

/// What is answered at a port; nothing where nobody listens.
async fn ask(port: u16) -> Option<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

async fn until(port: u16, what: impl Fn(Option<&str>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask(port).await;
        if what(answer.as_deref()) {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_node_says_whether_it_has_pods_of_a_service() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (directory, stop) = (Arc::new(Directory::default()), CancellationToken::new());
    let serving = tokio::spawn({
        let (directory, stop) = (directory.clone(), stop.clone());
        async move { health::run(directory, "here", stop).await }
    });
    let endpoint = |address: &str, node: &str, ready: bool| json!({"addresses": [address], "nodeName": node, "conditions": {"ready": ready, "serving": true}});
    let elsewhere = [endpoint("10.1.0.1", "there", true), endpoint("10.1.0.2", "here", false)];
    directory.take([service(Some(port)), slice(json!(elsewhere))]);
    until(port, |answer| answer.is_some_and(|it| it.starts_with("HTTP/1.1 503 "))).await;
    directory.take([slice(json!([endpoint("10.1.0.2", "here", true), endpoint("10.1.0.3", "here", true)]))]);
    let answer = ask(port).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-load-balancing-endpoint-weight: 2\r\n"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let service_is = json!({"namespace": "shop", "name": "web"});
    assert_eq!(body, json!({"service": service_is, "localEndpoints": 2, "serviceProxyHealthy": true}));
    directory.take([service(None)]);
    until(port, |answer| answer.is_none()).await;
    directory.take([service(Some(port))]);
    until(port, |answer| answer.is_some_and(|it| it.starts_with("HTTP/1.1 200 "))).await;
    stop.cancel();
    serving.await.unwrap();
    until(port, |answer| answer.is_none()).await;
}
