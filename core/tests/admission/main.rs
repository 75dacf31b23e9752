//! Admission in its order: what is changed, what is refused, and what a client is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod mutating_policies;
mod policies;
mod world;

use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{
    Action, Admission, AdmissionRequest, Body, Connection, DeleteOptions, Identity, Mutation, Operation, Options,
    Subresource, Target, Unprepared, Verb, Verdict,
};
use sampan_core::status::Status;
use sampan_core::store::Origin;
use serde_json::{Value, json};

use self::world::{Given, World, pod};

fn limit_range(limit: Value) -> Given {
    ("", "limitranges", "team", json!({"metadata": {"name": "bounds"}, "spec": {"limits": [limit]}}))
}

fn quota(name: &str, spec: Value) -> Given {
    ("", "resourcequotas", "team", json!({"metadata": {"name": name}, "spec": spec}))
}

fn priority_class(name: &str, value: i64, is_default: bool) -> Given {
    let class = json!({"metadata": {"name": name}, "value": value, "globalDefault": is_default,
        "preemptionPolicy": "PreemptLowerPriority"});
    ("scheduling.k8s.io", "priorityclasses", "", class)
}

/// What a webhook might do: a container beside the pod's own, as bare as people write it.
struct AddSidecar;

impl Admission for AddSidecar {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create
    }

    fn mutate(&self, _request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        assert_eq!(object["spec"]["restartPolicy"], "Always", "what is seen is defaulted");
        let sidecar = json!({"name": "sidecar", "image": "s", "resources": {"requests": {"cpu": "1"}}});
        object["spec"]["containers"].as_array_mut().unwrap().push(sidecar);
        object["status"] = json!({"phase": "Running"});
        Ok(())
    }

    fn validate(&self, _request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        assert_eq!(object["status"]["qosClass"], "Burstable", "what is judged is what will be stored");
        Ok(Verdict { warnings: vec!["look out".to_owned()], ..Verdict::default() })
    }
}

#[test]
fn what_admission_changes_is_defaulted_prepared_and_judged_last() {
    let world = World::admitting(vec![Box::new(AddSidecar)], Vec::new());
    let asked = Action::Create(Body::Value(pod("web", json!({}))));
    let (object, warnings) = world.ask("pods", "team", None, asked).unwrap();
    assert_eq!(object["spec"]["containers"][1]["imagePullPolicy"], "Always");
    assert_eq!(object["status"], json!({"phase": "Pending", "qosClass": "Burstable"}));
    assert_eq!(warnings, ["look out"]);
}

#[test]
fn what_a_limit_range_gives_counts_for_the_class_of_service() {
    let world = World::with(vec![limit_range(
        json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "1", "memory": "1Gi"}}),
    )]);
    let object = world.create(pod("web", json!({}))).unwrap();
    assert_eq!(object["status"]["qosClass"], "Guaranteed");
    let note = "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c";
    assert_eq!(object["metadata"]["annotations"]["kubernetes.io/limit-ranger"], note);
}

#[test]
fn a_limit_range_keeps_containers_within_its_bounds() {
    let world = World::with(vec![limit_range(json!({"type": "Container", "max": {"cpu": "1"}}))]);
    world.create(pod("web", json!({"limits": {"cpu": "1"}}))).unwrap();
    let refused = world.refusal(pod("web", json!({"limits": {"cpu": "2"}})));
    assert_eq!(refused, "pods \"web\" is forbidden: maximum cpu usage per Container is 1, but limit is 2");
}

#[test]
fn a_quota_is_charged_for_what_there_is_and_asks_for_what_it_limits() {
    let running = |name: &str, phase: &str| {
        let mut pod = pod(name, json!({"requests": {"cpu": "600m"}}));
        pod["status"] = json!({"phase": phase});
        ("", "pods", "team", pod)
    };
    let limits = json!({"hard": {"requests.cpu": "1", "pods": "5"}});
    let world = World::with(vec![quota("small", limits.clone()), running("old", "Running")]);
    world.create(pod("web", json!({"requests": {"cpu": "400m"}}))).unwrap();
    let refused = world.refusal(pod("web", json!({"requests": {"cpu": "500m"}})));
    let expect = "pods \"web\" is forbidden: exceeded quota: small, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1";
    assert_eq!(refused, expect);
    let refused = world.refusal(pod("web", json!({})));
    assert_eq!(refused, "pods \"web\" is forbidden: failed quota: small: must specify requests.cpu for: c");
    let ended = World::with(vec![quota("small", limits), running("old", "Succeeded")]);
    ended.create(pod("web", json!({"requests": {"cpu": "1"}}))).unwrap();
}

