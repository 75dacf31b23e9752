//! What Services are given: each address and port to one alone, whoever is faster, and back when it is let go.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::executor::block_on;
use jiff::Timestamp;
use sampan_core::entropy::{Entropy as _, SeededEntropy};
use sampan_core::gateway::{
    Action, Attempt, Body, Cluster, DeleteOptions, Gateway, Identity, Mutation, Next, Options, Outcome, PatchKind,
    Subresource, SystemAuthorizer, Target,
};
use sampan_core::resource::{Registry, SERVICES, builtin};
use sampan_core::status::Status;
use sampan_core::store::{Crash, MemoryBackend, MemoryDisk, Origin, Settings, Snapshot, Store};
use serde_json::{Value, json};

struct World(Cluster);

impl Default for World {
    fn default() -> Self {
        Self::over(MemoryBackend::default())
    }
}

impl World {
    fn over(backend: MemoryBackend) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), Vec::new());
        let store = Store::open(backend, Settings::default(), Arc::new(Timestamp::now)).unwrap();
        Self(Cluster::new(Arc::new(gateway), store, Timestamp::now, 7))
    }

    fn mutation(&self, name: Option<&str>, action: Action) -> Mutation {
        Mutation {
            identity: Identity::new("tester", &["system:masters"]),
            origin: Origin::Request { user: "tester".into(), client: "test".into(), verb: "update".into() },
            target: Target {
                served: self.0.registry().served("", "v1", "services").unwrap(),
                namespace: Some("default".into()),
                name: name.map(Into::into),
                subresource: Subresource::Whole,
            },
            action,
            options: Options::default(),
        }
    }

    fn settle(&self, mutation: Mutation) -> Result<Value, Status> {
        match block_on(self.0.mutate(mutation))? {
            Outcome::Object { object, .. } => Ok(object.value()),
            Outcome::Preview { object, .. } => Ok(*object),
        }
    }

    fn create(&self, name: &str, spec: Value) -> Result<Value, Status> {
        self.settle(self.mutation(None, Action::Create(Body::Value(service(name, spec)))))
    }

    fn patch(&self, name: &str, patch: Value) -> Result<Value, Status> {
        self.settle(self.mutation(Some(name), Action::Patch(PatchKind::Merge, Body::Value(patch))))
    }

    fn delete(&self, name: &str) {
        self.settle(self.mutation(Some(name), Action::Delete(DeleteOptions::default()))).unwrap();
    }

    fn services(&self) -> Vec<Value> {
        self.0.snapshot().list(SERVICES, None, None).map(|service| service.value()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.0.store().close();
    }
}

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn plain() -> Value {
    json!({"ports": [{"port": 80}]})
}

fn of_type(kind: &str) -> Value {
    json!({"type": kind, "ports": [{"port": 80}]})
}

fn node_port(service: &Value) -> i64 {
    service["spec"]["ports"][0]["nodePort"].as_i64().unwrap_or_default()
}

fn refused(answer: Result<Value, Status>) -> String {
    let status = answer.expect_err("it is refused");
    assert_eq!(status.code, 422, "{}", status.message);
    status.message
}

