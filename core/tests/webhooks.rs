//! Webhooks: who is asked, about what, in which order, and what comes of their answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{
    Action, Attempt, Body, DeleteOptions, Gateway, Identity, Mutation, Next, Options, Outcome, Subresource,
    SystemAuthorizer, Target,
};
use sampan_core::object::{Draft, ObjectKey, ResourceType};
use sampan_core::resource::{Registry, builtin};
use sampan_core::status::Status;
use sampan_core::store::{Origin, Snapshot};
use serde_json::{Value, json};

/// A cluster with webhooks, each of which answers by its name what a test says.
struct World {
    gateway: Gateway,
    snapshot: Snapshot,
    /// Who was asked, in rounds.
    rounds: RefCell<Vec<Vec<String>>>,
    /// What was asked last.
    asked: RefCell<Value>,
}

/// What a webhook does with a request.
type Answering = fn(webhook: &str, request: &Value) -> Value;

fn configuration(kind: &str, name: &str, webhooks: Value) -> (ResourceType, Option<&'static str>, Value) {
    let plural = format!("{}s", kind.to_lowercase());
    let resource = ResourceType::intern("admissionregistration.k8s.io", &plural);
    let mut webhooks = webhooks;
    for webhook in webhooks.as_array_mut().unwrap() {
        let rule = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]});
        let given = webhook.as_object_mut().unwrap();
        for (field, value) in [
            ("rules", json!([rule])),
            ("clientConfig", json!({"url": "https://hooks.example.com/ask"})),
            ("admissionReviewVersions", json!(["v1"])),
        ] {
            given.entry(field).or_insert(value);
        }
    }
    (resource, None, json!({"metadata": {"name": name}, "webhooks": webhooks}))
}

impl World {
    fn mutating(webhooks: Value) -> Self {
        Self::with(vec![configuration("MutatingWebhookConfiguration", "hooks", webhooks)])
    }

    fn validating(webhooks: Value) -> Self {
        Self::with(vec![configuration("ValidatingWebhookConfiguration", "hooks", webhooks)])
    }

    fn with(given: Vec<(ResourceType, Option<&'static str>, Value)>) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let resource = |plural| ResourceType::intern("", plural);
        let always = [
            (resource("namespaces"), None, json!({"metadata": {"name": "team", "labels": {"guarded": "yes"}}})),
            (resource("namespaces"), None, json!({"metadata": {"name": "free"}})),
            (
                resource("configmaps"),
                Some("team"),
                json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "there", "namespace": "team"}, "data": {"a": "1"}}),
            ),
            (
                resource("services"),
                Some("hooks"),
                json!({"metadata": {"name": "guard", "namespace": "hooks"},
                "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 8443}]}}),
            ),
        ];
        let drafts = always.into_iter().chain(given).map(|(resource, namespace, mut object)| {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            let key = ObjectKey { resource, namespace: namespace.map(Into::into), name: name.as_str().into() };
            Draft::new(key, object, Vec::new()).unwrap()
        });
        let snapshot = Snapshot::of(drafts.collect::<Vec<_>>());
        let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), Vec::new());
        Self { gateway, snapshot, rounds: RefCell::default(), asked: RefCell::default() }
    }

    /// A dry run of a mutation: the object, and the warnings.
    fn mutate(
        &self,
        (group, plural): (&str, &str),
        name: Option<&str>,
        action: Action,
        answering: Answering,
    ) -> Result<(Value, Vec<String>), Status> {
        self.mutate_in("team", (group, plural), name, action, answering)
    }

    fn mutate_in(
        &self,
        namespace: &str,
        (group, plural): (&str, &str),
        name: Option<&str>,
        action: Action,
        answering: Answering,
    ) -> Result<(Value, Vec<String>), Status> {
        let served = self.gateway.registry().served(group, "v1", plural).unwrap();
        let namespace = (!namespace.is_empty()).then(|| namespace.into());
        let mutation = Mutation {
            identity: Identity::new("ann", &["system:masters"]),
            origin: Origin::System { purpose: "test".into() },
            target: Target { served, namespace, name: name.map(Into::into), subresource: Subresource::Whole },
            action,
            options: Options { dry_run: true, ..Options::default() },
        };
        let mut attempt = Attempt::new(mutation, None);
        // Each round finds another clock and another draw.
        for round in 0..20 {
            let now = sampan_core::Timestamp::from_second(1_767_225_600 + round).unwrap();
            let mut entropy = SeededEntropy::new(u64::try_from(round).unwrap());
            match attempt.prepare(&self.gateway, &self.snapshot, now, &mut entropy)? {
                Next::Settled(outcome) => return Ok(told(*outcome)),
                Next::Commit(_) => panic!("a dry run commits nothing"),
                Next::Ask(calls) => {
                    self.rounds.borrow_mut().push(calls.iter().map(|call| call.webhook.clone()).collect());
                    let replies = calls.into_iter().map(|call| {
                        let review: Value = serde_json::from_slice(&call.body).unwrap();
                        let mut said = answering(&call.webhook, &review["request"]);
                        *self.asked.borrow_mut() = json!({"url": call.url, "to": call.connect_to, "review": review});
                        if let Some(why) = said.as_str() {
                            return (call, Err(why.to_owned()));
                        }
                        said["uid"] = self.asked.borrow()["review"]["request"]["uid"].clone();
                        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                            "response": said});
                        (call, Ok(answer.to_string().into()))
                    });
                    attempt.heard(replies.collect())?;
                }
            }
        }
        panic!("webhooks are asked for ever");
    }

    fn create(&self, answering: Answering) -> Result<(Value, Vec<String>), Status> {
        self.mutate(("", "configmaps"), None, Action::Create(Body::Value(map())), answering)
    }

    fn rounds(&self) -> Vec<String> {
        self.rounds.borrow().iter().map(|round| round.join("+")).collect()
    }
}

