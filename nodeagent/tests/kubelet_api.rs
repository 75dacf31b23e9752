//! The kubelet API on real containers, over an in-memory pipe as the API server of the same process opens it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "a test that cannot go on fails")]

mod support;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use sampan_nodeagent::serve_kubelet;
use serde_json::{Value, json};
use support::docker::Cluster;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn connect(cluster: &Cluster) -> hyper::client::conn::http1::SendRequest<Empty<Bytes>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(serve_kubelet(far, cluster.kubelet.clone()));
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

async fn get(cluster: &Cluster, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).header("Host", "node").body(Empty::new()).unwrap();
    let response = connect(cluster).await.send_request(request).await.unwrap();
    let code = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

async fn socket(cluster: &Cluster, path: &str) -> Socket {
    let request = Request::get(path)
        .header("Host", "node")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        .body(Empty::new())
        .unwrap();
    let response = connect(cluster).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "v5.channel.k8s.io");
    assert_eq!(response.headers()["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let upgraded = hyper::upgrade::on(response).await.unwrap();
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await
}

/// Everything said on each channel until the other end closes.
async fn drain(mut socket: Socket) -> [Vec<u8>; 4] {
    let mut said: [Vec<u8>; 4] = Default::default();
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => said[usize::from(bytes[0])].extend_from_slice(&bytes[1..]),
            Some(Ok(Message::Close(frame))) => {
                let frame = frame.expect("kubectl takes a close without a code for a broken connection");
                assert_eq!(u16::from(frame.code), 1000);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_exec_and_port_forward_reach_the_container() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("web", json!({"containers": [{"name": "app", "command": ["sh", "-c",
        "echo first; echo second; echo third; mkdir -p /www; echo afloat > /www/index.html; httpd -p 8080 -h /www; trap 'exit 0' TERM; while true; do sleep 0.1; done"]}]}));
    cluster.run("crash", json!({"containers": [{"name": "app", "command": ["sh", "-c", "echo last words; exit 1"]}]}));
    cluster.api.wait_ready("web").await;

    assert_eq!(get(&cluster, "/healthz").await, (StatusCode::OK, "ok".to_owned()));
    let said = "first\nsecond\nthird\n";
    // Without a probe it is ready as soon as it runs, before it says anything.
    for _ in 0..100 {
        if get(&cluster, "/containerLogs/default/web/app").await.1 == said {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(get(&cluster, "/containerLogs/default/web/app").await, (StatusCode::OK, said.to_owned()));
    assert_eq!(get(&cluster, "/containerLogs/default/web/app?tailLines=1").await.1, "third\n");
    assert_eq!(get(&cluster, "/containerLogs/default/web/app?limitBytes=8").await.1, "first\nse");
    let stamped = get(&cluster, "/containerLogs/default/web/app?timestamps=true&tailLines=1").await.1;
    assert!(stamped.split_once(' ').unwrap().0.parse::<jiff::Timestamp>().is_ok(), "{stamped}");
    let (code, text) = get(&cluster, "/containerLogs/default/web/other").await;
    assert_eq!((code, text.as_str()), (StatusCode::BAD_REQUEST, "container \"other\" is not valid for pod \"web\""));
    let (code, _) = get(&cluster, "/containerLogs/default/web/app?previous=true").await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    cluster
        .api
        .wait("crash", "a back-off", |pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    assert_eq!(get(&cluster, "/containerLogs/default/crash/app?previous=true").await.1, "last words\n");

    let mut exec = socket(
        &cluster,
        "/exec/default/web/app?command=sh&command=-c&command=cat;echo+oops+%3E%262%3Bexit+5&input=1&output=1&error=1",
    )
    .await;
    exec.send(Message::Binary(Bytes::from_static(b"\x00hello"))).await.unwrap();
    exec.send(Message::Binary(Bytes::from_static(b"\xff\x00"))).await.unwrap();
    let [_, out, err, status] = drain(exec).await;
    assert_eq!((out.as_slice(), err.as_slice()), (&b"hello"[..], &b"oops\n"[..]));
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "5"}));
    let fine = drain(socket(&cluster, "/exec/default/web/app?command=true&output=1").await).await;
    assert_eq!(serde_json::from_slice::<Value>(&fine[3]).unwrap()["status"], "Success");

    let mut forward = socket(&cluster, "/portForward/default/web?ports=8080").await;
    assert_eq!(forward.next().await.unwrap().unwrap().into_data().as_ref(), [0, 0x90, 0x1f]);
    assert_eq!(forward.next().await.unwrap().unwrap().into_data().as_ref(), [1, 0x90, 0x1f]);
    forward.send(Message::Binary(Bytes::from_static(b"\x00GET / HTTP/1.0\r\n\r\n"))).await.unwrap();
    let [answer, ..] = drain(forward).await;
    assert!(String::from_utf8_lossy(&answer).ends_with("afloat\n"));

    let stats: Value = serde_json::from_str(&get(&cluster, "/stats/summary").await.1).unwrap();
    let pods = stats["pods"].as_array().unwrap();
    let web = pods.iter().find(|pod| pod["podRef"]["name"] == "web").unwrap();
    assert!(web["containers"][0]["memory"]["usageBytes"].as_u64() > Some(0), "{stats:#}");
    cluster.finish().await;
}

async fn summary(cluster: &Cluster, query: &str) -> Value {
    serde_json::from_str(&get(cluster, &format!("/stats/summary?{query}")).await.1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_containers_use_is_measured_when_it_is_asked_for() {
    let Some(cluster) = Cluster::start().await else { return };
    // One burns half a core, and holds 32 MiB of files nobody else holds; the other sleeps.
    let busy = "mkdir -p /dev/shm; head -c 33554432 /dev/zero > /dev/shm/held; while true; do :; done";
    cluster.run(
        "busy",
        json!({"containers": [{"name": "app", "command": ["sh", "-c", busy], "resources": {"limits": {"cpu": "500m"}}}]}),
    );
    cluster.run("idle", json!({"containers": [{"name": "app", "command": ["sleep", "1000"]}]}));
    cluster.api.wait_ready("busy").await;
    cluster.api.wait_ready("idle").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;

    let seen = summary(&cluster, "namespace=default&pod=busy").await;
    let app = &seen["pods"][0]["containers"][0];
    let cores = app["cpu"]["usageNanoCores"].as_u64().unwrap();
    assert!((300_000_000..700_000_000).contains(&cores), "{seen:#}");
    assert!((1_000_000_000..5_000_000_000).contains(&app["cpu"]["windowNanoSeconds"].as_u64().unwrap()), "{seen:#}");
    assert!(app["memory"]["workingSetBytes"].as_u64() >= Some(32 << 20), "{seen:#}");
    assert_eq!(seen["pods"].as_array().unwrap().len(), 1, "{seen:#}");

    let mut quickest = std::time::Duration::MAX;
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        let started = std::time::Instant::now();
        let again = summary(&cluster, "namespace=default&pod=busy").await;
        quickest = quickest.min(started.elapsed());
        let window = again["pods"][0]["containers"][0]["cpu"]["windowNanoSeconds"].as_u64();
        assert!(window >= Some(1_500_000_000), "{again:#}");
    }
    assert!(quickest < std::time::Duration::from_secs(1), "who comes back does not wait: {quickest:?}");

    let all = summary(&cluster, "").await;
    let idle = all["pods"].as_array().unwrap().iter().find(|pod| pod["podRef"]["name"] == "idle").unwrap();
    assert!(idle["containers"][0]["cpu"]["usageNanoCores"].as_u64().unwrap() < 50_000_000, "{all:#}");
    let node = &summary(&cluster, "pods=false").await["node"];
    assert!(node["cpu"]["usageNanoCores"].as_u64() > Some(300_000_000), "{node:#}");
    assert!(node["memory"]["workingSetBytes"].as_u64() > Some(32 << 20), "{node:#}");
    cluster.finish().await;
}
