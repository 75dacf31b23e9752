//! Manifests of Services among the pods and nodes of `world.yaml`: of `ok_*.yaml` the slices that come of them, of
//! `reject_*.yaml` the words they are refused with. The first line says what is expected.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Cluster, Edit, World};
use sampan_core::manifest::documents;
use sampan_core::resource::ENDPOINT_SLICES;
use sampan_service::ServiceOperator;
use serde_json::{Value, json};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests");

fn objects(text: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = documents(text, false).unwrap().into_iter().map(|document| document.value).collect();
    for object in objects.iter_mut().filter(|object| object["kind"] != "Node") {
        object["metadata"]["namespace"] = json!("default");
    }
    objects
}

/// The slices of the Service in `text`, or why it is refused.
fn outcome(text: &str) -> String {
    let mut world = World::new("manifests", |driver| driver.add(ServiceOperator));
    world.initial = objects(&std::fs::read_to_string(format!("{FOLDER}/world.yaml")).unwrap());
    let mut cluster = Cluster::new(&world);
    for object in world.initial.iter().filter(|object| object["kind"] == "Pod" && !object["status"].is_null()) {
        cluster.edit(&Edit::UpdateStatus(object.clone())).unwrap();
    }
    let service = objects(text).remove(0);
    if let Err(why) = cluster.edit(&Edit::Create(service.clone())) {
        return why;
    }
    assert!(cluster.run_to_rest(100));
    let snapshot = cluster.snapshot();
    let slices = snapshot.list(ENDPOINT_SLICES, Some("default"), None).map(|slice| slice.value());
    let own =
        slices.filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]);
    let mut shown: Vec<String> = own.map(|slice| slice_shown(&slice)).collect();
    shown.sort();
    if shown.is_empty() { "no slices".to_owned() } else { shown.join(" | ") }
}

fn slice_shown(slice: &Value) -> String {
    let ports: Vec<String> = slice["ports"].as_array().unwrap().iter().map(port_shown).collect();
    let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(" ") };
    let labels = &slice["metadata"]["labels"];
    let headless = labels["service.kubernetes.io/headless"].as_str().map_or("", |_| ", headless");
    let endpoints: Vec<String> = slice["endpoints"].as_array().into_iter().flatten().map(endpoint_shown).collect();
    let endpoints = if endpoints.is_empty() { "nobody".to_owned() } else { endpoints.join(", ") };
    format!("{} {ports}{headless}: {endpoints}", slice["addressType"].as_str().unwrap())
}

fn port_shown(port: &Value) -> String {
    let name = port["name"].as_str().filter(|name| !name.is_empty()).map(|name| format!("{name}=")).unwrap_or_default();
    let protocol = port["protocol"].as_str().filter(|protocol| *protocol != "TCP");
    format!("{name}{}{}", port["port"], protocol.map(|protocol| format!("/{protocol}")).unwrap_or_default())
}

fn endpoint_shown(endpoint: &Value) -> String {
    let ready = if endpoint["conditions"]["ready"] == true { "ready" } else { "unready" };
    let text = |field: &str, word: &str| endpoint[field].as_str().map(|it| format!(" {word} {it}")).unwrap_or_default();
    let address = endpoint["addresses"][0].as_str().unwrap();
    format!("{address} {ready}{}{}{}", text("nodeName", "on"), text("zone", "in"), text("hostname", "as"))
}

#[test]
fn manifests_come_to_what_they_say() {
    let mut seen = 0;
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "world.yaml" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
        let found = outcome(&text);
        assert!(found.ends_with(expected), "{name}: {found}");
        assert_eq!(found.contains("invalid"), name.starts_with("reject_"), "{name}: {found}");
        seen += 1;
    }
    assert!(seen >= 9, "{seen} manifests");
}
