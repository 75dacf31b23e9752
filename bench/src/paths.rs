//! By way of a Service's address, and straight to the pod: what the way costs.

use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::Setup;
use sampan_system_tests::load::doors;
use sampan_system_tests::manifest::served_web;
use sampan_system_tests::wire::{Request, exchange};

use crate::figures::{Budget, Report, Samples};
use crate::pods;

const ASKED: usize = 3_000;
const CLIENTS: usize = 8;
const LENGTH: Duration = Duration::from_secs(3);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &served_web("sampan-demo:v1", 1)).start()?;
    pods::wait_until_ready(&cluster, 1)?;
    let [address, _] = doors(&cluster, "web")?;
    let pods = cluster.list("/api/v1/namespaces/default/pods")?;
    let pod = pods.first().and_then(|pod| pod.pointer("/status/podIP")?.as_str()).context("no pod")?;
    let ways = [("the pod's address", format!("{pod}:8080").parse()?), ("the Service's address", address)];
    for (kind, keeps) in [("a connection each", false), ("kept connections", true)] {
        let mut medians = Vec::new();
        for ((way, _), samples) in ways.iter().zip(taking_turns(&ways, keeps)?) {
            report.figure(&format!("HTTP by {way}, {kind}, p50"), samples.percentile_ms(50), "ms", Budget::Shown);
            report.figure(&format!("HTTP by {way}, {kind}, p99"), samples.percentile_ms(99), "ms", Budget::Shown);
            medians.push(samples.percentile_ms(50));
        }
        if let [straight, led] = medians[..] {
            report.figure(&format!("what the Service adds, {kind}, p50"), led - straight, "ms", Budget::AtMost(0.1));
        }
        for (way, door) in ways {
            let rate = rate(door, keeps)?;
            report.figure(&format!("HTTP by {way}, {kind}, {CLIENTS} clients"), rate, "1/s", Budget::Shown);
        }
    }
    Ok(())
}

/// Asks by one way and by the other in turn, so that what else the machine does falls on both alike.
fn taking_turns(ways: &[(&str, SocketAddr); 2], keeps: bool) -> Result<Vec<Samples>> {
    let mut clients: Vec<Client> = ways.iter().map(|(_, door)| Client::new(*door, keeps)).collect();
    let mut samples = vec![Samples::default(); ways.len()];
    for _ in 0..ASKED {
        for (client, samples) in clients.iter_mut().zip(&mut samples) {
            let started = Instant::now();
            client.ask()?;
            samples.add(started.elapsed());
        }
    }
    Ok(samples)
}

/// Requests a second of clients that ask as soon as they were answered.
fn rate(door: SocketAddr, keeps: bool) -> Result<f64> {
    let started = Instant::now();
    let asked = std::thread::scope(|scope| {
        let ask = move || -> Result<usize> {
            let (mut client, mut asked) = (Client::new(door, keeps), 0);
            while started.elapsed() < LENGTH {
                client.ask()?;
                asked += 1;
            }
            Ok(asked)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .sum::<Result<usize>>()
    })?;
    Ok(asked as f64 / started.elapsed().as_secs_f64())
}

/// A client that asks one thing after the other.
struct Client {
    door: SocketAddr,
    keeps: bool,
    kept: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(door: SocketAddr, keeps: bool) -> Self {
        Self { door, keeps, kept: None }
    }

    fn ask(&mut self) -> Result<()> {
        let mut connection = self.kept.take().map_or_else(|| open(self.door), Ok)?;
        let request =
            Request { method: "GET", host: "web", path: "/", accept: "*/*", content_type: "text/plain", body: b"" };
        let answer = exchange(&mut connection, &request)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        self.kept = Some(connection).filter(|_| self.keeps && !answer.closes());
        Ok(())
    }
}

fn open(door: SocketAddr) -> Result<BufReader<TcpStream>> {
    let connection = TcpStream::connect(door)?;
    connection.set_nodelay(true)?;
    Ok(BufReader::new(connection))
}