#[test]
fn a_service_is_given_an_address_of_the_range_beyond_those_users_name() {
    let world = World::default();
    let spec = &world.create("web", plain()).unwrap()["spec"];
    let address: std::net::Ipv4Addr = spec["clusterIP"].as_str().unwrap().parse().unwrap();
    let [a, b, c, _] = address.octets();
    assert!((a, b) == (10, 96) && c > 0, "{address}");
    assert_eq!(spec["clusterIPs"], json!([address]));
    assert_eq!((&spec["ipFamilies"], &spec["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
    assert_eq!(spec["internalTrafficPolicy"], "Cluster");
    assert!(spec["ports"][0].get("nodePort").is_none());
}

#[test]
fn headless_services_and_names_elsewhere_are_given_none() {
    let world = World::default();
    let headless = world.create("headless", json!({"clusterIP": "None", "selector": {"a": "b"}})).unwrap();
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    world.create("headless-too", json!({"clusterIP": "None", "selector": {"a": "b"}})).unwrap();
    let named = world.create("named", json!({"type": "ExternalName", "externalName": "a.example"})).unwrap();
    world.create("named-too", json!({"type": "ExternalName", "externalName": "a.example"})).unwrap();
    assert!(named["spec"].get("clusterIP").is_none() && named["spec"].get("clusterIPs").is_none());
}

#[test]
fn what_a_user_names_is_theirs_alone_until_it_is_deleted() {
    let world = World::default();
    let named = json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": [{"port": 80, "nodePort": 30080}]});
    world.create("one", named.clone()).unwrap();
    assert_eq!(
        refused(world.create("two", named.clone())),
        "Service \"two\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP \
         10.96.0.10: provided IP is already allocated"
    );
    let mut other = named.clone();
    other["clusterIP"] = json!("10.96.0.11");
    assert_eq!(
        refused(world.create("two", other)),
        "Service \"two\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
    );
    world.delete("one");
    world.create("two", named).unwrap();
}

#[test]
fn what_another_type_does_not_have_is_given_back() {
    let world = World::default();
    let kept = json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": [{"port": 80, "nodePort": 30080}]});
    world.create("one", kept.clone()).unwrap();
    let within = world.patch("one", json!({"spec": {"type": "ClusterIP"}})).unwrap();
    assert_eq!((&within["spec"]["clusterIP"], node_port(&within)), (&json!("10.96.0.10"), 0));
    world.patch("one", json!({"spec": {"type": "ExternalName", "externalName": "a.example"}})).unwrap();
    world.create("two", kept).unwrap();
    let again = world.patch("one", json!({"spec": {"type": "NodePort", "externalName": null}})).unwrap();
    assert_ne!(again["spec"]["clusterIP"], "10.96.0.10");
    assert!((30_086..=32_767).contains(&node_port(&again)), "{again}");
}

#[test]
fn an_update_keeps_what_the_service_has_and_is_given_what_it_lacks() {
    let world = World::default();
    let before = world.create("web", of_type("NodePort")).unwrap();
    let ports =
        json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}, {"name": "c", "port": 81, "protocol": "UDP"}]);
    let after = world.patch("web", json!({"spec": {"ports": ports}})).unwrap();
    assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);
    let ports: Vec<i64> =
        after["spec"]["ports"].as_array().unwrap().iter().filter_map(|port| port["nodePort"].as_i64()).collect();
    assert!(ports.len() == 3 && ports[0] != ports[1] && ports[1] == ports[2], "{ports:?}");
}

#[test]
fn a_balancer_with_local_traffic_is_given_a_port_for_health_checks() {
    let world = World::default();
    let mut spec = of_type("LoadBalancer");
    spec["externalTrafficPolicy"] = json!("Local");
    let local = world.create("local", spec).unwrap();
    let check = local["spec"]["healthCheckNodePort"].as_i64().unwrap();
    assert!((30_000..=32_767).contains(&check) && check != node_port(&local), "{local}");
    let mut same = of_type("NodePort");
    same["ports"][0]["nodePort"] = json!(check);
    assert!(refused(world.create("same", same.clone())).ends_with("provided port is already allocated"));
    let cluster = world.patch("local", json!({"spec": {"externalTrafficPolicy": "Cluster"}})).unwrap();
    assert!(cluster["spec"].get("healthCheckNodePort").is_none());
    world.create("same", same).unwrap();
}

#[test]
fn a_balancer_may_do_without_node_ports_and_still_name_one() {
    let world = World::default();
    let mut spec = of_type("LoadBalancer");
    spec["allocateLoadBalancerNodePorts"] = json!(false);
    assert_eq!(node_port(&world.create("without", spec.clone()).unwrap()), 0);
    spec["ports"][0]["nodePort"] = json!(30_001);
    assert_eq!(node_port(&world.create("named", spec).unwrap()), 30_001);
}

