//! A small API server in memory: enough of Kubernetes for a node agent to live on.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod docker;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// How long a test waits for what must come.
pub const DEADLINE: Duration = Duration::from_secs(30);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Key = (String, String, String);

#[derive(Default)]
struct Store {
    revision: u64,
    objects: BTreeMap<Key, Value>,
    decisions: Vec<Value>,
    status_patches: Vec<(String, Value)>,
}

/// The API server of a test.
#[derive(Clone)]
pub struct FakeApi {
    store: Arc<Mutex<Store>>,
    changes: broadcast::Sender<(Key, Value)>,
}

struct Target {
    resource: String,
    namespace: String,
    name: String,
    subresource: String,
}

impl Target {
    fn of(path: &str) -> Self {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        parts.drain(..if parts[0] == "api" { 2 } else { 3 });
        let namespaced = parts[0] == "namespaces" && parts.len() > 2;
        let namespace = if namespaced { parts.drain(..2).nth(1).unwrap() } else { "" };
        let part = |index: usize| parts.get(index).map(ToString::to_string).unwrap_or_default();
        Self { resource: part(0), namespace: namespace.to_owned(), name: part(1), subresource: part(2) }
    }
}

impl FakeApi {
    pub fn new() -> Self {
        Self { store: Arc::default(), changes: broadcast::channel(65_536).0 }
    }

    pub fn client(&self) -> kube::Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(this.serve(request).await) }
        });
        kube::Client::new(service, "default")
    }

    async fn serve(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let target = Target::of(parts.uri.path());
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        if let Some(decision) = parts.headers.get("Sampan-Decision") {
            let decision = serde_json::from_slice(decision.as_bytes()).expect("a decision is JSON");
            self.store.lock().unwrap().decisions.push(decision);
        }
        match parts.method {
            Method::GET if query.contains_key("watch") => self.watch(target, &query),
            Method::GET if target.name.is_empty() => self.list(&target, &query),
            Method::GET => match self.get(&target.resource, &target.namespace, &target.name) {
                Some(object) => reply(200, &object),
                None => missing(),
            },
            Method::POST => self.create(target, body),
            Method::PATCH => self.patch(target, body),
            Method::DELETE => self.remove(target, &body),
            _ => missing(),
        }
    }

    fn list(&self, target: &Target, query: &BTreeMap<String, String>) -> Answer {
        let store = self.store.lock().unwrap();
        let items: Vec<&Value> =
            store.objects.iter().filter(|(key, object)| selected(key, object, target, query)).map(|(_, o)| o).collect();
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": store.revision.to_string()}, "items": items});
        reply(200, &list)
    }

    fn watch(&self, target: Target, query: &BTreeMap<String, String>) -> Answer {
        let from: u64 = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let query = query.clone();
        let (receiver, missed) = {
            let store = self.store.lock().unwrap();
            let newer = |object: &Value| revision(object) > from;
            let missed: Vec<Value> = store
                .objects
                .iter()
                .filter(|(key, object)| selected(key, object, &target, &query) && newer(object))
                .map(|(_, object)| json!({"type": "ADDED", "object": object}))
                .collect();
            (self.changes.subscribe(), missed)
        };
        let live = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.ok().map(|change| (change, receiver))
        });
        let live = live.filter_map(move |(key, event)| {
            let wanted = selected(&key, &event["object"], &target, &query);
            futures::future::ready(wanted.then_some(event))
        });
        let lines = futures::stream::iter(missed)
            .chain(live)
            .map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(StreamBody::new(lines).boxed_unsync())
    }

    fn create(&self, target: Target, mut object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = (target.resource, target.namespace.clone(), name);
        if self.store.lock().unwrap().objects.contains_key(&key) {
            return status(409, "AlreadyExists");
        }
        if !target.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(target.namespace);
        }
        self.put(key, object, "ADDED")
    }

    fn patch(&self, target: Target, patch: Value) -> Answer {
        let key = (target.resource.clone(), target.namespace, target.name);
        let Some(mut object) = self.store.lock().unwrap().objects.get(&key).cloned() else { return missing() };
        if let Some(uid) = patch["metadata"]["uid"].as_str()
            && object["metadata"]["uid"] != uid
        {
            return status(409, "Conflict");
        }
        if target.subresource == "status" {
            self.store.lock().unwrap().status_patches.push((key.2.clone(), patch["status"].clone()));
        }
        merge(&mut object, &patch);
        self.put(key, object, "MODIFIED")
    }

    fn remove(&self, target: Target, options: &Value) -> Answer {
        let key = (target.resource, target.namespace, target.name);
        let mut store = self.store.lock().unwrap();
        let Some(object) = store.objects.get(&key) else { return missing() };
        if let Some(uid) = options["preconditions"]["uid"].as_str() {
            assert_eq!(object["metadata"]["uid"], uid, "a node deletes only what it means");
        }
        let mut object = store.objects.remove(&key).unwrap();
        store.revision += 1;
        object["metadata"]["resourceVersion"] = json!(store.revision.to_string());
        drop(store);
        let _ = self.changes.send((key, json!({"type": "DELETED", "object": object})));
        reply(200, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
    }

    fn put(&self, key: Key, mut object: Value, kind: &str) -> Answer {
        let mut store = self.store.lock().unwrap();
        store.revision += 1;
        object["metadata"]["resourceVersion"] = json!(store.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            static SERIAL: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
            let serial = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            object["metadata"]["uid"] = json!(format!("uid-{}-{serial}", std::process::id()));
        }
        let before = store.objects.insert(key.clone(), object.clone());
        let unchanged = before.is_some_and(|before| without_revision(before) == without_revision(object.clone()));
        drop(store);
        if !unchanged {
            let _ = self.changes.send((key, json!({"type": kind, "object": object})));
        }
        reply(200, &object)
    }

    /// Creates an object of `resource`.
    pub fn add(&self, resource: &str, object: Value) {
        let key = (
            resource.to_owned(),
            object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
            object["metadata"]["name"].as_str().unwrap().to_owned(),
        );
        self.put(key, object, "ADDED");
    }

    /// Changes an object by a merge patch.
    pub fn change(&self, resource: &str, namespace: &str, name: &str, patch: &Value) {
        let mut object = self.get(resource, namespace, name).expect("the object exists");
        merge(&mut object, patch);
        self.put((resource.to_owned(), namespace.to_owned(), name.to_owned()), object, "MODIFIED");
    }

    /// Asks for a pod's deletion, as `kubectl delete` does.
    pub fn delete_pod(&self, name: &str, grace_seconds: i64) {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace_seconds);
        let at = at.round(jiff::Unit::Second).unwrap().to_string();
        let patch = json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": grace_seconds}});
        self.change("pods", "default", name, &patch);
    }

    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.store.lock().unwrap().objects.get(&key).cloned()
    }

    pub fn all(&self, resource: &str) -> Vec<Value> {
        let store = self.store.lock().unwrap();
        store.objects.iter().filter(|(key, _)| key.0 == resource).map(|(_, object)| object.clone()).collect()
    }

    /// Waits until there are events of these reasons about a pod: they are written after what they are about.
    pub async fn wait_told(&self, pod: &str, reasons: &[&str]) {
        let is_told = |reason: &&str| {
            let mut events = self.all("events").into_iter();
            events.any(|event| event["involvedObject"]["name"] == pod && event["reason"] == **reason)
        };
        self.wait(pod, &format!("events: {reasons:?}"), |_| reasons.iter().all(is_told)).await;
    }

    /// Reasons and messages of the events about a pod.
    pub fn event_texts(&self, pod: &str) -> Vec<String> {
        let mut events = self.all("events");
        events.retain(|event| event["involvedObject"]["name"] == pod);
        events.iter().map(|event| format!("{}: {}", event["reason"], event["message"])).collect()
    }

    pub fn decisions(&self) -> Vec<Value> {
        self.store.lock().unwrap().decisions.clone()
    }

    /// What was changed of a pod's status; that it waits for something may be told without a change of it.
    pub fn status_patches(&self, pod: &str) -> Vec<Value> {
        let store = self.store.lock().unwrap();
        let changes = store.status_patches.iter().filter(|(name, patch)| name == pod && !patch.is_null());
        changes.map(|(_, patch)| patch.clone()).collect()
    }

    pub fn revision(&self) -> u64 {
        self.store.lock().unwrap().revision
    }

    /// Waits until a pod is as wanted, or panics with how it is.
    pub async fn wait(&self, pod: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut changes = self.changes.subscribe();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let now = self.get("pods", "default", pod).unwrap_or(Value::Null);
            if wanted(&now) {
                return now;
            }
            let change = tokio::time::timeout_at(deadline, changes.recv()).await;
            assert!(
                change.is_ok(),
                "{pod}: waited for {what}; status is {:#}, events {:?}",
                now["status"],
                self.event_texts(pod)
            );
        }
    }

    pub async fn wait_ready(&self, pod: &str) -> Value {
        self.wait(pod, "ready", |pod| condition(pod, "Ready") == "True").await
    }

    pub async fn wait_gone(&self, pod: &str) {
        self.wait(pod, "gone", Value::is_null).await;
    }
}

