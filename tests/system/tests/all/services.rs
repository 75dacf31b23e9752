//! Services: addresses that stay, and endpoints that follow pods.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::manifest::{pod, web};
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::Value;

use crate::workloads::{PODS, wait_for_rollout, web_pods};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// The endpoints of a Service, from its slices.
fn endpoints(cluster: &Cluster, service: &str) -> Result<Vec<Value>> {
    let slices = cluster.list(&format!("{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3D{service}"))?;
    let endpoints = slices.iter().filter_map(|slice| slice.get("endpoints")?.as_array());
    Ok(endpoints.flatten().cloned().collect())
}

fn is_ready(endpoint: &Value) -> bool {
    endpoint.pointer("/conditions/ready") == Some(&Value::Bool(true))
}

fn address(endpoint: &Value) -> Option<&str> {
    endpoint.pointer("/addresses/0")?.as_str()
}

/// Waits until the ready endpoints of `web` are the pods of `web`, as many as that.
fn follow(cluster: &Cluster, count: usize) -> Result<()> {
    eventually(&format!("{count} endpoints that are the pods"), SOON, || {
        let pods = web_pods(cluster)?;
        let pods: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.pointer("/status/podIP")?.as_str()).collect();
        let endpoints = endpoints(cluster, "web")?;
        let ready: BTreeSet<&str> = endpoints.iter().filter(|it| is_ready(it)).filter_map(address).collect();
        Ok((ready.len() == count && ready == pods).then_some(()))
    })
}

#[test]
fn what_is_exposed_has_an_address_and_its_endpoints_follow_scaling() -> Result<()> {
    let cluster = Setup::simulated(3).start()?;
    cluster.try_kubectl(&["create", "-f", "-"], &web("sampan-demo:v1", 3))?.succeeded()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 3)?;
    cluster.kubectl(&["expose", "deployment", "web", "--port", "80", "--target-port", "8080"])?;
    let shown =
        cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP} {.spec.clusterIPs[0]}"])?;
    let (given, listed) = shown.split_once(' ').context("no address")?;
    ensure!(given.starts_with("10.96.") && given == listed, "{shown}");
    follow(&cluster, 3)?;
    cluster.kubectl(&["scale", "deployment", "web", "--replicas", "5"])?;
    follow(&cluster, 5)?;
    let listed = cluster.kubectl(&["get", "endpoints", "web", "--no-headers"])?;
    ensure!(listed.contains(":8080,") && listed.contains("+ 2 more..."), "{listed}");
    let told = cluster.kubectl(&["get", "endpointslices", "-l", "kubernetes.io/service-name=web", "--no-headers"])?;
    ensure!(told.lines().count() == 1 && told.contains("IPv4") && told.contains("8080"), "{told}");
    cluster.kubectl(&["scale", "deployment", "web", "--replicas", "0"])?;
    follow(&cluster, 0)?;
    eventually("no endpoints", SOON, || {
        let listed = cluster.kubectl(&["get", "endpoints", "web", "--no-headers"])?;
        Ok(listed.contains("<none>").then_some(()))
    })?;
    cluster.kubectl(&["delete", "service", "web"])?;
    eventually("nothing of it is left", SOON, || {
        let left = cluster.kubectl(&["get", "endpoints,endpointslices", "-o", "name"])?;
        Ok((!left.contains("web")).then_some(()))
    })
}

#[test]
fn addresses_and_ports_are_one_services_alone_also_after_a_crash() -> Result<()> {
    let mut cluster = Setup::simulated(1).start()?;
    for name in ["one", "two", "three"] {
        cluster.kubectl(&["create", "service", "nodeport", name, "--tcp", "80"])?;
    }
    let given = |cluster: &Cluster| {
        cluster.kubectl(&[
            "get",
            "services",
            "-o",
            "jsonpath={range .items[*]}{.metadata.name} {.spec.clusterIP} {.spec.ports[0].nodePort}{\"\\n\"}{end}",
        ])
    };
    let before = given(&cluster)?;
    ensure!(before.contains("kubernetes 10.96.0.1 "), "{before}");
    cluster.kill()?;
    cluster.up()?;
    ensure!(given(&cluster)? == before, "before:\n{before}after:\n{}", given(&cluster)?);
    let taken = before.lines().find_map(|line| line.strip_prefix("one ")).context("no service `one`")?;
    let (address, port) = taken.split_once(' ').context("no node port")?;
    cluster
        .try_kubectl(&["create", "service", "clusterip", "four", "--tcp", "80", "--clusterip", address], "")?
        .failed()?
        .complains(&format!("failed to allocate IP {address}: provided IP is already allocated"))?;
    cluster
        .try_kubectl(&["create", "service", "nodeport", "four", "--tcp", "80", "--node-port", port], "")?
        .failed()?
        .complains("provided port is already allocated")?;
    cluster.kubectl(&["delete", "service", "one"])?;
    cluster.kubectl(&["create", "service", "nodeport", "four", "--tcp", "80", "--node-port", port]).map(drop)
}

