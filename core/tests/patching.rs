//! Patches and apply as the gateway carries them out: from a request's body to the object that would be stored.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use bytes::Bytes;
use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{
    Action, Answer, Body, FieldValidation, Gateway, Identity, Mutation, Options, PatchKind, Subresource,
    SystemAuthorizer, Target,
};
use sampan_core::object::Draft;
use sampan_core::resource::{Registry, builtin};
use sampan_core::status::Status;
use sampan_core::store::{Origin, Snapshot};
use serde_json::{Value, json};

/// A cluster of at most one Pod.
struct World {
    gateway: Gateway,
    pod: Option<Value>,
}

impl World {
    fn new() -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        Self { gateway: Gateway::new(registry, Box::new(SystemAuthorizer), Vec::new()), pod: None }
    }

    fn target(&self, subresource: Subresource) -> Target {
        let served = self.gateway.registry().served("", "v1", "pods").unwrap();
        Target { served, namespace: Some("default".into()), name: Some("web".into()), subresource }
    }

    /// Carries out a dry run and keeps what it would have stored.
    fn try_to(&mut self, manager: &str, subresource: Subresource, action: Action) -> Result<Value, Status> {
        let target = self.target(subresource);
        let draft = self.pod.clone().map(|pod| Draft::new(target.key("web"), pod, Vec::new()).unwrap());
        let mutation = Mutation {
            identity: Identity::new("admin", &["system:masters"]),
            origin: Origin::System { purpose: "test".into() },
            target,
            action,
            options: Options {
                dry_run: true,
                field_manager: manager.into(),
                field_validation: FieldValidation::Strict,
                ..Options::default()
            },
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let snapshot = Snapshot::of(draft);
        let prepared = self.gateway.prepare(&snapshot, now, &mut SeededEntropy::new(1), &mutation)?;
        let object = match prepared.answer {
            Answer::Preview(object) => *object,
            Answer::Unchanged(object) => object.value(),
            Answer::Committed => panic!("a dry run commits nothing"),
        };
        self.pod = Some(object.clone());
        Ok(object)
    }

    fn patch(&mut self, kind: PatchKind, patch: &Value) -> Result<Value, Status> {
        let body = Body::Json(Bytes::from(patch.to_string()));
        self.try_to("kubectl-patch", Subresource::Whole, Action::Patch(kind, body))
    }

    fn apply(&mut self, manager: &str, config: &Value) -> Result<Value, Status> {
        let body = Body::Json(Bytes::from(config.to_string()));
        self.try_to(manager, Subresource::Whole, Action::Patch(PatchKind::Apply, body))
    }
}

fn pod(containers: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": containers}})
}

fn env(pod: &Value) -> Vec<&str> {
    let variables = pod["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
    variables.filter_map(|variable| variable["name"].as_str()).collect()
}

#[test]
fn an_apply_creates_the_object_and_owns_what_it_says_not_what_is_filled_in() {
    let mut world = World::new();
    let created = world.apply("m", &pod(json!([{"name": "c", "image": "i"}]))).unwrap();
    assert_eq!(created["spec"]["restartPolicy"], "Always");
    let managed = created["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managed.len(), 1);
    assert_eq!(
        managed[0]["fieldsV1"],
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}}}})
    );
    let again = world.apply("m", &pod(json!([{"name": "c", "image": "i"}]))).unwrap();
    assert_eq!(again["metadata"]["managedFields"], created["metadata"]["managedFields"]);
}

#[test]
fn a_conflict_is_answered_with_its_fields_and_force_is_for_the_caller_to_ask() {
    let mut world = World::new();
    world.apply("one", &pod(json!([{"name": "c", "image": "i"}]))).unwrap();
    let status = world.apply("two", &pod(json!([{"name": "c", "image": "j"}]))).unwrap_err();
    assert_eq!((status.code, status.reason), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.containers[name=\"c\"].image"
    );
    let causes = status.details.unwrap().causes;
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].field, ".spec.containers[name=\"c\"].image");
}

#[test]
fn a_patch_is_recorded_as_an_update_of_what_it_changed() {
    let mut world = World::new();
    world.apply("m", &pod(json!([{"name": "c", "image": "i"}]))).unwrap();
    let patched =
        world.patch(PatchKind::Strategic, &json!({"spec": {"containers": [{"name": "c", "image": "j"}]}})).unwrap();
    assert_eq!(patched["spec"]["containers"].as_array().unwrap().len(), 1, "lists merge by name");
    let managed = patched["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managed[1]["manager"], "kubectl-patch");
    assert_eq!(managed[1]["operation"], "Update");
    let image = json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}});
    assert_eq!(managed[1]["fieldsV1"], image);
    assert!(
        world.apply("m", &pod(json!([{"name": "c", "image": "i"}]))).unwrap_err().message.contains("kubectl-patch")
    );
}