/// Writes that were all prepared on one snapshot, as requests are that come at once.
#[test]
fn those_who_come_at_once_are_given_different_numbers_also_where_few_are_left() {
    let world = World::default();
    for index in 0..2_700 {
        world.create(&format!("there-{index}"), of_type("NodePort")).unwrap();
    }
    let mut under_way: Vec<(Attempt, Box<_>)> = Vec::new();
    let (snapshot, mut entropy) = (world.0.snapshot(), SeededEntropy::new(1));
    let mut prepare = |attempt: &mut Attempt, snapshot: &Snapshot| match attempt
        .prepare(world.0.gateway(), snapshot, Timestamp::now(), &mut entropy)
        .unwrap()
    {
        Next::Commit(write) => write,
        Next::Settled(_) | Next::Ask(_) => panic!("it is no dry run, and there are no webhooks"),
    };
    for index in 0..30 {
        let body = Body::Value(service(&format!("new-{index}"), of_type("NodePort")));
        let mut attempt = Attempt::new(world.mutation(None, Action::Create(body)), None);
        let write = prepare(&mut attempt, &snapshot);
        under_way.push((attempt, write));
    }
    let mut again = 0;
    for (mut attempt, mut write) in under_way {
        while attempt.answered(block_on(world.0.store().commit(*write))).is_none() {
            again += 1;
            let snapshot = world.0.snapshot();
            write = prepare(&mut attempt, &snapshot);
        }
    }
    assert!(again > 0, "nobody was ever slower");
    let services = world.services();
    let ports: BTreeSet<i64> = services.iter().map(node_port).collect();
    let addresses: BTreeSet<&str> = services.iter().filter_map(|it| it["spec"]["clusterIP"].as_str()).collect();
    assert_eq!((services.len(), ports.len(), addresses.len()), (2_730, 2_730, 2_730));
}

#[test]
fn a_full_range_is_said_to_be_full_and_takes_whoever_comes_once_one_has_gone() {
    let world = World::default();
    for index in 0..2_768 {
        world.create(&format!("there-{index}"), of_type("NodePort")).unwrap();
    }
    let message = refused(world.create("late", of_type("NodePort")));
    assert!(message.ends_with("failed to allocate a nodePort: range is full"), "{message}");
    let freed = node_port(&world.services()[100]);
    let name = world.services()[100]["metadata"]["name"].as_str().unwrap().to_owned();
    world.delete(&name);
    assert_eq!(node_port(&world.create("late", of_type("NodePort")).unwrap()), freed);
}

#[test]
fn a_crash_at_any_commit_neither_leaks_nor_doubles() {
    let fixed = |port: i64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let ports: Vec<i64> = (30_000..30_006).collect();
    for (at, crash) in (0..ports.len()).flat_map(|at| [(at, Crash::BeforeDurable), (at, Crash::AfterDurable)]) {
        let disk = MemoryDisk::default();
        let world = World::over(disk.restart());
        for (index, port) in ports.iter().enumerate().take(at + 1) {
            if index == at {
                disk.crash_next(crash);
            }
            let answer = world.create(&format!("one-{index}"), fixed(*port));
            assert_eq!(answer.is_err(), index == at, "{at} {crash:?}");
        }
        drop(world);
        let world = World::over(disk.restart());
        let kept = world.services().len();
        assert_eq!(kept, at + usize::from(crash == Crash::AfterDurable), "{at} {crash:?}");
        for (index, port) in ports.iter().enumerate() {
            let answer = world.create(&format!("two-{index}"), fixed(*port));
            assert_eq!(answer.is_ok(), index >= kept, "{at} {crash:?}: port {port}");
        }
        let given: BTreeSet<i64> = world.services().iter().map(node_port).collect();
        assert_eq!(given, ports.iter().copied().collect());
    }
}

#[test]
fn numbers_stay_given_out_across_a_restart() {
    let disk = MemoryDisk::default();
    let given = {
        let world = World::over(disk.restart());
        world.create("web", of_type("NodePort")).unwrap()
    };
    let world = World::over(disk.restart());
    assert_eq!(world.services()[0]["spec"], given["spec"]);
    let same = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": node_port(&given)}]});
    assert!(refused(world.create("same", same)).ends_with("provided port is already allocated"));
}

