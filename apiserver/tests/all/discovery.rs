//! What the server says it serves.

use hyper::Method;
use serde_json::{Value, json};

use crate::world::World;

fn named<'a>(list: &'a Value, field: &str, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|item| item[field] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {list}"))
}

#[tokio::test]
async fn plain_discovery_names_groups_resources_and_subresources() {
    let world = World::new().await;
    let mut client = world.admin().await;
    assert_eq!(client.get("/api").await.value()["versions"], json!(["v1"]));
    let groups = client.get("/apis").await.value();
    let leases = named(&groups["groups"], "name", "coordination.k8s.io");
    assert_eq!(leases["preferredVersion"]["groupVersion"], "coordination.k8s.io/v1");
    assert_eq!(client.get("/apis/coordination.k8s.io").await.value()["kind"], "APIGroup");
    let core = client.get("/api/v1").await.value();
    let pods = named(&core["resources"], "name", "pods");
    assert_eq!((&pods["shortNames"], &pods["namespaced"]), (&json!(["po"]), &json!(true)));
    assert_eq!(named(&core["resources"], "name", "pods/eviction")["group"], "policy");
    assert_eq!(named(&core["resources"], "name", "pods/log")["verbs"], json!(["get"]));
    assert_eq!(client.get("/apis/nonsense/v1").await.code, 404);
}

#[tokio::test]
async fn aggregated_discovery_says_the_same_in_one_document() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for version in ["v2", "v2beta1"] {
        let accept = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let answer = client.get_as("/api", &accept).await;
        assert_eq!(answer.header("content-type"), accept);
        let pods = answer.value()["items"][0]["versions"][0]["resources"].clone();
        let pods = named(&pods, "resource", "pods").clone();
        assert_eq!((&pods["scope"], &pods["responseKind"]["kind"]), (&json!("Namespaced"), &json!("Pod")));
        assert_eq!(named(&pods["subresources"], "subresource", "exec")["responseKind"]["kind"], "PodExecOptions");
        let tag = answer.header("etag").to_owned();
        let headers = [("accept", accept.as_str()), ("if-none-match", tag.as_str())];
        assert_eq!(client.ask(Method::GET, "/api", &headers, b"").await.code, 304);
    }
}

#[tokio::test]
async fn open_api_documents_are_found_through_their_index() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let index = client.get("/openapi/v3").await.value();
    let uri = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = client.get(&uri).await;
    assert!(document.header("cache-control").contains("immutable"));
    assert!(document.value()["components"]["schemas"]["io.k8s.api.core.v1.ConfigMap"].is_object());
    assert_eq!(client.get("/openapi/v3/apis/nonsense/v1").await.code, 404);
}

#[tokio::test]
async fn definitions_in_the_old_form_come_in_json_or_in_the_protobuf_that_is_asked_for() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let document = client.get("/openapi/v2").await.value();
    assert!(document["definitions"]["io.k8s.api.core.v1.ConfigMap"].is_object());
    let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    for asked in [media, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"] {
        let packed = client.get_as("/openapi/v2", asked).await;
        assert_eq!(packed.header("content-type"), media);
        assert!(packed.text.starts_with("\n\u{3}2.0") && packed.text.contains("io.k8s.api.core.v1.ConfigMap"));
    }
}

#[tokio::test]
async fn the_root_names_the_paths_there_are() {
    let world = World::new().await;
    let paths = world.admin().await.get("/").await.value()["paths"].clone();
    for path in ["/api/v1", "/apis/coordination.k8s.io/v1", "/openapi/v3", "/readyz"] {
        assert!(paths.as_array().unwrap().contains(&json!(path)), "{path} is not in {paths}");
    }
}

#[tokio::test]
async fn checks_are_asked_one_by_one_and_may_be_left_out() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for (path, code, says) in [
        ("/readyz/ping", 200, "ok"),
        ("/readyz/started", 503, "readyz/started check failed"),
        ("/readyz/nonsense", 404, ""),
        ("/readyz", 503, "[-]started failed"),
        ("/readyz?exclude=started", 200, "ok"),
        ("/readyz?exclude=started&verbose", 200, "[+]started excluded: ok"),
        ("/livez?exclude=etcd&verbose", 200, "no matches for \"etcd\""),
    ] {
        let answer = client.get(path).await;
        assert!(answer.code == code && answer.text.contains(says), "{path}: {} {}", answer.code, answer.text);
    }
}