fn told(outcome: Outcome) -> (Value, Vec<String>) {
    match outcome {
        Outcome::Object { object, warnings, .. } => (object.value(), warnings),
        Outcome::Preview { object, warnings, .. } => (*object, warnings),
    }
}

fn map() -> Value {
    json!({"metadata": {"generateName": "map-"}, "data": {"a": "1"}})
}

fn allow(_: &str, _: &Value) -> Value {
    json!({"allowed": true})
}

fn patched(patch: Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())})
}

/// Each adds a field of its name, that tells what there was.
fn sign(webhook: &str, request: &Value) -> Value {
    let seen: Vec<&str> = request["object"]["data"].as_object().unwrap().keys().map(String::as_str).collect();
    let path = format!("/data/{}", webhook.split('.').next().unwrap());
    patched(json!([{"op": "add", "path": path, "value": seen.join(" ")}]))
}

#[test]
fn webhooks_change_what_is_written_in_order_and_see_later_changes_where_they_want_to() {
    let world = World::mutating(json!([
        {"name": "one.hooks.io", "reinvocationPolicy": "IfNeeded"},
        {"name": "two.hooks.io"},
        {"name": "three.hooks.io", "reinvocationPolicy": "IfNeeded"},
    ]));
    let (object, _) = world.create(sign).unwrap();
    assert_eq!(world.rounds(), ["one.hooks.io", "two.hooks.io", "three.hooks.io", "one.hooks.io"]);
    let signed = json!({"a": "1", "one": "a one three two", "two": "a one", "three": "a one two"});
    assert_eq!(object["data"], signed);
}

