//! Changes as they happen.

use serde_json::{Value, json};

use crate::world::{CONFIG_MAPS, PODS, World, config_map, pod};

fn named(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_from_a_revision_tells_what_came_after() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let first = client.create(CONFIG_MAPS, config_map("a")).await;
    let from = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = world.admin().await.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={from}")).await;
    client.create(CONFIG_MAPS, config_map("b")).await;
    client.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch+json", json!({"data": {"k": "w"}})).await;
    client.delete(&format!("{CONFIG_MAPS}/b")).await;
    assert_eq!(watch.next_named().await, named("ADDED", "b"));
    assert_eq!(watch.next_named().await, named("MODIFIED", "a"));
    assert_eq!(watch.next_named().await, named("DELETED", "b"));
}

#[tokio::test]
async fn a_watch_without_revision_begins_with_what_there_is() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(CONFIG_MAPS, config_map("a")).await;
    let mut watch = world.admin().await.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    assert_eq!(watch.next_named().await, named("ADDED", "a"));
    client.create(CONFIG_MAPS, config_map("b")).await;
    assert_eq!(watch.next_named().await, named("ADDED", "b"));
}

#[tokio::test]
async fn a_watch_list_marks_the_end_of_what_there_was() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(CONFIG_MAPS, config_map("a")).await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = world.admin().await.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(watch.next_named().await, named("ADDED", "a"));
    let bookmark = watch.next().await.unwrap();
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let created = client.create(CONFIG_MAPS, config_map("b")).await;
    let from: u64 = bookmark["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let next: u64 = created["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(next, from + 1);
    assert_eq!(watch.next_named().await, named("ADDED", "b"));
}

#[tokio::test]
async fn an_object_that_comes_to_match_is_added_and_one_that_ceases_to_is_deleted() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(CONFIG_MAPS, config_map("a")).await;
    let uri = format!("{CONFIG_MAPS}/a");
    let mut watch = world.admin().await.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=team%3Dred")).await;
    for team in ["red", "blue", "red"] {
        client.patch(&uri, "merge-patch+json", json!({"metadata": {"labels": {"team": team}}})).await;
    }
    client.delete(&uri).await;
    for kind in ["ADDED", "DELETED", "ADDED", "DELETED"] {
        assert_eq!(watch.next_named().await, named(kind, "a"));
    }
}

#[tokio::test]
async fn a_field_selector_sees_a_pod_arrive_on_its_node() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let mut watch = world.admin().await.watch("/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn1").await;
    client.create(PODS, pod("elsewhere", "n2")).await;
    client.create(PODS, pod("web", "")).await;
    client.post(&format!("{PODS}/web/binding"), json!({"target": {"kind": "Node", "name": "n1"}})).await;
    assert_eq!(watch.next_named().await, named("ADDED", "web"));
}

#[tokio::test]
async fn a_watch_of_tables_describes_its_columns_once() {
    let world = World::new().await;
    let mut client = world.admin().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = world.admin().await.watch_as(&format!("{CONFIG_MAPS}?watch=true"), accept).await;
    for name in ["a", "b"] {
        client.create(CONFIG_MAPS, config_map(name)).await;
    }
    let (first, second) = (watch.next().await.unwrap(), watch.next().await.unwrap());
    assert_eq!(first["object"]["rows"][0]["cells"][0], "a");
    assert!(first["object"]["columnDefinitions"].is_array());
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over_or_the_server_shuts_down() {
    let world = World::new().await;
    let mut short = world.admin().await.watch(&format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1")).await;
    assert!(short.next().await.is_none());
    let mut long = world.admin().await.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    world.shutdown.cancel();
    assert!(long.next().await.is_none());
}

#[tokio::test]
async fn options_that_contradict_are_refused() {
    let world = World::new().await;
    let mut client = world.admin().await;
    for query in ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan&resourceVersion=1", "resourceVersion=x"]
    {
        let answer = client.get(&format!("{CONFIG_MAPS}?watch=true&{query}")).await;
        assert!(matches!(answer.code, 400 | 422), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_watch_that_would_last_for_ever_is_a_watch_like_others() {
    let world = World::new().await;
    let mut client = world.admin().await;
    client.create(CONFIG_MAPS, config_map("a")).await;
    let uri = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds={}", i64::MAX);
    let mut watch = world.admin().await.watch(&uri).await;
    assert_eq!(watch.next_named().await, named("ADDED", "a"));
    let metrics = client.get("/metrics").await.text;
    let gauge = metrics.lines().find(|line| line.contains("watch") && line.ends_with(" 1"));
    assert!(gauge.is_some(), "{metrics}");
}
