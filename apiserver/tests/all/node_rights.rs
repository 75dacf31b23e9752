//! What a node may do: what the pods on it need, and nothing of another node.

use hyper::Method;
use serde_json::{Value, json};

use crate::world::{CONFIG_MAPS, PODS, World, pod};

const NODES: &str = "/api/v1/nodes";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Two nodes with a pod each, which refer to a secret and a config map of their own.
async fn world() -> World {
    let world = World::new().await;
    let mut admin = world.admin().await;
    admin.create("/api/v1/namespaces", json!({"metadata": {"name": "kube-node-lease"}})).await;
    for node in ["n1", "n2"] {
        admin.create(NODES, json!({"metadata": {"name": node}})).await;
        for kind in [SECRETS, CONFIG_MAPS] {
            admin.create(kind, json!({"metadata": {"name": format!("of-{node}")}})).await;
        }
        admin.create(LEASES, json!({"metadata": {"name": node}})).await;
        let mut pod = pod(&format!("on-{node}"), node);
        pod["spec"]["volumes"] = json!([{"name": "s", "secret": {"secretName": format!("of-{node}")}}]);
        pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": format!("of-{node}")}}]);
        admin.create(PODS, pod).await;
    }
    admin.create(SECRETS, json!({"metadata": {"name": "of-nobody"}})).await;
    world
}

async fn code(world: &World, method: Method, uri: &str, body: &Value) -> u16 {
    let mut node = world.known("system:node:n1", "system:nodes").await;
    let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    node.ask(method, uri, &[("content-type", content)], body.as_bytes()).await.code
}

#[tokio::test]
async fn a_node_reads_its_own_and_what_its_pods_refer_to() {
    let world = world().await;
    let cases = [
        (format!("{PODS}/on-n1"), 200),
        (format!("{PODS}/on-n2"), 403),
        (format!("{PODS}/gone"), 404),
        (PODS.to_owned(), 403),
        ("/api/v1/pods".to_owned(), 403),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1".to_owned(), 200),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2".to_owned(), 403),
        ("/api/v1/pods?fieldSelector=spec.nodeName!%3Dn2".to_owned(), 403),
        (format!("{SECRETS}/of-n1"), 200),
        (format!("{SECRETS}?fieldSelector=metadata.name%3Dof-n1"), 200),
        (format!("{SECRETS}/of-n2"), 403),
        (format!("{SECRETS}/of-nobody"), 403),
        (SECRETS.to_owned(), 403),
        (format!("{CONFIG_MAPS}/of-n1"), 200),
        (format!("{CONFIG_MAPS}/of-n2"), 403),
        (format!("{NODES}/n1"), 200),
        (format!("{LEASES}/n1"), 200),
        (format!("{LEASES}/n2"), 403),
        ("/api/v1/namespaces/default/serviceaccounts/default".to_owned(), 200),
        ("/api/v1/namespaces/kube-node-lease/serviceaccounts/default".to_owned(), 403),
    ];
    for (uri, expect) in cases {
        assert_eq!(code(&world, Method::GET, &uri, &Value::Null).await, expect, "{uri}");
    }
}

#[tokio::test]
async fn a_node_writes_nothing_of_another_node() {
    let world = world().await;
    let status = json!({"status": {"phase": "Running"}});
    let label = |name: &str| json!({"metadata": {"labels": {name: "x"}}});
    let named = |name: &str| json!({"metadata": {"name": name}});
    let cases = [
        (Method::PATCH, format!("{PODS}/on-n1/status"), status.clone(), 200),
        (Method::PATCH, format!("{PODS}/on-n2/status"), status.clone(), 403),
        (Method::PATCH, format!("{PODS}/on-n1"), label("a"), 403),
        (Method::DELETE, format!("{PODS}/on-n2"), Value::Null, 403),
        (Method::DELETE, PODS.to_owned(), Value::Null, 403),
        (Method::PATCH, format!("{NODES}/n1"), label("mine"), 200),
        (Method::PATCH, format!("{NODES}/n1"), label("node-restriction.kubernetes.io/a"), 403),
        (Method::PATCH, format!("{NODES}/n1"), label("node-role.kubernetes.io/a"), 403),
        (
            Method::PATCH,
            format!("{NODES}/n1"),
            json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
            403,
        ),
        (Method::PATCH, format!("{NODES}/n1"), json!({"spec": {"podCIDR": "10.0.0.0/8"}}), 403),
        (Method::PATCH, format!("{NODES}/n2"), label("mine"), 403),
        (Method::PATCH, format!("{NODES}/n2/status"), json!({"status": {}}), 403),
        (Method::DELETE, format!("{NODES}/n1"), Value::Null, 403),
        (Method::POST, NODES.to_owned(), named("n3"), 403),
        (Method::PATCH, format!("{LEASES}/n1"), json!({"spec": {"holderIdentity": "n1"}}), 200),
        (Method::PATCH, format!("{LEASES}/n2"), json!({"spec": {"holderIdentity": "n1"}}), 403),
        (Method::POST, LEASES.to_owned(), named("n3"), 403),
        (Method::POST, CONFIG_MAPS.to_owned(), named("x"), 403),
        (Method::PATCH, format!("{SECRETS}/of-n1"), label("a"), 403),
        (Method::POST, PODS.to_owned(), pod("new", "n1"), 403),
        (Method::DELETE, format!("{PODS}/on-n1"), json!({"gracePeriodSeconds": 0}), 200),
    ];
    for (method, uri, body, expect) in cases {
        assert_eq!(code(&world, method.clone(), &uri, &body).await, expect, "{method} {uri} {body}");
    }
}