#[test]
fn a_pod_that_is_deleted_takes_no_new_connections_and_is_listed_until_it_has_ended() -> Result<()> {
    // Its only process has no handler for SIGTERM, so that it lives as long as its grace lets it.
    let slow = pod("slow", &["sleep", "600"]).replace("test: slow", "app: slow");
    let slow = slow.replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 8");
    let cluster = Setup::docker().start()?;
    cluster.try_kubectl(&["create", "-f", "-"], &slow)?.succeeded()?;
    cluster.kubectl(&["create", "service", "clusterip", "slow", "--tcp", "80:8080"])?;
    let all = |what: &str, expected: [bool; 3]| {
        eventually(what, SOON, || {
            let endpoints = endpoints(&cluster, "slow")?;
            let conditions = ["ready", "serving", "terminating"];
            let is_so = |endpoint: &Value| {
                let told =
                    conditions.map(|name| endpoint.pointer(&format!("/conditions/{name}")) == Some(&true.into()));
                told == expected
            };
            Ok((endpoints.len() == 1 && endpoints.iter().all(is_so)).then_some(()))
        })
    };
    all("the pod is an endpoint", [true, true, false])?;
    cluster.kubectl(&["delete", "pod", "slow", "--wait=false"])?;
    all("the pod is on its way out", [false, true, true])?;
    eventually("the pod is gone, and its endpoint", SOON, || {
        let is_gone = cluster.object(&format!("{PODS}/slow"))?.is_none();
        Ok((is_gone && endpoints(&cluster, "slow")?.is_empty()).then_some(()))
    })
}

#[test]
fn the_service_kubernetes_leads_to_an_api_server_that_answers() -> Result<()> {
    let cluster = Setup::docker().start()?;
    let told = eventually("the API server's endpoint", SOON, || {
        let told = cluster.kubectl(&[
            "get",
            "endpointslice",
            "kubernetes",
            "-o",
            "jsonpath={.endpoints[0].addresses[0]}:{.ports[0].port}",
        ])?;
        Ok((!told.starts_with(':')).then_some(told))
    })?;
    let same = cluster.kubectl(&["get", "endpoints", "kubernetes", "--no-headers"])?;
    ensure!(same.contains(&told), "{same} does not hold {told}");
    let address = told.parse().with_context(|| format!("{told} is no address"))?;
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).context("nobody listens there")?;
    cluster.kubectl(&["delete", "service,endpoints,endpointslice", "kubernetes"])?;
    eventually("they are back", SOON, || {
        let back = cluster.try_kubectl(&["get", "service,endpoints,endpointslice", "kubernetes"], "")?;
        Ok((back.stdout.contains("10.96.0.1") && back.stdout.matches(&told).count() == 1).then_some(()))
    })
}

/// Pods run, and who looks for Services is told what is missing.
#[test]
fn a_node_without_nftables_says_so_and_runs_pods() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let programs: &'static str = folder.path().to_string_lossy().into_owned().leak();
    let cluster = Setup::docker().finding_programs_in(programs).start()?;
    cluster.try_kubectl(&["create", "-f", "-"], &web("sampan-demo:v1", 1))?.succeeded()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", 1)?;
    let told = ["Services are not served on this node", "nft", "Is nftables installed"];
    eventually("it is told", SOON, || Ok(told.iter().all(|part| cluster.log().contains(part)).then_some(())))
}