/// The status of a pod's condition.
pub fn condition<'a>(pod: &'a Value, name: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array();
    let found = conditions.and_then(|list| list.iter().find(|condition| condition["type"] == name));
    found.and_then(|condition| condition["status"].as_str()).unwrap_or("")
}

fn without_revision(mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = Value::Null;
    object
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn selected(key: &Key, object: &Value, target: &Target, query: &BTreeMap<String, String>) -> bool {
    let selector = query.get("fieldSelector").map(String::as_str).unwrap_or_default();
    let fields = selector.split(',').filter_map(|pair| pair.split_once('=')).all(|(path, value)| {
        let found = path.split('.').fold(object, |object, part| &object[part]);
        found == value
    });
    key.0 == target.resource && (target.namespace.is_empty() || key.1 == target.namespace) && fields
}

/// A strategic merge of what statuses hold: conditions by type, addresses by ip.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        match (name.as_str(), value) {
            (_, Value::Null) => {
                object.as_object_mut().unwrap().remove(name);
            }
            ("conditions", Value::Array(items)) => merge_list(&mut object[name], items, "type"),
            ("podIPs" | "hostIPs", Value::Array(items)) => merge_list(&mut object[name], items, "ip"),
            (_, Value::Object(_)) => merge(&mut object[name], value),
            _ => object[name] = value.clone(),
        }
    }
}

fn merge_list(list: &mut Value, items: &[Value], key: &str) {
    let mut merged = list.as_array().cloned().unwrap_or_default();
    for item in items {
        merged.retain(|known| known[key] != item[key]);
        if item["$patch"] != "delete" {
            merged.push(item.clone());
        }
    }
    *list = Value::Array(merged);
}

fn reply(code: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(code).header("Content-Type", "application/json").body(body).unwrap()
}

fn missing() -> Answer {
    status(404, "NotFound")
}

fn status(code: u16, reason: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code, "message": reason});
    reply(code, &status)
}