/// Everything a Service has: its address, and its node ports.
fn numbers(service: &Value) -> Vec<String> {
    let spec = &service["spec"];
    let address = spec["clusterIP"].as_str().filter(|address| *address != "None").map(str::to_owned);
    let ports = spec["ports"].as_array().into_iter().flatten().filter_map(|port| port["nodePort"].as_i64());
    let ports: BTreeSet<i64> = ports.chain(spec["healthCheckNodePort"].as_i64()).collect();
    address.into_iter().chain(ports.into_iter().map(|port| port.to_string())).collect()
}

/// Whether a Service has what its type has, and nothing else.
fn is_whole(service: &Value) -> bool {
    let spec = &service["spec"];
    let (kind, ports) = (spec["type"].as_str().unwrap(), spec["ports"].as_array().into_iter().flatten());
    let is_named = kind == "ExternalName";
    let all = ports.clone().all(|port| port["nodePort"].is_i64());
    let none = ports.clone().all(|port| port["nodePort"].is_null());
    let is_checked = kind == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local";
    spec["clusterIP"].is_string() != is_named
        && if ["NodePort", "LoadBalancer"].contains(&kind) { all } else { none }
        && spec["healthCheckNodePort"].is_i64() == is_checked
}

/// A wish for the Service of a name: a number of a few is named, so that wishes meet.
fn wish(chance: &mut SeededEntropy) -> Value {
    let kind = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"][(chance.next_u64() % 4) as usize];
    let mut spec = json!({"type": kind, "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]});
    if kind == "ExternalName" {
        spec["externalName"] = json!("a.example");
        return spec;
    }
    if chance.next_u64().is_multiple_of(2) {
        spec["clusterIP"] = json!(format!("10.96.0.{}", 10 + chance.next_u64() % 4));
    }
    if kind != "ClusterIP" && chance.next_u64().is_multiple_of(2) {
        spec["ports"][0]["nodePort"] = json!(30_000 + chance.next_u64() % 4);
    }
    if kind == "LoadBalancer" && chance.next_u64().is_multiple_of(2) {
        spec["externalTrafficPolicy"] = json!("Local");
    }
    spec
}

#[test]
fn whatever_is_asked_for_and_whenever_it_crashes_no_number_has_two_owners_and_none_is_lost() {
    let (mut refusals, mut crashes) = (0, 0);
    for seed in 0..30 {
        let (disk, mut chance) = (MemoryDisk::default(), SeededEntropy::new(seed));
        let mut world = World::over(disk.restart());
        for _ in 0..40 {
            let name = format!("s-{}", chance.next_u64() % 6);
            match chance.next_u64() % 8 {
                0 => disk.crash_next(Crash::BeforeDurable),
                1 => disk.crash_next(Crash::AfterDurable),
                _ => {}
            }
            let exists = world.services().iter().any(|it| it["metadata"]["name"] == *name);
            let answer = match (exists, chance.next_u64() % 3) {
                (false, _) => world.create(&name, wish(&mut chance)),
                (true, 0) => world.settle(world.mutation(Some(&name), Action::Delete(DeleteOptions::default()))),
                (true, _) => world.patch(&name, json!({"spec": wish(&mut chance)})),
            };
            if disk.is_crashing() && answer.as_ref().is_err_and(|status| status.code != 422) {
                crashes += 1;
                drop(world);
                world = World::over(disk.restart());
            } else if let Err(status) = answer {
                assert_eq!(status.code, 422, "{}", status.message);
                refusals += 1;
            }
            let services = world.services();
            let given: Vec<String> = services.iter().flat_map(numbers).collect();
            let owned: BTreeSet<&String> = given.iter().collect();
            assert_eq!(owned.len(), given.len(), "seed {seed}: {given:?}");
            assert!(services.iter().all(is_whole), "seed {seed}: {services:#?}");
        }
        drop(world);
        let world = World::over(disk.restart());
        let given: BTreeSet<String> = world.services().iter().flat_map(numbers).collect();
        for port in 30_000..30_004 {
            let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
            let is_free = !given.contains(&port.to_string());
            assert_eq!(world.create(&format!("last-{port}"), spec).is_ok(), is_free, "seed {seed}: port {port}");
        }
    }
    assert!(refusals > 30 && crashes > 30, "{refusals} refusals, {crashes} crashes");
}
