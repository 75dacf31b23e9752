//! Tokens of service accounts: who gets one, and what one is worth.

use hyper::Method;
use sampan_apiserver::Caller;
use serde_json::{Value, json};

use crate::world::{Answer, CONFIG_MAPS, Client, ISSUER, PODS, World, pod};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEW: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

async fn request(client: &mut Client, account: &str, spec: Value) -> Answer {
    client.post(&format!("{ACCOUNTS}/{account}/token"), json!({"spec": spec})).await
}

async fn token(client: &mut Client, account: &str, spec: Value) -> String {
    let answer = request(client, account, spec).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    answer.value()["status"]["token"].as_str().unwrap().to_owned()
}

async fn ask(world: &World, token: &str, method: Method, uri: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    world.connect(Caller::Anonymous).await.ask(method, uri, &[("authorization", &bearer)], b"{}").await
}

async fn whoami(world: &World, token: &str) -> Answer {
    ask(world, token, Method::POST, SELF).await
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap()
}

#[tokio::test]
async fn a_token_says_whose_it_is_and_what_it_is_bound_to() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let pod = admin.create(PODS, pod("web", "n1")).await;
    let spec = json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": uid(&pod)}});
    let token = token(&mut admin, "default", spec).await;
    let info = whoami(&world, &token).await.value()["status"]["userInfo"].clone();
    assert_eq!(info["username"], "system:serviceaccount:default:default");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(info["groups"], json!(groups));
    let extra = &info["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["web"]));
    assert_eq!(extra["authentication.kubernetes.io/pod-uid"], json!([uid(&pod)]));
    assert_eq!(extra["authentication.kubernetes.io/node-name"], json!(["n1"]));
    assert!(extra["authentication.kubernetes.io/credential-id"][0].as_str().unwrap().starts_with("JTI="));
}

#[tokio::test]
async fn the_default_account_reads_nothing() {
    let world = World::new().await;
    let token = token(&mut world.admin().await, "default", json!({})).await;
    assert_eq!(whoami(&world, &token).await.code, 201);
    for uri in [
        CONFIG_MAPS,
        PODS,
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/kube-system/secrets",
        "/api/v1/secrets",
        "/api/v1/nodes",
        "/api/v1/namespaces/default",
        "/metrics",
    ] {
        assert_eq!(ask(&world, &token, Method::GET, uri).await.code, 403, "{uri}");
    }
}

