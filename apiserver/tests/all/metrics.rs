//! What nodes and pods use, measured when it is asked for.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sampan_apiserver::{NodeConnector, NodeStream};
use serde_json::{Value, json};
use tokio::io::duplex;

use crate::world::{PODS, World, pod};

const GROUP: &str = "/apis/metrics.k8s.io/v1beta1";

/// Nodes that answer what they are told to; one named `gone` is not reached, and `broken` talks nonsense.
#[derive(Default)]
struct Kubelets {
    answer: Mutex<Value>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NodeConnector for Kubelets {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        let (answer, asked) = (self.answer.lock().unwrap().to_string(), self.asked.clone());
        Box::pin(async move {
            if node == "gone" {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            let (ours, theirs) = duplex(1024);
            let node = node.to_owned();
            let service = service_fn(move |request: Request<Incoming>| {
                asked.lock().unwrap().push(format!("{node} {}", request.uri()));
                let answer = if node == "broken" { "?".to_owned() } else { answer.clone() };
                ready(Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(answer)))))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
            Ok(Box::new(ours) as Box<dyn NodeStream>)
        })
    }
}

fn used(nano_cores: u64, bytes: u64) -> Value {
    json!({
        "name": "main",
        "cpu": {"time": "2026-01-02T03:04:05.678Z", "usageNanoCores": nano_cores, "windowNanoSeconds": 1_500_000_000},
        "memory": {"workingSetBytes": bytes},
    })
}

/// Two pods that run on `n1`, of which the node knows, and one that has just been placed.
async fn world() -> (World, Arc<Kubelets>) {
    let kubelets = Arc::new(Kubelets::default());
    let world = World::with_nodes(kubelets.clone()).await;
    let mut client = world.admin().await;
    let mut entries = Vec::new();
    for (name, containers) in [("busy", 2), ("idle", 1), ("placed", 0)] {
        let mut pod = pod(name, "n1");
        pod["metadata"]["labels"] = json!({ "app": name });
        let uid = client.create(PODS, pod).await["metadata"]["uid"].clone();
        let containers = vec![used(250_000_000, 3 << 20); containers];
        entries.push(json!({"podRef": {"name": name, "namespace": "default", "uid": uid}, "containers": containers}));
    }
    client.create("/api/v1/nodes", json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}})).await;
    let mut node = used(1_234_567, 5000);
    node["nodeName"] = "n1".into();
    *kubelets.answer.lock().unwrap() = json!({"node": node, "pods": entries});
    (world, kubelets)
}

#[tokio::test]
async fn a_pod_tells_what_its_containers_use() {
    let (world, kubelets) = world().await;
    let mut client = world.admin().await;
    let busy = client.get(&format!("{GROUP}/namespaces/default/pods/busy")).await.value();
    let metadata = &busy["metadata"];
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!("busy"), &json!("default")));
    assert_eq!((&metadata["labels"], &busy["kind"]), (&json!({"app": "busy"}), &json!("PodMetrics")));
    assert_eq!((&busy["timestamp"], &busy["window"]), (&json!("2026-01-02T03:04:05Z"), &json!("1.5s")));
    let container = json!({"name": "main", "usage": {"cpu": "250m", "memory": "3Mi"}});
    assert_eq!(busy["containers"], json!([container, container]));
    assert_eq!(*kubelets.asked.lock().unwrap(), ["n1 /stats/summary?namespace=default&pod=busy"]);
}

#[tokio::test]
async fn pods_are_listed_by_place_and_label_and_those_that_do_not_run_are_left_out() {
    let (world, kubelets) = world().await;
    let mut client = world.admin().await;
    let names = |list: Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let list = client.get(&format!("{GROUP}/pods")).await.value();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodMetricsList"), &json!("metrics.k8s.io/v1beta1")));
    assert_eq!(names(list), ["busy", "idle"]);
    let of_label = client.get(&format!("{GROUP}/namespaces/default/pods?labelSelector=app%3Didle")).await;
    assert_eq!(names(of_label.value()), ["idle"]);
    let of_field = client.get(&format!("{GROUP}/pods?fieldSelector=metadata.name%3Dbusy")).await;
    assert_eq!(names(of_field.value()), ["busy"]);
    assert_eq!(names(client.get(&format!("{GROUP}/namespaces/other/pods")).await.value()), [""; 0]);
    let asked = kubelets.asked.lock().unwrap().clone();
    let expect = ["n1 /stats/summary?", "n1 /stats/summary?namespace=default", "n1 /stats/summary?"];
    assert_eq!(asked, expect, "each node once, and none where there is no pod");
}

#[tokio::test]
async fn a_table_sums_the_containers_of_a_pod() {
    let (world, _) = world().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = world.admin().await.get_as(&format!("{GROUP}/namespaces/default/pods"), accept).await.value();
    let headers: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(headers, ["Name", "cpu", "memory", "Window"]);
    assert_eq!(table["rows"][0]["cells"], json!(["busy", "500m", "6Mi", "1.5s"]));
}

#[tokio::test]
async fn nodes_that_do_not_tell_are_left_out() {
    let (world, _) = world().await;
    let mut client = world.admin().await;
    for name in ["broken", "gone"] {
        client.create("/api/v1/nodes", json!({"metadata": {"name": name}})).await;
    }
    let list = client.get(&format!("{GROUP}/nodes")).await.value();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{list:#}");
    assert_eq!(items[0]["usage"], json!({"cpu": "1234567n", "memory": "5000"}));
    assert_eq!(items[0]["metadata"]["labels"], json!({"zone": "a"}));
    let refused = client.get(&format!("{GROUP}/nodes/broken")).await;
    let expect = "nodemetrics.metrics.k8s.io \"broken\" not found";
    assert_eq!((refused.code, refused.value()["message"].as_str()), (404, Some(expect)));
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_is_not_measured() {
    let (world, _) = world().await;
    let mut client = world.admin().await;
    let cases =
        [("none", "pods \"none\" not found"), ("placed", "podmetrics.metrics.k8s.io \"default/placed\" not found")];
    for (name, expect) in cases {
        let refused = client.get(&format!("{GROUP}/namespaces/default/pods/{name}")).await;
        assert_eq!((refused.code, refused.value()["message"].as_str()), (404, Some(expect)));
    }
    assert_eq!(client.post(&format!("{GROUP}/namespaces/default/pods"), json!({})).await.code, 405);
    assert_eq!(client.delete(&format!("{GROUP}/namespaces/default/pods/busy")).await.code, 405);
    let watched = client.get(&format!("{GROUP}/pods?watch=true")).await;
    assert_eq!(watched.code, 405);
}
