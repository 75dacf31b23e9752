//! Create, read, list, change and delete.

use hyper::Method;
use serde_json::{Value, json};

use crate::world::{CONFIG_MAPS, PODS, World, config_map, pod};

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_object_lives_from_create_to_delete() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let created = client.create(CONFIG_MAPS, config_map("a")).await;
    let uri = format!("{CONFIG_MAPS}/a");
    assert_eq!(client.get(&uri).await.value(), created);
    assert_eq!(client.post(CONFIG_MAPS, config_map("a")).await.value()["reason"], "AlreadyExists");
    let patched = client.patch(&uri, "merge-patch+json", json!({"data": {"k": null, "l": "w"}})).await;
    assert_eq!((patched.code, &patched.value()["data"]), (200, &json!({"l": "w"})));
    let stale = client.ask(Method::PUT, &uri, &[], created.to_string().as_bytes()).await;
    assert_eq!((stale.code, &stale.value()["reason"]), (409, &json!("Conflict")));
    let deleted = client.delete(&uri).await.value();
    assert_eq!(deleted["status"], "Success");
    assert_eq!(deleted["details"]["uid"], created["metadata"]["uid"]);
    assert_eq!(client.get(&uri).await.code, 404);
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_changes_nothing() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let answer = client.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("a")).await;
    assert_eq!((answer.code, &answer.value()["metadata"]["name"]), (201, &json!("a")));
    assert_eq!(client.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
    assert_eq!(client.post(&format!("{CONFIG_MAPS}?dryRun=Some"), config_map("a")).await.code, 422);
}

#[tokio::test]
async fn an_unknown_field_warns_or_is_refused_as_asked() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let mut object = config_map("a");
    object["dta"] = json!({});
    let strict = client.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), object.clone()).await;
    assert_eq!(strict.code, 400);
    assert!(strict.text.contains("unknown field"), "{}", strict.text);
    let warned = client.post(CONFIG_MAPS, object).await;
    assert_eq!(warned.code, 201);
    assert!(warned.header("warning").starts_with("299 - \"unknown field"), "{:?}", warned.headers);
}

#[tokio::test]
async fn apply_in_yaml_creates_and_names_its_manager() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n";
    let uri = format!("{CONFIG_MAPS}/a");
    let headers = [("content-type", "application/apply-patch+yaml")];
    let nameless = client.ask(Method::PATCH, &uri, &headers, yaml.as_bytes()).await;
    assert_eq!(nameless.code, 422, "{}", nameless.text);
    let uri = format!("{uri}?fieldManager=me");
    let created = client.ask(Method::PATCH, &uri, &headers, yaml.as_bytes()).await;
    assert_eq!(created.code, 201, "{}", created.text);
    let managers = created.value()["metadata"]["managedFields"].clone();
    assert_eq!((&managers[0]["manager"], &managers[0]["operation"]), (&json!("me"), &json!("Apply")));
    assert_eq!(client.ask(Method::PATCH, &uri, &headers, yaml.as_bytes()).await.code, 200);
}

#[tokio::test]
async fn the_user_agent_is_the_manager_of_who_names_none() {
    let world = World::new().await;
    let created = world.admin().await.create(CONFIG_MAPS, config_map("a")).await;
    assert_eq!(created["metadata"]["managedFields"][0]["manager"], "test");
}

#[tokio::test]
async fn selectors_choose_by_label_and_field() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for name in ["a", "b", "c"] {
        client.create(CONFIG_MAPS, config_map(name)).await;
        client.create(PODS, pod(name, if name == "b" { "n1" } else { "n2" })).await;
    }
    for (uri, expect) in [
        (format!("{CONFIG_MAPS}?labelSelector=name%20in%20(a,c)"), vec!["a", "c"]),
        (format!("{CONFIG_MAPS}?labelSelector=name!%3Da"), vec!["b", "c"]),
        (format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Db"), vec!["b"]),
        (format!("{CONFIG_MAPS}?fieldSelector=metadata.name!%3Db"), vec!["a", "c"]),
        (format!("{PODS}?fieldSelector=spec.nodeName%3Dn2"), vec!["a", "c"]),
        (format!("{PODS}?fieldSelector=spec.restartPolicy%3DAlways"), vec!["a", "b", "c"]),
        (format!("{PODS}?fieldSelector=spec.restartPolicy%3DAlways,spec.nodeName%3Dn1"), vec!["b"]),
        (format!("{PODS}?fieldSelector=spec.restartPolicy%3DNever"), vec![]),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,metadata.namespace%3Ddefault".to_owned(), vec!["b"]),
        ("/api/v1/pods?fieldSelector=metadata.namespace%3Dother".to_owned(), vec![]),
    ] {
        let list = client.get(&uri).await.value();
        assert_eq!(names(&list), expect, "{uri}");
    }
    assert_eq!(client.get(&format!("{CONFIG_MAPS}?fieldSelector=data%3Dx")).await.code, 400);
    assert_eq!(client.get(&format!("{CONFIG_MAPS}?labelSelector=a%3D%3D%3Db")).await.code, 400);
}

