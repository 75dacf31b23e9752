//! Somebody refuses that one pod is deleted: all others that are too many go.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use sampan_conformance::{Cluster, Edit, World};
use sampan_core::gateway::{Admission, AdmissionRequest, Operation, Unprepared, Verdict};
use sampan_core::object::ObjectKey;
use sampan_core::resource::PODS;
use sampan_core::status::Status;
use sampan_podcollector::PodCollector;
use serde_json::{Value, json};

/// Refuses that the pod `a` is deleted.
struct Keeping;

impl Admission for Keeping {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let target = &request.mutation.target;
        request.operation == Operation::Delete && target.resource() == PODS && target.name.as_deref() == Some("a")
    }

    fn validate(&self, _request: &AdmissionRequest<'_>, _object: &Value) -> Result<Verdict, Unprepared> {
        Err(Status::forbidden("it is kept").into())
    }
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "here", "containers": [{"name": "c", "image": "c:1"}]}})
}

#[test]
fn whom_somebody_refuses_keeps_no_others() {
    let mut world = World::new("refused", |driver| driver.add(PodCollector::keeping(1)));
    let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}});
    world.initial = [home].into_iter().chain(["a", "b", "c", "d"].map(pod)).collect();
    world.admissions = || vec![Box::new(Keeping)];
    let mut cluster = Cluster::new(&world);
    for name in ["a", "b", "c", "d"] {
        let mut ended = cluster.snapshot().get(&ObjectKey::namespaced(PODS, "default", name)).unwrap().value();
        ended.pointer_mut("/status").unwrap().as_object_mut().unwrap().insert("phase".into(), json!("Succeeded"));
        cluster.edit(&Edit::UpdateStatus(ended)).unwrap();
    }
    for _ in 0..50 {
        cluster.run_to_rest(20);
        cluster.advance();
    }
    let left: Vec<String> = cluster.snapshot().list(PODS, None, None).map(|pod| pod.key().name.to_string()).collect();
    assert_eq!(left, ["a"]);
}
