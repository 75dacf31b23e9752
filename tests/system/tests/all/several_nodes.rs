//! Several nodes, each a machine of its own with a Docker of its own.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::{SOON, condition};
use sampan_system_tests::manifest::{service, web};
use sampan_system_tests::{Cluster, Machine, Network, Node, Setup, eventually};
use serde_json::Value;

use crate::kubectl_table::{play, tables};
use crate::workloads::PODS;

/// Silence for 50 s is a lost node; the rest is for its pods to come up elsewhere.
const GIVEN_UP_WITHIN: Duration = Duration::from_mins(3);
/// Connections after which each of two endpoints has surely been drawn once.
const DRAWS: usize = 60;
const CALL: Duration = Duration::from_secs(5);

/// A pod of the Service `web` on each node.
fn everywhere() -> String {
    "apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: web
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: sampan-demo:v1
          readinessProbe:
            httpGet: {path: /readyz, port: 8080}
            periodSeconds: 1
"
    .to_owned()
}

/// A Deployment whose pods leave a lost node at once.
fn roaming() -> String {
    let tolerations = "      tolerations:
        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      terminationGracePeriodSeconds";
    let roaming = web("sampan-demo:v1", 2).replace("      terminationGracePeriodSeconds", tolerations);
    roaming.replace("name: web", "name: roaming").replace("app: web", "app: roaming")
}

/// A pod of the DaemonSet: its name, node and address.
#[derive(Debug, Clone)]
struct Pod {
    name: String,
    address: String,
}

/// The pod of `web` on a node, once it is ready.
fn pod_on(cluster: &Cluster, node: &str) -> Result<Pod> {
    eventually(&format!("a pod is ready on {node}"), SOON, || {
        let pods = cluster.list(&format!("{PODS}?labelSelector=app%3Dweb&fieldSelector=spec.nodeName%3D{node}"))?;
        let text = |pod: &Value, field: &str| pod.pointer(field).and_then(Value::as_str).map(str::to_owned);
        let ready = pods.iter().find(|pod| condition(pod, "Ready") == Some("True"));
        Ok(ready.and_then(|pod| Some(Pod { name: text(pod, "/metadata/name")?, address: text(pod, "/status/podIP")? })))
    })
}

/// What a pod is answered at an address.
fn asked_by(cluster: &Cluster, pod: &Pod, address: &str) -> Result<String> {
    cluster.kubectl(&["exec", &pod.name, "--", "/demo", "get", &format!("{address}/")])
}

/// What this machine is answered at an address.
fn asked_from_here(address: SocketAddr) -> Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, CALL)?;
    connection.set_read_timeout(Some(CALL))?;
    write!(connection, "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Which of the pods answer, over many questions.
fn answering(pods: &[&Pod], mut ask: impl FnMut() -> Result<String>) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for _ in 0..DRAWS {
        let answer = ask()?;
        let from = pods.iter().find(|pod| answer.contains(&format!("from {},", pod.name)));
        found.insert(from.with_context(|| format!("not one of the pods: {answer}"))?.name.clone());
        if found.len() == pods.len() {
            break;
        }
    }
    Ok(found)
}

fn names(pods: &[&Pod]) -> BTreeSet<String> {
    pods.iter().map(|pod| pod.name.clone()).collect()
}

#[test]
fn pods_and_services_are_reached_across_nodes_and_a_lost_node_is_left() -> Result<()> {
    let network = Network::new()?;
    let machines = [2, 3].map(|number| Machine::new(&network, number, &["sampan-demo:v1"]));
    let [first, second] = machines;
    let (first, second) = (first?, second?);
    let cluster = Setup::without_node().at(network.here()).start()?;
    let _kept = Node::join(&cluster, "first", first.place())?;
    let mut lost = Node::join(&cluster, "second", second.place())?;
    ranges_are_given_once(&cluster)?;
    play(&cluster, tables("tests/kubectl_machines")?)?;

    let manifests = [everywhere(), service("web", ""), roaming()].join("---\n");
    cluster.try_kubectl(&["create", "-f", "-"], &manifests)?.succeeded()?;
    let (one, other) = (pod_on(&cluster, "first")?, pod_on(&cluster, "second")?);
    let both = [&one, &other];
    for (from, to) in [(&one, &other), (&other, &one)] {
        let answer = asked_by(&cluster, from, &format!("{}:8080", to.address))?;
        ensure!(answer.contains(&format!("from {},", to.name)), "pod to pod: {answer}");
        let log = cluster.kubectl(&["logs", &to.name])?;
        ensure!(log.contains("GET / 200"), "{log}");
    }

    let address = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"])?;
    for asking in both {
        for place in [format!("{address}:80"), "web.default.svc.cluster.local:80".to_owned()] {
            let found = answering(&both, || asked_by(&cluster, asking, &place))?;
            ensure!(found == names(&both), "{} finds {found:?} at {place}", asking.name);
        }
    }

    let port = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"])?.parse()?;
    let doors = [(&first, &one), (&second, &other)]
        .map(|(machine, pod)| (SocketAddr::new(machine.address().into(), port), pod));
    for (door, _) in doors {
        let found = answering(&both, || asked_from_here(door))?;
        ensure!(found == names(&both), "at {door}: {found:?}");
    }
    cluster.kubectl(&["patch", "service", "web", "-p", r#"{"spec": {"externalTrafficPolicy": "Local"}}"#])?;
    for (door, own) in doors {
        eventually(&format!("{door} leads to its own pod alone"), SOON, || {
            let found = answering(&both, || asked_from_here(door))?;
            Ok((found == names(&[own])).then_some(()))
        })?;
    }

    lost.kill()?;
    second.cut_off()?;
    the_lost_node_is_left(&cluster)?;
    let routes = || -> Result<String> { Ok(first.run("ip", &["route", "show", "proto", "83"])?.succeeded()?.stdout) };
    ensure!(routes()?.contains(&format!("via {}", second.address())), "{}", routes()?);
    cluster.kubectl(&["delete", "node", "second"])?;
    eventually("there is no way any more to a node that is gone", SOON, || Ok(routes()?.is_empty().then_some(())))
}

fn ranges_are_given_once(cluster: &Cluster) -> Result<()> {
    let nodes = cluster.list("/api/v1/nodes")?;
    let ranges = nodes.iter().filter_map(|node| node.pointer("/spec/podCIDR")?.as_str());
    let ranges: BTreeSet<&str> = ranges.filter(|range| range.starts_with("10.244.")).collect();
    ensure!(ranges.len() == 2, "{ranges:?}");
    Ok(())
}

fn the_lost_node_is_left(cluster: &Cluster) -> Result<()> {
    eventually("the lost node is not ready", GIVEN_UP_WITHIN, || {
        let node = cluster.object("/api/v1/nodes/second")?.context("no such node")?;
        Ok((condition(&node, "Ready") == Some("Unknown")).then_some(()))
    })?;
    eventually("its pods are up elsewhere", GIVEN_UP_WITHIN, || {
        let pods = cluster.list(&format!("{PODS}?labelSelector=app%3Droaming&fieldSelector=spec.nodeName%3Dfirst"))?;
        let ready = pods.iter().filter(|pod| condition(pod, "Ready") == Some("True")).count();
        Ok((ready == 2).then_some(()))
    })
}
