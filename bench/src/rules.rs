//! A Service changes: how long until the kernel leads by it, among ten Services and among ten thousand.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::api::Credentials;
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Api, Cluster, Setup, eventually};
use serde_json::{Value, json};

use crate::figures::{Budget, Report, Samples};

const SERVICES: [usize; 3] = [10, 1_000, 10_000];
const CHANGES: usize = 200;
/// Clients that make Services.
const MAKERS: usize = 8;
/// The ports of the node the Service changes between.
const NODE_PORTS: [u16; 2] = [32_701, 32_702];
/// How often it is tried whether the kernel leads; a core is left to who is measured.
const TRY_EVERY: Duration = Duration::from_micros(100);

const SERVICES_PATH: &str = "/api/v1/namespaces/default/services";
const SLICES_PATH: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::docker().start()?;
    let credentials = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?;
    probe(&cluster)?;
    let (mut made, mut medians) = (0, Vec::new());
    for count in SERVICES {
        make(&credentials, made..count)?;
        made = count;
        let samples = changes(&credentials)?;
        let what = |percent: usize| format!("Service change → rule in the kernel, {count} Services, p{percent}");
        report.figure(&what(50), samples.percentile_ms(50), "ms", Budget::Shown);
        report.figure(&what(99), samples.percentile_ms(99), "ms", Budget::AtMost(5.0));
        medians.push(samples.percentile_ms(50));
    }
    if let [few, .., many] = medians[..] {
        report.figure("the same, 10 000 Services over 10, p50", many / few, "×", Budget::AtMost(1.5));
    }
    Ok(())
}

/// A Service that leads to the API server, because that listens where pods can be reached.
fn probe(cluster: &Cluster) -> Result<()> {
    let path = format!("{SLICES_PATH}/kubernetes");
    let mut slice = eventually("the endpoint of the API server", SOON, || cluster.object(&path))?;
    let mut api = cluster.api()?;
    made(api.create(SERVICES_PATH, &service("probe", NODE_PORTS.first().copied()))?.status)?;
    let fields = slice.as_object_mut().context("no slice")?;
    fields.insert("metadata".to_owned(), slice_metadata("probe"));
    made(api.create(SLICES_PATH, &slice)?.status)
}

fn made(status: u16) -> Result<()> {
    ensure!(status == 201, "not made: {status}");
    Ok(())
}

/// A Service without a selector: its endpoints are made by hand, so that no pods are needed.
fn service(name: &str, node_port: Option<u16>) -> Value {
    let port = json!({"name": "https", "port": 443, "nodePort": node_port});
    let kind = if node_port.is_some() { "NodePort" } else { "ClusterIP" };
    json!({"metadata": {"name": name}, "spec": {"type": kind, "ports": [port]}})
}

fn slice_metadata(service: &str) -> Value {
    json!({"name": service, "labels": {"kubernetes.io/service-name": service}})
}

/// Makes Services of two endpoints each.
fn make(credentials: &Credentials, numbers: std::ops::Range<usize>) -> Result<()> {
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS)
            .map(|maker| {
                let numbers = numbers.clone().filter(move |number| number % MAKERS == maker);
                scope.spawn(move || make_each(credentials.connect(), numbers))
            })
            .collect();
        makers.into_iter().try_for_each(|maker| maker.join().map_err(|_| anyhow::anyhow!("a maker panicked"))?)
    })
}

fn make_each(mut api: Api, numbers: impl Iterator<Item = usize>) -> Result<()> {
    for number in numbers {
        let name = format!("s{number}");
        made(api.create(SERVICES_PATH, &service(&name, None))?.status)?;
        let endpoint =
            |last: usize| json!({"addresses": [format!("10.1.{}.{}", number / 100, number % 100 * 2 + last)]});
        let slice = json!({
            "metadata": slice_metadata(&name), "addressType": "IPv4", "ports": [{"name": "https", "port": 443}],
            "endpoints": [endpoint(1), endpoint(2)],
        });
        made(api.create(SLICES_PATH, &slice)?.status)?;
    }
    Ok(())
}

/// Changes the port of the node again and again; each time, from the request to the first connection that is led.
fn changes(credentials: &Credentials) -> Result<Samples> {
    let (mut api, mut samples) = (credentials.connect(), Samples::default());
    let [.., last] = NODE_PORTS;
    // The first comes behind what was just made.
    change(&mut api, last)?;
    for port in NODE_PORTS.into_iter().cycle().take(CHANGES) {
        samples.add(change(&mut api, port)?);
    }
    Ok(samples)
}

fn change(api: &mut Api, port: u16) -> Result<Duration> {
    let change = json!({"spec": {"ports": [{"name": "https", "port": 443, "nodePort": port}]}}).to_string();
    let started = Instant::now();
    let path = format!("{SERVICES_PATH}/probe");
    let answer = api.send("PATCH", &path, "application/merge-patch+json", change.as_bytes())?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    let door = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect(door).is_err() {
        ensure!(started.elapsed() < SOON, "nobody is led to port {port}");
        std::thread::sleep(TRY_EVERY);
    }
    Ok(started.elapsed())
}
