//! Manifests of pods, placed on the three nodes of `nodes.yaml`: `ok_*.yaml` on the node they name, `reject_*.yaml` nowhere,
//! with the words they expect.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Cluster, World};
use sampan_core::manifest::documents;
use sampan_core::object::ObjectKey;
use sampan_core::resource::PODS;
use sampan_scheduler::Scheduler;
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests");

fn objects(text: &str) -> Vec<Value> {
    documents(text, false).unwrap().into_iter().map(|document| document.value).collect()
}

/// What became of the pod in `text`: its node, or why it has none.
fn outcome(text: &str) -> String {
    let mut world = World::new("placement", |driver| driver.add(Scheduler::default()));
    world.initial = objects(&std::fs::read_to_string(format!("{FOLDER}/nodes.yaml")).unwrap());
    let mut pod = objects(text).remove(0);
    pod["metadata"]["namespace"] = "default".into();
    let key = ObjectKey::namespaced(PODS, "default", pod["metadata"]["name"].as_str().unwrap());
    world.initial.push(pod);
    let mut cluster = Cluster::new(&world);
    assert!(cluster.run_to_rest(100));
    let placed = cluster.snapshot().get(&key).unwrap().value();
    if let Some(node) = placed["spec"]["nodeName"].as_str() {
        return format!("placed on {node}");
    }
    placed["status"]["conditions"][0]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn pods_are_placed_or_refused_as_their_manifests_say() {
    let mut seen = 0;
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "nodes.yaml" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
        assert_eq!(outcome(&text), expected, "{name}");
        assert_eq!(expected.starts_with("placed on "), name.starts_with("ok_"), "{name}");
        seen += 1;
    }
    assert!(seen >= 25, "{seen} manifests");
}