#[tokio::test]
async fn a_node_gets_tokens_for_the_pods_on_it_alone() {
    let world = world().await;
    let mut admin = world.admin().await;
    let uri = "/api/v1/namespaces/default/serviceaccounts/default/token";
    for (pod, expect) in [("on-n1", 201), ("on-n2", 403)] {
        let found = admin.get(&format!("{PODS}/{pod}")).await.value();
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": found["metadata"]["uid"]});
        assert_eq!(code(&world, Method::POST, uri, &json!({"spec": {"boundObjectRef": bound}})).await, expect, "{pod}");
    }
    assert_eq!(code(&world, Method::POST, uri, &json!({"spec": {}})).await, 403, "bound to nothing");
    let mut wishing = pod("wishing", "n1");
    let wish = json!({"serviceAccountToken": {"audience": "vault", "path": "t"}});
    wishing["spec"]["volumes"] = json!([{"name": "t", "projected": {"sources": [wish]}}]);
    let uid = admin.create(PODS, wishing).await["metadata"]["uid"].clone();
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "wishing", "uid": uid});
    let cases = [
        (json!([]), 201),
        (json!(["vault"]), 201),
        (json!(["bank"]), 403),
        (json!(["vault", "bank"]), 403),
        (json!([""]), 403),
    ];
    for (audiences, expect) in cases {
        let spec = json!({"audiences": audiences, "boundObjectRef": bound});
        assert_eq!(code(&world, Method::POST, uri, &json!({"spec": spec})).await, expect, "{audiences}");
    }
}

#[tokio::test]
async fn a_name_like_a_nodes_is_no_node_without_the_group() {
    let world = world().await;
    let mut client = world.known("system:node:n1", "people").await;
    assert_eq!(client.get(&format!("{SECRETS}/of-n1")).await.code, 403);
    let mut client = world.known("n1", "system:nodes").await;
    assert_eq!(client.get(&format!("{SECRETS}/of-n1")).await.code, 403);
}

#[tokio::test]
async fn nodes_that_ask_are_given_ranges_of_their_own() {
    let world = world().await;
    let wants = json!({"sampan.dev/wants-pod-range": "true"});
    let ask = async |name: &str| {
        let mut node = world.known(&format!("system:node:{name}"), "system:nodes").await;
        node.post(NODES, json!({"metadata": {"name": name, "annotations": wants}, "spec": {"podCIDR": "10.0.0.0/8"}}))
            .await
    };
    let (third, fourth) = tokio::join!(ask("n3"), ask("n4"));
    let mut given = [third, fourth].map(|it| it.value()["spec"]["podCIDR"].as_str().unwrap_or_default().to_owned());
    given.sort();
    assert_eq!(given, ["10.244.0.0/24", "10.244.1.0/24"]);
    let asks = json!({"metadata": {"annotations": wants}});
    assert_eq!(code(&world, Method::PATCH, &format!("{NODES}/n1"), &asks).await, 200);
    let found = world.admin().await.get(&format!("{NODES}/n1")).await.value();
    assert_eq!(found["spec"]["podCIDR"], "10.244.2.0/24");
    assert_eq!(world.admin().await.get(&format!("{NODES}/n2")).await.value()["spec"]["podCIDR"], Value::Null);
}
