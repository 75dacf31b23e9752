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