#[tokio::test]
async fn a_token_reads_no_other_namespace() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    admin.create("/api/v1/namespaces", json!({"metadata": {"name": "other"}})).await;
    let binding = json!({
        "metadata": {"name": "view"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    });
    admin.create("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding).await;
    let token = token(&mut admin, "default", json!({})).await;
    assert_eq!(ask(&world, &token, Method::GET, "/api/v1/namespaces/default/secrets").await.code, 200);
    assert_eq!(ask(&world, &token, Method::GET, "/api/v1/namespaces/default").await.code, 200);
    for uri in ["/api/v1/namespaces/other/secrets", "/api/v1/secrets", "/api/v1/namespaces/other"] {
        assert_eq!(ask(&world, &token, Method::GET, uri).await.code, 403, "{uri}");
    }
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    admin.create(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    let mut own = pod("web", "n1");
    own["spec"]["serviceAccountName"] = "robot".into();
    admin.create(PODS, own.clone()).await;
    admin.create("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})).await;
    let bound = |kind: &str, name: &str| json!({"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": name}});
    let of_pod = token(&mut admin, "robot", bound("Pod", "web")).await;
    let of_secret = token(&mut admin, "robot", bound("Secret", "s")).await;
    let of_account = token(&mut admin, "robot", json!({})).await;
    for token in [&of_pod, &of_secret, &of_account] {
        assert_eq!(whoami(&world, token).await.code, 201);
    }
    let now = json!({"gracePeriodSeconds": 0}).to_string();
    admin.ask(Method::DELETE, &format!("{PODS}/web"), &[], now.as_bytes()).await;
    assert_eq!(whoami(&world, &of_pod).await.code, 401);
    admin.create(PODS, own).await;
    assert_eq!(whoami(&world, &of_pod).await.code, 401, "another pod of that name is another pod");
    admin.delete("/api/v1/namespaces/default/secrets/s").await;
    assert_eq!(whoami(&world, &of_secret).await.code, 401);
    admin.delete(&format!("{ACCOUNTS}/robot")).await;
    assert_eq!(whoami(&world, &of_account).await.code, 401);
    admin.create(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    assert_eq!(whoami(&world, &of_account).await.code, 401, "another account of that name is another account");
}

#[tokio::test]
async fn a_token_for_others_is_worth_nothing_here() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let vault = token(&mut admin, "default", json!({"audiences": ["vault"]})).await;
    assert_eq!(whoami(&world, &vault).await.code, 401);
    let review = async |client: &mut Client, spec: Value| client.create(REVIEW, json!({"spec": spec})).await;
    let here = review(&mut admin, json!({"token": vault})).await["status"].clone();
    assert_eq!(here["authenticated"], Value::Null);
    assert!(here["error"].as_str().unwrap().contains("audiences"), "{here}");
    let there = review(&mut admin, json!({"token": vault, "audiences": ["vault", "x"]})).await["status"].clone();
    assert_eq!((&there["authenticated"], &there["audiences"]), (&json!(true), &json!(["vault"])));
    assert_eq!(there["user"]["username"], "system:serviceaccount:default:default");
    let both = token(&mut admin, "default", json!({"audiences": ["vault", ISSUER]})).await;
    assert_eq!(whoami(&world, &both).await.code, 201);
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_refused_before_anything_else() {
    let world = World::new().await;
    let good = token(&mut world.admin().await, "default", json!({})).await;
    let stranger = token(&mut World::new().await.admin().await, "default", json!({})).await;
    let tampered = format!("{}A", good.get(..good.len() - 1).unwrap());
    for token in [stranger.as_str(), "nonsense", "a.b.c", &tampered.replace("AA", "A")] {
        if token == good {
            continue;
        }
        let answer = ask(&world, token, Method::GET, "/healthz").await;
        assert_eq!((answer.code, &answer.value()["reason"]), (401, &json!("Unauthorized")), "{token}");
    }
}

#[tokio::test]
async fn a_request_for_a_token_that_cannot_be_is_refused() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    admin.create(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    admin.create(PODS, pod("web", "n1")).await;
    let bound = |kind: &str, name: &str, uid: &str| json!({"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": name, "uid": uid}});
    let cases = [
        ("robot", json!({"expirationSeconds": 599}), 422),
        ("robot", json!({"expirationSeconds": 1_i64 << 33}), 422),
        ("robot", bound("Pod", "missing", ""), 404),
        ("robot", bound("Pod", "web", ""), 400),
        ("default", bound("Pod", "web", "another"), 409),
        ("robot", bound("Deployment", "web", ""), 400),
        ("missing", json!({}), 404),
        ("robot", json!({"audiences": "one"}), 400),
    ];
    for (account, spec, code) in cases {
        let answer = request(&mut admin, account, spec.clone()).await;
        assert_eq!(answer.code, code, "{account} {spec}: {}", answer.text);
    }
    let mut ann = world.known("ann", "people").await;
    assert_eq!(request(&mut ann, "robot", json!({})).await.code, 403);
    assert_eq!(admin.get(&format!("{ACCOUNTS}/robot/token")).await.code, 405);
}

#[tokio::test]
async fn others_can_check_tokens_with_the_published_keys() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let about = admin.get("/.well-known/openid-configuration").await.value();
    assert_eq!(about["issuer"], ISSUER);
    assert_eq!(about["jwks_uri"], format!("{ISSUER}/openid/v1/jwks"));
    let keys = admin.get("/openid/v1/jwks").await;
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    assert_eq!(keys.value()["keys"][0]["crv"], "P-256");
    let token = token(&mut admin, "default", json!({})).await;
    assert_eq!(ask(&world, &token, Method::GET, "/openid/v1/jwks").await.code, 200, "every account may");
    assert_eq!(world.known("ann", "people").await.get("/openid/v1/jwks").await.code, 403);
}