#[tokio::test]
async fn a_list_in_pages_stands_still_while_the_cluster_moves_on() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for name in ["a", "b", "c"] {
        client.create(CONFIG_MAPS, config_map(name)).await;
    }
    let first = client.get(&format!("{CONFIG_MAPS}?limit=2")).await.value();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    client.create(CONFIG_MAPS, config_map("d")).await;
    client.delete(&format!("{CONFIG_MAPS}/c")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = client.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.value();
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(second["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn a_page_whose_snapshot_is_gone_is_410_and_a_revision_to_come_is_too_large() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for number in 0..70 {
        client.create(CONFIG_MAPS, config_map(&format!("c{number}"))).await;
    }
    let first = client.get(&format!("{CONFIG_MAPS}?limit=1")).await.value();
    for number in 0..65 {
        client.delete(&format!("{CONFIG_MAPS}/c{number}")).await;
        client.get(&format!("{CONFIG_MAPS}?limit=1")).await;
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let gone = client.get(&format!("{CONFIG_MAPS}?continue={token}")).await;
    assert_eq!((gone.code, &gone.value()["reason"]), (410, &json!("Expired")));
    let future = client.get(&format!("{CONFIG_MAPS}?resourceVersion=99999")).await;
    assert_eq!((future.code, future.header("retry-after")), (504, "1"));
    let watched = client.get(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=99999")).await;
    assert_eq!(watched.code, 504, "{}", watched.text);
}

#[tokio::test]
async fn tables_and_metadata_are_given_where_asked() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let created = client.create(CONFIG_MAPS, config_map("a")).await;
    let table = client.get_as(CONFIG_MAPS, "application/json;as=Table;v=v1;g=meta.k8s.io").await.value();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(
        table["rows"][0]["cells"].as_array().unwrap().len(),
        table["columnDefinitions"].as_array().unwrap().len()
    );
    assert_eq!(table["rows"][0]["object"]["metadata"], created["metadata"]);
    let one = client
        .get_as(&format!("{CONFIG_MAPS}/a?includeObject=Object"), "application/json;as=Table;v=v1;g=meta.k8s.io")
        .await
        .value();
    assert_eq!(one["rows"][0]["object"], created);
    let metadata =
        client.get_as(CONFIG_MAPS, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").await.value();
    assert_eq!(metadata["kind"], "PartialObjectMetadataList");
    assert!(metadata["items"][0].get("data").is_none());
    assert_eq!(client.get_as(CONFIG_MAPS, "text/html").await.code, 406);
}

#[tokio::test]
async fn a_long_list_is_packed_where_the_client_can_unpack() {
    use std::io::Read;

    let world = World::new().await;
    let mut client = world.admin().await;
    for number in 0..20 {
        let mut object = config_map(&format!("c{number}"));
        object["data"] = json!({"k": "x".repeat(20_000)});
        client.create(CONFIG_MAPS, object).await;
    }
    let plain = client.get(CONFIG_MAPS).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(plain.value()["items"].as_array().unwrap().len(), 20);
    let response = client.send(Method::GET, CONFIG_MAPS, &[("accept-encoding", "gzip")], b"").await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let packed = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text);
}

#[tokio::test]
async fn an_event_is_served_in_both_of_its_groups() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let event = json!({
        "metadata": {"name": "e", "namespace": "default"}, "type": "Normal", "reason": "Told", "message": "hello",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"},
    });
    client.create("/api/v1/namespaces/default/events", event).await;
    let other = client.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await.value();
    assert_eq!((&other["apiVersion"], &other["note"]), (&json!("events.k8s.io/v1"), &json!("hello")));
    assert_eq!(other["regarding"]["name"], "web");
    let list = client.get("/apis/events.k8s.io/v1/events").await.value();
    assert_eq!(list["items"][0]["apiVersion"], "events.k8s.io/v1");
}

#[tokio::test]
async fn many_are_deleted_by_selector() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for name in ["a", "b", "c"] {
        client.create(CONFIG_MAPS, config_map(name)).await;
    }
    let deleted = client.delete(&format!("{CONFIG_MAPS}?labelSelector=name!%3Db")).await;
    assert_eq!(names(&deleted.value()), ["a", "c"]);
    assert_eq!(names(&client.get(CONFIG_MAPS).await.value()), ["b"]);
}

#[tokio::test]
async fn a_pod_is_evicted_and_bound_through_its_subresources() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(PODS, pod("web", "")).await;
    let binding = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}});
    let bound = client.post(&format!("{PODS}/web/binding"), binding.clone()).await;
    assert_eq!((bound.code, &bound.value()["status"]), (201, &json!("Success")), "{}", bound.text);
    assert_eq!(client.get(&format!("{PODS}/web")).await.value()["spec"]["nodeName"], "n1");
    assert_eq!(client.post(&format!("{PODS}/web/binding"), binding).await.code, 409);
    let eviction = json!({"metadata": {"name": "web"}, "deleteOptions": {"gracePeriodSeconds": 0}});
    let evicted = client.post(&format!("{PODS}/web/eviction"), eviction).await;
    assert_eq!((evicted.code, &evicted.value()["status"]), (201, &json!("Success")));
    assert_eq!(client.get(&format!("{PODS}/web")).await.code, 404);
}

#[tokio::test]
async fn why_leads_from_an_object_to_the_user_who_made_it() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(CONFIG_MAPS, config_map("a")).await;
    let why = client.get("/sampan.dev/v1/why/cm/default/a").await.value();
    assert_eq!(why["object"], "configmaps/default/a");
    let origin = &why["chain"][0]["createdBy"];
    assert_eq!((&origin["user"], &origin["client"]), (&json!("kubernetes-admin"), &json!("test/1")));
    assert_eq!(client.get("/sampan.dev/v1/why/cm/default/b").await.code, 404);
    let mut node = world.known("system:node:n1", "system:nodes").await;
    assert_eq!(node.get("/sampan.dev/v1/why/cm/default/a").await.code, 403);
}
