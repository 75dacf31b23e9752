//! The parts of an object with an endpoint of their own.

use hyper::Method;
use serde_json::json;

use crate::world::{PODS, World, pod};

const NAMESPACES: &str = "/api/v1/namespaces";
const MERGE: &str = "merge-patch+json";

#[tokio::test]
async fn a_subresource_takes_what_it_declares_and_nothing_of_the_rest_of_the_object() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(PODS, pod("web", "")).await;
    let before = client.get(&format!("{PODS}/web")).await.value();
    let mut other = before.clone();
    other["spec"]["containers"][0]["image"] = json!("other");
    other["spec"]["nodeName"] = json!("n1");
    for part in ["binding", "eviction", "log", "exec"] {
        let path = format!("{PODS}/web/{part}");
        assert_eq!(client.put(&path, other.clone()).await.code, 405, "PUT {part}");
        assert_eq!(client.patch(&path, MERGE, json!({"spec": {"nodeName": "n1"}})).await.code, 405, "PATCH {part}");
    }
    assert_eq!(client.get(&format!("{PODS}/web/binding")).await.code, 405);
    assert_eq!(client.get(&format!("{PODS}/web")).await.value(), before);
    let odd = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": ["n1"]}});
    assert_eq!(client.post(&format!("{PODS}/web/binding"), odd).await.code, 400, "it has a schema of its own");
    let renamed = json!({"metadata": {"name": "api"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(client.post(&format!("{PODS}/web/binding"), renamed).await.code, 400);
}

#[tokio::test]
async fn what_is_carried_out_is_no_new_wish_and_notes_stand_at_the_status_as_well() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(PODS, pod("web", "")).await;
    let binding = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(client.post(&format!("{PODS}/web/binding"), binding).await.code, 201);
    let bound = client.get(&format!("{PODS}/web")).await.value();
    assert_eq!((&bound["spec"]["nodeName"], &bound["metadata"]["generation"]), (&json!("n1"), &json!(1)));
    let noted = json!({"metadata": {"annotations": {"a": "b"}, "labels": {"a": "b"}}, "status": {"message": "m"}});
    let noted = client.patch(&format!("{PODS}/web/status"), MERGE, noted).await.value();
    assert_eq!((&noted["metadata"]["annotations"], &noted["status"]["message"]), (&json!({"a": "b"}), &json!("m")));
    assert_eq!(noted["metadata"]["labels"], bound["metadata"]["labels"]);
}

#[tokio::test]
async fn a_scale_is_read_by_its_schema_and_meant_for_the_object_it_names() {
    const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";
    let world = World::new().await;
    let mut client = world.admin().await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"replicas": 3, "selector": {"a": "b"}, "template": template});
    let made = client.create(CONTROLLERS, json!({"metadata": {"name": "web"}, "spec": spec})).await;
    let uri = format!("{CONTROLLERS}/web/scale");
    let uid = &made["metadata"]["uid"];
    let scales = [
        (json!({"spec": {"replicas": "5"}}), 400),
        (json!({"spec": {"replicas": 5_000_000_000_i64}}), 400),
        (json!({"spec": {"replicas": 2.5}}), 400),
        (json!({"spec": [5]}), 400),
        (json!({"spec": {"replicas": -1}}), 422),
        (json!({"kind": "Deployment", "apiVersion": "apps/v1", "spec": {"replicas": 5}}), 400),
        (json!({"metadata": {"name": "api"}, "spec": {"replicas": 5}}), 400),
        (json!({"metadata": {"uid": "another"}, "spec": {"replicas": 5}}), 409),
    ];
    for (scale, code) in scales {
        let answer = client.put(&uri, scale.clone()).await;
        assert_eq!(answer.code, code, "PUT {scale}: {}", answer.text);
        let answer = client.patch(&uri, MERGE, scale.clone()).await;
        assert_eq!(answer.code, code, "PATCH {scale}: {}", answer.text);
        assert_eq!(client.get(&uri).await.value()["spec"]["replicas"], 3, "{scale}");
    }
    let scale = json!({"metadata": {"name": "web", "uid": uid}, "spec": {"replicas": 5}});
    let scaled = client.put(&uri, scale).await;
    assert_eq!((scaled.code, &scaled.value()["spec"]["replicas"]), (200, &json!(5)));
}

#[tokio::test]
async fn finalize_writes_a_namespaces_finalizers_alone() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let made = client.create(NAMESPACES, json!({"metadata": {"name": "shop", "labels": {"a": "b"}}})).await;
    let finalize = format!("{NAMESPACES}/shop/finalize");
    let body = json!({"metadata": {"name": "shop", "labels": {"a": "c"}}, "spec": {"finalizers": ["mine/one"]}});
    let finalized = client.put(&finalize, body).await;
    assert_eq!((finalized.code, &finalized.value()["spec"]), (200, &json!({"finalizers": ["mine/one"]})));
    assert_eq!(finalized.value()["metadata"]["labels"], made["metadata"]["labels"]);
    assert_eq!(client.patch(&finalize, MERGE, json!({"spec": {"finalizers": []}})).await.code, 405);
    assert_eq!(client.get(&finalize).await.code, 405);
    assert_eq!(client.delete(NAMESPACES).await.code, 405, "namespaces go one by one");
}

#[tokio::test]
async fn a_node_tells_its_own_decisions_of_the_pod_it_writes_and_no_others() {
    let world = World::new().await;
    world.admin().await.create(PODS, pod("web", "n1")).await;
    let mut node = world.known("system:node:n1", "system:nodes").await;
    let decision = |operator: &str, object: &str| {
        json!({"operator": operator, "object": object, "time": "2026-01-01T00:00:00Z", "wake": [], "snapshot": 0,
            "from": "Pending", "to": "Running", "guards": []})
        .to_string()
    };
    let body = json!({"status": {"phase": "Running"}}).to_string();
    let path = format!("{PODS}/web/status");
    let merge = format!("application/{MERGE}");
    for (operator, object, code) in [
        ("node/n2", "pods/default/web", 400),
        ("replicaset", "pods/default/web", 400),
        ("node/n1", "pods/default/other", 400),
        ("node/n1", "nodes//n1", 400),
        ("node/n1", "pods/default/web", 200),
    ] {
        let header = decision(operator, object);
        let headers = [("content-type", merge.as_str()), ("sampan-decision", header.as_str())];
        let answer = node.ask(Method::PATCH, &path, &headers, body.as_bytes()).await;
        assert_eq!(answer.code, code, "{operator} of {object}: {}", answer.text);
    }
}
