//! A cluster with a custom resource type in two versions, and the webhook between them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::executor::block_on;
use jiff::Timestamp;
use sampan_core::gateway::{
    Action, Body, Call, Cluster, Gateway, Identity, Mutation, Options, Outcome, Reply, Subresource, SystemAuthorizer,
    Target, Told, ValidatingAdmissionPolicy, WebhookClient,
};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;
use sampan_core::resource::{Cell, Registry, ResourceDefinition, Scope, Served, ServedVersion, Strategy, builtin};
use sampan_core::status::Status;
use sampan_core::store::{MemoryBackend, Origin, Settings, Store};
use serde_json::{Value, json};

pub(crate) const DOORS: ResourceType = ResourceType::new("example.com", "doors");

/// What a webhook makes of a review.
pub(crate) type Answering = fn(&Value) -> Value;

/// A webhook that notes what it was asked: about what, in which version.
struct Hook {
    asked: Mutex<Vec<String>>,
    answering: Mutex<Answering>,
}

impl WebhookClient for Hook {
    fn ask(&self, calls: Vec<Call>, tell: Told) {
        let replies = calls.into_iter().map(|call| {
            let review: Value = serde_json::from_slice(&call.body).unwrap();
            let request = &review["request"];
            let about = match review["kind"].as_str().unwrap() {
                "ConversionReview" => {
                    format!("{}x {}", items(&request["objects"]).len(), &request["desiredAPIVersion"])
                }
                _ => format!("{} sees {}", call.webhook, request["object"]["apiVersion"]),
            };
            self.asked.lock().unwrap().push(about.replace("example.com/", "").replace('"', ""));
            let said = (self.answering.lock().unwrap())(&review);
            let reply: Reply = match said.as_str() {
                Some(why) => Err(why.to_owned()),
                None => Ok(said.to_string().into()),
            };
            (call, reply)
        });
        tell(replies.collect());
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `address: host:port` in v1 is `host` and `port` in v2.
fn convert(object: &Value, desired: &str) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!(desired);
    if let Some(address) = object["spec"]["address"].as_str().map(str::to_owned) {
        let (host, port) = address.split_once(':').unwrap();
        object["spec"] = json!({"host": host, "port": port});
    } else {
        let part = |name: &str| object["spec"][name].as_str().unwrap_or_default().to_owned();
        object["spec"] = json!({"address": format!("{}:{}", part("host"), part("port"))});
    }
    object
}

pub(crate) fn answer(review: &Value, change: impl Fn(&mut Value)) -> Value {
    let request = &review["request"];
    let desired = request["desiredAPIVersion"].as_str().unwrap();
    let converted: Vec<Value> = items(&request["objects"]).iter().map(|object| convert(object, desired)).collect();
    let mut answer = json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": {
        "uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": converted}});
    change(&mut answer);
    answer
}

fn converting(review: &Value) -> Value {
    match review["kind"].as_str() {
        Some("ConversionReview") => answer(review, |_| {}),
        _ => json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": review["request"]["uid"], "allowed": true}}),
    }
}

pub(crate) fn unreachable(_: &Value) -> Value {
    json!("nobody is there")
}

struct Plain;

impl Strategy for Plain {
    fn cells(&self, _object: &Value, _now: Timestamp) -> Vec<Cell> {
        Vec::new()
    }
}

/// A cluster with doors in the versions v1 and v2.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    hook: Arc<Hook>,
}

pub(crate) fn definition(stored: &str, webhook: &Value) -> Value {
    let text = json!({"type": "string"});
    let version = |name: &str, spec: Value| {
        json!({"name": name, "served": true, "storage": name == stored,
            "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": spec},
                "status": {"type": "object", "properties": {"open": {"type": "boolean"}}}}}}})
    };
    let names = json!({"plural": "doors", "singular": "door", "kind": "Door", "listKind": "DoorList"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "doors.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names,
            "conversion": {"strategy": "Webhook", "webhook": webhook},
            "versions": [version("v1", json!({"address": text})), version("v2", json!({"host": text, "port": text,
                "lock": {"type": "string", "default": "none"}}))]},
        "status": {"acceptedNames": names, "conditions": [{"type": "NamesAccepted", "status": "True"}]},
    })
}