#[test]
fn every_patch_language_changes_the_object() {
    let mut world = World::new();
    world.apply("m", &pod(json!([{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]))).unwrap();
    let label = |value: &str| json!({"metadata": {"labels": {"a": value}}});
    assert_eq!(world.patch(PatchKind::Merge, &label("1")).unwrap()["metadata"]["labels"]["a"], "1");
    assert_eq!(world.patch(PatchKind::Strategic, &label("2")).unwrap()["metadata"]["labels"]["a"], "2");
    let operations = json!([{"op": "test", "path": "/metadata/labels/a", "value": "2"}, {"op": "remove", "path": "/metadata/labels"}]);
    assert_eq!(world.patch(PatchKind::Json, &operations).unwrap()["metadata"].get("labels"), None);
    assert_eq!(env(world.pod.as_ref().unwrap()), ["A"]);
}

#[test]
fn metadata_that_holds_nothing_is_not_stored() {
    let mut world = World::new();
    let mut web = pod(json!([{"name": "c", "image": "i"}]));
    web["metadata"]["finalizers"] = json!([]);
    web["metadata"]["annotations"] = json!({});
    let created = world.apply("m", &web).unwrap();
    let holds = |object: &Value, field: &str| object["metadata"].get(field).is_some();
    assert!(!holds(&created, "finalizers") && !holds(&created, "annotations"), "{created}");
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    assert!(holds(&world.patch(PatchKind::Merge, &labels(json!({"a": "1"}))).unwrap(), "labels"));
    assert!(!holds(&world.patch(PatchKind::Merge, &labels(json!({"a": null}))).unwrap(), "labels"));
}

#[test]
fn a_patch_that_does_not_fit_is_refused_in_its_own_way() {
    let mut world = World::new();
    let container = json!([{"name": "c", "image": "i"}]);
    world.apply("m", &pod(container.clone())).unwrap();
    let mut refused = |kind: PatchKind, patch: Value| world.patch(kind, &patch).unwrap_err();

    let status = refused(PatchKind::Json, json!([{"op": "test", "path": "/kind", "value": "x"}]));
    assert_eq!((status.code, status.reason), (422, "Invalid"));
    assert!(status.message.contains("testing value /kind failed"), "{status}");
    assert_eq!(refused(PatchKind::Json, json!({"op": "test"})).code, 400);
    assert_eq!(refused(PatchKind::Strategic, json!({"spec": {"$patch": "erase"}})).code, 400);
    assert_eq!(refused(PatchKind::Merge, json!({"spec": {"containers": 1}})).code, 400);
    let status = refused(PatchKind::Merge, json!({"spec": {"containres": []}}));
    assert!(status.message.contains("unknown field \"spec.containres\""), "{status}");
    let status = world.apply("m", &pod(json!([{"name": "c", "image": "i"}, {"name": "c"}]))).unwrap_err();
    assert_eq!(status.code, 422);
    assert!(status.message.contains("spec.containers[1]"), "{status}");
    let mut other = pod(container);
    other["metadata"]["name"] = json!("other");
    assert_eq!(world.apply("m", &other).unwrap_err().code, 400);
}

#[test]
fn the_status_is_applied_at_its_own_subresource() {
    let mut world = World::new();
    world.apply("m", &pod(json!([{"name": "c", "image": "i"}]))).unwrap();
    let config = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"a": "b"}},
                        "spec": {"containers": [{"name": "c", "image": "other"}]}, "status": {"message": "hello"}});
    let body = || Body::Json(Bytes::from(config.to_string()));
    let action = Action::Patch(PatchKind::Apply, body());
    let after = world.try_to("node", Subresource::Status, action).unwrap();
    assert_eq!(after["status"]["message"], "hello");
    assert_eq!(after["spec"]["containers"][0]["image"], "i");
    assert_eq!(after["metadata"].get("labels"), None);
    let entry =
        after["metadata"]["managedFields"].as_array().unwrap().iter().find(|it| it["manager"] == "node").unwrap();
    assert_eq!(entry["subresource"], "status");
    assert_eq!(entry["fieldsV1"], json!({"f:status": {"f:message": {}}}));
}