#[test]
fn policies_come_before_webhooks_and_see_what_those_change_where_they_want_to() {
    let policy = |reinvocation: &str| {
        let count = "[JSONPatch{op: 'add', path: '/data/policy', value: string(size(object.data))}]";
        let rules =
            json!([{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]);
        let spec = json!({
            "matchConstraints": {"resourceRules": rules}, "reinvocationPolicy": reinvocation,
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": count}}],
        });
        let of = |plural: &str, spec: Value| {
            let resource = ResourceType::intern("admissionregistration.k8s.io", plural);
            (resource, None, json!({"metadata": {"name": "p"}, "spec": spec}))
        };
        [of("mutatingadmissionpolicies", spec), of("mutatingadmissionpolicybindings", json!({"policyName": "p"}))]
    };
    for (reinvocation, seen, rounds) in
        [("Never", "1", vec!["one.hooks.io"]), ("IfNeeded", "3", vec!["one.hooks.io", "one.hooks.io"])]
    {
        let webhooks = json!([{"name": "one.hooks.io", "reinvocationPolicy": "IfNeeded"}]);
        let mut given = vec![configuration("MutatingWebhookConfiguration", "b", webhooks)];
        given.extend(policy(reinvocation));
        let world = World::with(given);
        let (object, _) = world.create(sign).unwrap();
        assert_eq!(object["data"]["policy"], seen);
        let signed = if reinvocation == "Never" { "a policy" } else { "a one policy" };
        assert_eq!(
            (&object["data"]["one"], world.rounds()),
            (&json!(signed), rounds.iter().map(ToString::to_string).collect())
        );
    }
}

#[test]
fn webhooks_that_only_refuse_are_asked_all_at_once_about_what_will_be_stored() {
    let world = World::with(vec![
        configuration("ValidatingWebhookConfiguration", "b", json!([{"name": "b.hooks.io"}])),
        configuration("ValidatingWebhookConfiguration", "a", json!([{"name": "a.hooks.io"}, {"name": "a2.hooks.io"}])),
        configuration("MutatingWebhookConfiguration", "z", json!([{"name": "z.hooks.io"}])),
    ]);
    let answering: Answering = |webhook, request| match webhook {
        "z.hooks.io" => sign(webhook, request),
        "a.hooks.io" => json!({"allowed": true, "warnings": [format!("saw {}", request["object"]["data"]["z"])]}),
        _ => json!({"allowed": true}),
    };
    let (_, warnings) = world.create(answering).unwrap();
    assert_eq!(world.rounds(), ["z.hooks.io", "a.hooks.io+a2.hooks.io+b.hooks.io"]);
    assert_eq!(warnings, ["saw \"a\""]);
    let refused = world.create(|_, request| match request["object"]["data"].get("z") {
        Some(_) => json!({"allowed": false, "status": {"message": "no", "code": 409, "reason": "Conflict"}}),
        None => json!({"allowed": true}),
    });
    assert!(refused.is_ok(), "nobody signed it");
    let refused = world.create(|webhook, request| match webhook {
        "z.hooks.io" => sign(webhook, request),
        _ => json!({"allowed": false, "status": {"message": webhook, "code": 409, "reason": "Conflict"}}),
    });
    let refused = refused.unwrap_err();
    assert_eq!((refused.code, refused.reason), (409, "Conflict"));
    assert_eq!(refused.message, "admission webhook \"a.hooks.io\" denied the request: a.hooks.io");
}

#[test]
fn what_a_webhook_is_asked() {
    let world = World::validating(json!([{"name": "guard.hooks.io", "timeoutSeconds": 3, "clientConfig":
        {"service": {"namespace": "hooks", "name": "guard", "path": "/judge", "port": 8443}}}]));
    world.create(allow).unwrap();
    let asked = world.asked.borrow();
    assert_eq!(asked["url"], "https://guard.hooks.svc:8443/judge?timeout=3s");
    assert_eq!(asked["to"], json!(["10.96.0.9", 8443]));
    let review = &asked["review"];
    assert_eq!((&review["apiVersion"], &review["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    let mut request = review["request"].clone();
    let object = request["object"].take();
    assert_eq!(request["uid"].as_str().unwrap().len(), 36);
    assert!(object["metadata"]["name"].as_str().unwrap().starts_with("map-"));
    assert_eq!((&object["kind"], &object["data"]), (&json!("ConfigMap"), &json!({"a": "1"})));
    for (field, expected) in [
        ("operation", json!("CREATE")),
        ("namespace", json!("team")),
        ("name", object["metadata"]["name"].clone()),
        ("oldObject", Value::Null),
        ("dryRun", json!(true)),
        ("kind", json!({"group": "", "version": "v1", "kind": "ConfigMap"})),
        ("resource", json!({"group": "", "version": "v1", "resource": "configmaps"})),
        ("userInfo", json!({"username": "ann", "groups": ["system:masters"]})),
    ] {
        assert_eq!(request[field], expected, "{field}");
    }
}

#[test]
fn who_is_not_meant_is_not_asked() {
    let rule = |operations: Value, resources: Value| json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": operations, "resources": resources}]);
    let may = |who: &str| format!("{who}.requestResource.check('update').allowed()");
    let cases = [
        (json!({"rules": rule(json!(["UPDATE"]), json!(["*"]))}), false),
        (json!({"rules": rule(json!(["CREATE"]), json!(["pods"]))}), false),
        (json!({"rules": rule(json!(["CREATE"]), json!(["configmaps"]))}), true),
        (json!({"namespaceSelector": {"matchLabels": {"guarded": "no"}}}), false),
        (json!({"namespaceSelector": {"matchLabels": {"guarded": "yes"}}}), true),
        (json!({"objectSelector": {"matchLabels": {"app": "web"}}}), false),
        (json!({"matchConditions": [{"name": "c", "expression": "request.userInfo.username == 'bob'"}]}), false),
        (json!({"matchConditions": [{"name": "c", "expression": "object.data.a == '1'"}]}), true),
        (json!({"matchConditions": [{"name": "c", "expression": may("authorizer")}]}), true),
        (json!({"matchConditions": [{"name": "c", "expression": may("authorizer.serviceAccount('a', 'b')")}]}), false),
        (json!({"failurePolicy": "Ignore", "matchConditions": [{"name": "c", "expression": "object.x"}]}), false),
    ];
    for (given, is_meant) in cases {
        for world in [World::mutating, World::validating] {
            let mut webhook = given.clone();
            webhook["name"] = json!("guard.hooks.io");
            let world = world(json!([webhook]));
            world.create(allow).unwrap();
            assert_eq!(!world.rounds().is_empty(), is_meant, "{given}");
        }
    }
}

#[test]
fn a_webhook_that_cannot_be_asked_refuses_unless_it_need_not_be_asked() {
    let fails = "Internal error occurred: failed calling webhook \"guard.hooks.io\": ";
    let posted = "failed to call webhook: Post \"https://none.hooks.svc:443/?timeout=10s\": ";
    let port = "failed to call webhook: Post \"https://guard.hooks.svc:444/?timeout=10s\": ";
    let service = |name: &str, port: u16| json!({"service": {"namespace": "hooks", "name": name, "port": port}});
    let condition = json!([{"name": "c", "expression": "object.data.x == '1'"}]);
    let cases = [
        (json!({}), format!("{fails}failed to call webhook: connection refused"), 500),
        (json!({"clientConfig": service("none", 443)}), format!("{fails}{posted}service \"none\" not found"), 500),
        (
            json!({"clientConfig": service("guard", 444)}),
            format!("{fails}{port}no service port 444 found for service \"guard\""),
            500,
        ),
        (json!({"matchConditions": condition}), "is forbidden: expression 'object.data.x == '1''".to_owned(), 403),
    ];
    for (given, why, code) in cases {
        for world in [World::mutating, World::validating] {
            let mut webhook = given.clone();
            webhook["name"] = json!("guard.hooks.io");
            let refused = world(json!([webhook])).create(|_, _| json!("connection refused")).unwrap_err();
            assert!(refused.message.contains(&why), "{}", refused.message);
            assert_eq!(refused.code, code);
            webhook["failurePolicy"] = json!("Ignore");
            assert!(world(json!([webhook])).create(|_, _| json!("connection refused")).is_ok(), "{given}");
        }
    }
}

#[test]
fn who_is_asked_about_a_deletion_sees_what_was_and_changes_nothing() {
    let world = World::mutating(json!([{"name": "guard.hooks.io"}]));
    let delete = || Action::Delete(DeleteOptions::default());
    world.mutate(("", "configmaps"), Some("there"), delete(), allow).unwrap();
    let request = world.asked.borrow()["review"]["request"].clone();
    assert_eq!((&request["operation"], &request["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(request["oldObject"]["data"], json!({"a": "1"}));
    let patch: Answering = |_, _| patched(json!([{"op": "add", "path": "/data", "value": {}}]));
    let refused = world.mutate(("", "configmaps"), Some("there"), delete(), patch).unwrap_err();
    assert!(refused.message.ends_with("which is not supported for this operation"), "{}", refused.message);
}

#[test]
fn a_patch_is_held_to_the_schema_and_leaves_the_object_what_it_is() {
    let world = World::mutating(json!([{"name": "guard.hooks.io"}]));
    let renamed: Answering = |_, _| {
        patched(json!([
            {"op": "add", "path": "/metadata/name", "value": "other"},
            {"op": "add", "path": "/metadata/uid", "value": "other"},
            {"op": "add", "path": "/nonsense", "value": 1},
        ]))
    };
    let update = Action::Update(Body::Value(json!({"metadata": {"name": "there"}, "data": {"a": "2"}})));
    let (object, _) = world.mutate(("", "configmaps"), Some("there"), update, renamed).unwrap();
    assert_eq!((&object["metadata"]["name"], &object["metadata"]["uid"]), (&json!("there"), &json!("uid-of-there")));
    assert_eq!((&object["data"], object.get("nonsense")), (&json!({"a": "2"}), None));
    let (created, _) = world.create(renamed).unwrap();
    assert!(created["metadata"]["name"].as_str().unwrap().starts_with("map-"));
    let broken = world.create(|_, _| patched(json!([{"op": "add", "path": "/data", "value": 7}]))).unwrap_err();
    assert!(broken.message.starts_with("Internal error occurred: "), "{}", broken.message);
    let failed = world.create(|_, _| patched(json!([{"op": "remove", "path": "/data/none"}]))).unwrap_err();
    assert_eq!(failed.code, 500);
}

#[test]
fn nobody_is_asked_about_who_is_asked() {
    let world = World::mutating(json!([{"name": "guard.hooks.io"}]));
    let target = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations");
    let delete = Action::Delete(DeleteOptions::default());
    world.mutate_in("", target, Some("hooks"), delete, |_, _| json!({"allowed": false})).unwrap();
    assert!(world.rounds().is_empty());
}