impl World {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let version = ServedVersion::stored(
            "apiextensions.k8s.io",
            "v1",
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        );
        registry.register(ResourceDefinition {
            scope: Scope::Cluster,
            ..ResourceDefinition::plain(CUSTOM_RESOURCE_DEFINITIONS, "CustomResourceDefinition", "", version, Plain)
        });
        let policies = Box::new(ValidatingAdmissionPolicy::default());
        let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), vec![policies]);
        let store = Store::open(MemoryBackend::default(), Settings::default(), Arc::new(Timestamp::now)).unwrap();
        let hook = Arc::new(Hook { asked: Mutex::default(), answering: Mutex::new(converting) });
        let cluster = Cluster::new(Arc::new(gateway), store, Timestamp::now, 7).with_webhooks(hook.clone());
        let world = Self { cluster, hook };
        world.define(Action::Create, "v1");
        world
    }

    pub(crate) fn define(&self, action: fn(Body) -> Action, stored: &str) {
        let webhook =
            json!({"clientConfig": {"url": "https://doors.example.com/convert"}, "conversionReviewVersions": ["v1"]});
        self.define_as(action, &definition(stored, &webhook));
    }

    pub(crate) fn define_as(&self, action: fn(Body) -> Action, definition: &Value) {
        let action = action(Body::Value(definition.clone()));
        let kind = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let name = (!matches!(action, Action::Create(_))).then_some("doors.example.com");
        self.mutate(kind, None, name, Subresource::Whole, action).unwrap();
        self.cluster.gateway().learn(&self.cluster.snapshot());
    }

    pub(crate) fn served(&self, (group, version, plural): (&str, &str, &str)) -> Served {
        self.cluster.registry().served(group, version, plural).unwrap()
    }

    pub(crate) fn mutate(
        &self,
        kind: (&str, &str, &str),
        namespace: Option<&str>,
        name: Option<&str>,
        subresource: Subresource,
        action: Action,
    ) -> Result<Outcome, Status> {
        let options = Options { field_manager: "test".to_owned(), ..Options::default() };
        block_on(self.cluster.mutate(Mutation {
            identity: Identity::new("tester", &["system:masters"]),
            origin: Origin::System { purpose: "test".into() },
            target: Target {
                served: self.served(kind),
                namespace: namespace.map(Into::into),
                name: name.map(Into::into),
                subresource,
            },
            action,
            options,
        }))
    }

    pub(crate) fn write(&self, version: &str, action: Action) -> Result<Outcome, Status> {
        self.write_at(version, Subresource::Whole, action)
    }

    pub(crate) fn write_at(&self, version: &str, subresource: Subresource, action: Action) -> Result<Outcome, Status> {
        let name = (!matches!(action, Action::Create(_))).then_some("front");
        self.mutate(("example.com", version, "doors"), Some("default"), name, subresource, action)
    }

    pub(crate) fn create_in_v2(&self) {
        let object = json!({"apiVersion": "example.com/v2", "kind": "Door", "metadata": {"name": "front"},
            "spec": {"host": "a", "port": "80", "unknown": 1}});
        self.write("v2", Action::Create(Body::Json(object.to_string().into()))).unwrap();
    }

    pub(crate) fn stored(&self) -> Value {
        self.cluster.snapshot().get(&ObjectKey::namespaced(DOORS, "default", "front")).unwrap().value()
    }

    pub(crate) fn spoken_all(&self, version: &str, stored: Vec<Value>) -> Result<Vec<Value>, Status> {
        let stored = stored.iter().map(|object| Bytes::from(object.to_string())).collect();
        let spoken = block_on(self.cluster.spoken(&self.served(("example.com", version, "doors")), stored))?;
        Ok(spoken.iter().map(|object| serde_json::from_slice(object).unwrap()).collect())
    }

    pub(crate) fn spoken(&self, version: &str) -> Value {
        self.spoken_all(version, vec![self.stored()]).unwrap().pop().unwrap()
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.hook.asked.lock().unwrap())
    }

    pub(crate) fn answer_by(&self, answering: Answering) {
        *self.hook.answering.lock().unwrap() = answering;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cluster.store().close();
    }
}