#[test]
fn a_quota_with_a_scope_is_about_the_pods_it_chooses() {
    let world = World::with(vec![quota("idle", json!({"hard": {"pods": "0"}, "scopes": ["BestEffort"]}))]);
    world.create(pod("web", json!({"requests": {"cpu": "1"}}))).unwrap();
    let refused = world.refusal(pod("web", json!({})));
    assert!(refused.ends_with("exceeded quota: idle, requested: pods=1, used: pods=0, limited: pods=0"), "{refused}");
    let map = Action::Create(Body::Value(json!({"metadata": {"name": "a"}})));
    world.ask("configmaps", "team", None, map).unwrap();
}

#[test]
fn a_resize_keeps_within_limit_ranges_and_quotas() {
    let mut running = pod("web", json!({"requests": {"cpu": "200m"}}));
    running["metadata"]["namespace"] = json!("team");
    let range = limit_range(json!({"type": "Container", "max": {"cpu": "1"}}));
    let small = quota("small", json!({"hard": {"requests.cpu": "500m"}}));
    let world = World::with(vec![range, small, ("", "pods", "team", running)]);
    let refusal = |request: &str, limit: &str| {
        let wanted = pod("web", json!({"requests": {"cpu": request}, "limits": {"cpu": limit}}));
        let action = Action::Update(Body::Value(wanted));
        world.ask_at("pods", "team", Some("web"), Subresource::Named("resize"), action).err().map(|it| it.message)
    };
    assert_eq!(refusal("500m", "1"), None);
    assert!(refusal("500m", "2").unwrap().contains("maximum cpu usage per Container is 1, but limit is 2"));
    assert!(refusal("600m", "1").unwrap().contains("exceeded quota: small"));
}

#[test]
fn a_pod_has_the_priority_of_its_class_or_of_the_default_one() {
    let world = World::with(vec![priority_class("high", 1000, false), priority_class("usual", 10, true)]);
    let with = |fields: Value| {
        let mut pod = pod("web", json!({}));
        pod["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        pod
    };
    for (fields, class, priority) in [
        (json!({}), "usual", 10),
        (json!({"priorityClassName": "high"}), "high", 1000),
        (json!({"priorityClassName": "system-node-critical"}), "system-node-critical", 2_000_001_000),
        (json!({"priority": 10}), "usual", 10),
    ] {
        let spec = world.create(with(fields.clone())).unwrap()["spec"].clone();
        assert_eq!((&spec["priorityClassName"], &spec["priority"]), (&json!(class), &json!(priority)), "{fields}");
        assert_eq!(spec["preemptionPolicy"], "PreemptLowerPriority");
    }
    let refused = world.refusal(with(json!({"priorityClassName": "none"})));
    assert_eq!(refused, "pods \"web\" is forbidden: no PriorityClass with name none was found");
    let refused = world.refusal(with(json!({"priority": 5})));
    assert!(refused.contains("the integer value of priority (5) must not be provided in pod spec"), "{refused}");
    let plain = World::with(Vec::new()).create(pod("web", json!({}))).unwrap();
    assert_eq!((&plain["spec"]["priority"], plain["spec"].get("priorityClassName")), (&json!(0), None));
}

#[test]
fn a_pod_whose_tolerations_are_replaced_keeps_those_every_pod_has() {
    let created = World::with(Vec::new()).create(pod("web", json!({}))).unwrap();
    let mut replaced = created.clone();
    replaced["metadata"]["uid"] = json!("uid-of-web");
    replaced["spec"]["tolerations"] = json!([{"key": "mine", "operator": "Exists"}]);
    let world = World::with(vec![("", "pods", "team", created)]);
    let (stored, _) = world.ask("pods", "team", Some("web"), Action::Update(Body::Value(replaced))).unwrap();
    let keys: Vec<&Value> = stored["spec"]["tolerations"].as_array().unwrap().iter().map(|it| &it["key"]).collect();
    assert_eq!(keys, ["mine", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
}

#[test]
fn a_pod_is_held_to_the_runtime_class_it_names() {
    let class = json!({"metadata": {"name": "gvisor"}, "handler": "runsc", "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"runtime": "gvisor"}, "tolerations": [{"key": "gvisor", "operator": "Exists"}]}});
    let world = World::with(vec![("node.k8s.io", "runtimeclasses", "", class)]);
    let with = |fields: Value| {
        let mut pod = pod("web", json!({}));
        pod["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        pod
    };
    let spec = world.create(with(json!({"runtimeClassName": "gvisor"}))).unwrap()["spec"].clone();
    assert_eq!((&spec["overhead"]["cpu"], &spec["nodeSelector"]["runtime"]), (&json!("10m"), &json!("gvisor")));
    assert!(spec["tolerations"].as_array().unwrap().iter().any(|it| it["key"] == "gvisor"));
    for (fields, why) in [
        (json!({"runtimeClassName": "none"}), "pod rejected: RuntimeClass \"none\" not found"),
        (json!({"overhead": {"cpu": "1"}}), "Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        (
            json!({"runtimeClassName": "gvisor", "overhead": {"cpu": "1"}}),
            "Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"runtimeClassName": "gvisor", "nodeSelector": {"runtime": "runc"}}),
            "conflict: runtimeClass.scheduling.nodeSelector[runtime] = gvisor; pod.spec.nodeSelector[runtime] = runc",
        ),
    ] {
        let refused = world.refusal(with(fields));
        assert!(refused.starts_with("pods \"web\" is forbidden: ") && refused.ends_with(why), "{refused}");
    }
}

#[test]
fn a_claim_without_a_class_gets_the_default_one() {
    let class = |name: &str, is_default: &str| {
        let annotations = json!({"storageclass.kubernetes.io/is-default-class": is_default});
        let class = json!({"metadata": {"name": name, "annotations": annotations}, "provisioner": "p"});
        ("storage.k8s.io", "storageclasses", "", class)
    };
    let world = World::with(vec![class("fast", "true"), class("slow", "false")]);
    let claim = |class: Value| {
        let mut claim = json!({"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        if !class.is_null() {
            claim["spec"]["storageClassName"] = class;
        }
        world.ask("persistentvolumeclaims", "team", None, Action::Create(Body::Value(claim))).unwrap().0
    };
    for (asked, given) in [(Value::Null, "fast"), (json!("slow"), "slow"), (json!(""), "")] {
        assert_eq!(claim(asked.clone())["spec"]["storageClassName"], given, "{asked}");
    }
}

#[test]
fn the_namespaces_a_cluster_cannot_be_without_stay() {
    let namespace = |name: &str| ("", "namespaces", "", json!({"metadata": {"name": name}}));
    let world = World::with(vec![namespace("kube-system")]);
    let delete = |name: &str| world.ask("namespaces", "", Some(name), Action::Delete(DeleteOptions::default()));
    let refused = delete("kube-system").unwrap_err();
    assert_eq!(refused.message, "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
    delete("team").unwrap();
}

#[test]
fn a_namespace_says_how_much_its_pods_may_ask_of_their_node() {
    let labelled =
        |name: &str, labels: Value| ("", "namespaces", "", json!({"metadata": {"name": name, "labels": labels}}));
    let account =
        |namespace: &'static str| ("", "serviceaccounts", namespace, json!({"metadata": {"name": "default"}}));
    let world = World::with(vec![
        labelled("strict", json!({"pod-security.kubernetes.io/enforce": "restricted"})),
        account("strict"),
        labelled("wary", json!({"pod-security.kubernetes.io/warn": "baseline"})),
        account("wary"),
    ]);
    let mut asks = pod("web", json!({}));
    asks["spec"]["hostPID"] = json!(true);
    let create = |namespace: &str| world.ask("pods", namespace, None, Action::Create(Body::Value(asks.clone())));
    let refused = create("strict").unwrap_err();
    let expect = "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": host namespaces (hostPID=true), allowPrivilegeEscalation != false";
    assert!(refused.code == 403 && refused.message.starts_with(expect), "{}", refused.message);
    let warned = create("wary").unwrap().1;
    assert_eq!(warned, ["would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"]);
    assert!(create("team").unwrap().1.is_empty());
}

/// Lets nobody look into a pod.
struct NoConnections;

impl Admission for NoConnections {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Connect
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        Err(request.forbidden(object, "nobody looks inside").into())
    }
}

#[test]
fn a_connection_is_admitted_though_nothing_is_written() {
    let connection = Connection { verb: Verb::Create, options: json!({"kind": "PodExecOptions"}) };
    let connect = |admissions: Vec<Box<dyn Admission>>| {
        let world = World::admitting(admissions, vec![("", "pods", "team", pod("web", json!({})))]);
        world.ask_at("pods", "team", Some("web"), Subresource::Named("exec"), Action::Connect(connection.clone()))
    };
    assert!(connect(Vec::new()).is_ok());
    let refused = connect(vec![Box::new(NoConnections)]).unwrap_err();
    assert_eq!(refused.message, "pods \"web\" is forbidden: nobody looks inside");
    let world = World::with(vec![("", "pods", "team", pod("web", json!({})))]);
    let whole = world.ask("pods", "team", Some("web"), Action::Connect(connection)).unwrap_err();
    assert_eq!(whole.code, 405);
}

#[test]
fn effects_are_asked_for_and_told_of_by_operators_alone() {
    let effect = json!({"metadata": {"name": "a.1", "namespace": "team", "finalizers": ["sampan.dev/unfinished"]},
        "spec": {"operator": "o", "effect": "e", "key": "k"}, "status": {"phase": "Pending"}});
    let world = World::with(vec![("sampan.dev", "effects", "team", effect.clone())]);
    let with = |pointer: &str, value: Value| {
        let mut effect = effect.clone();
        *effect.pointer_mut(pointer).unwrap() = value;
        Action::Update(Body::Value(effect))
    };
    let mut new = effect.clone();
    new["metadata"]["name"] = "b.2".into();
    let (nobodys, operators, anybodys) = (0, 1, 2);
    let cases = [
        (None, Action::Create(Body::Value(new)), operators),
        (Some("a.1"), with("/status", json!({"phase": "Done", "result": "forged"})), operators),
        (Some("a.1"), with("/spec/operator", "other".into()), nobodys),
        (Some("a.1"), with("/metadata/finalizers", json!([])), anybodys),
    ];
    let request = Origin::Request { user: "admin".into(), client: "kubectl".into(), verb: "update".into() };
    let manifest = Origin::Manifest { file: "a.yaml".into(), line: 1 };
    let node = Origin::Node { name: "n".into() };
    let decision = |operator: &str| Origin::Decision { operator: operator.into(), object: "x".into(), snapshot: 1 };
    let system = Origin::System { purpose: "what came of an effect".into() };
    let strangers = [request, manifest, node, decision("other")].map(|origin| (origin, anybodys));
    for (origin, may) in strangers.into_iter().chain([(decision("o"), operators), (system, nobodys)]) {
        for (name, action, whose) in cases.clone() {
            let served = world.gateway.registry().served("sampan.dev", "v1", "effects").unwrap();
            let mutation = Mutation {
                identity: Identity::new("admin", &["system:masters"]),
                origin: origin.clone(),
                target: Target {
                    served,
                    namespace: Some("team".into()),
                    name: name.map(Into::into),
                    subresource: Subresource::Whole,
                },
                action,
                options: Options::default(),
            };
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let prepared = world.gateway.prepare(&world.snapshot, now, &mut SeededEntropy::new(1), &mutation);
            let refused = prepared.err().map(|status| status.code);
            let expect = (whose < may).then_some(403);
            assert_eq!(refused, expect, "{origin:?}: {:?}", mutation.action);
        }
    }
}

#[test]
fn a_container_that_is_added_to_a_running_pod_keeps_to_the_policy_of_its_namespace() {
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let running = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "strict"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let world = World::with(vec![
        ("", "namespaces", "", json!({"metadata": {"name": "strict", "labels": labels}})),
        ("", "pods", "strict", running.clone()),
    ]);
    let add = |privileged: bool| {
        let mut pod = running.clone();
        let security = json!({"privileged": privileged});
        pod["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": "i", "securityContext": security}]);
        let action = Action::Update(Body::Value(pod));
        world.ask_at("pods", "strict", Some("web"), Subresource::Named("ephemeralcontainers"), action)
    };
    assert!(add(false).is_ok(), "{:?}", add(false));
    let refused = add(true).unwrap_err();
    assert!(refused.message.contains("violates PodSecurity \"baseline:latest\": privileged"), "{}", refused.message);
}
