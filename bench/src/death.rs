//! A pod dies without a word: what its news passes until nobody is led to it any more, and how long that takes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sampan_system_tests::cluster::condition;
use sampan_system_tests::docker::{containers_of, docker};
use sampan_system_tests::load::doors;
use sampan_system_tests::manifest::served_web;
use sampan_system_tests::{Cluster, Load, Setup, run};
use serde_json::Value;

use crate::figures::{Budget, Report, Samples};
use crate::pods;

/// Each dies once: who was restarted before is kept waiting.
const PODS: usize = 10;
const PER_SECOND: u32 = 1_000;
const WITHIN: Duration = Duration::from_secs(10);

/// What is told of a pod's death, in the order it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Station {
    Docker,
    Status,
    Endpoints,
    Kernel,
}

const STATIONS: [(Station, &str); 4] = [
    (Station::Docker, "Docker tells"),
    (Station::Status, "the pod's status says so"),
    (Station::Endpoints, "its endpoint is not ready"),
    (Station::Kernel, "the kernel's rules follow"),
];

/// Who tells, of which pod, and when. The kernel names none.
type News = (Station, String, Instant);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &served_web("sampan-demo:v1", PODS)).start()?;
    pods::wait_until_ready(&cluster, PODS)?;
    let doors = doors(&cluster, "web")?;
    let (told, news) = channel();
    let _listening = listen(&cluster, told)?;
    let mut samples = vec![Samples::default(); STATIONS.len()];
    let mut led_on = Samples::default();
    for pod in cluster.list("/api/v1/namespaces/default/pods")? {
        let (died, outcome) = Load::on(&doors, PER_SECOND)?.during(|| {
            let died = kill(&pod)?;
            let name = pod.pointer("/metadata/name").and_then(Value::as_str).context("no name")?;
            let told = wait_for(&news, name, died)?;
            samples.iter_mut().zip(told).for_each(|(samples, after)| samples.add(after));
            // What is led to the dead from now on is not the news' fault.
            std::thread::sleep(Duration::from_millis(500));
            Ok(died)
        })?;
        let last = outcome.failed().map(|request| request.began).max();
        led_on.add(last.map(|last| last.saturating_duration_since(died)).unwrap_or_default());
        pods::wait_until_ready(&cluster, PODS)?;
    }
    for ((_, what), samples) in STATIONS.iter().zip(&samples) {
        report.figure(&format!("a container is killed → {what}, p50"), samples.percentile_ms(50), "ms", Budget::Shown);
    }
    report.figure(
        "a container is killed → the last request that fails, p50",
        led_on.percentile_ms(50),
        "ms",
        Budget::Shown,
    );
    let what = "a container is killed → the last request that fails, most";
    report.figure(what, led_on.percentile_ms(100), "ms", Budget::AtMost(1_000.0));
    Ok(())
}

/// Kills the pod's only container as the kernel would, and tells when.
fn kill(pod: &Value) -> Result<Instant> {
    let container = containers_of(pod)?.concat();
    let process = docker(&["inspect", "--format", "{{.State.Pid}}", &container])?;
    let died = Instant::now();
    run(Command::new("kill").args(["-KILL", process.trim()]), "")?.succeeded()?;
    Ok(died)
}

/// How long after its death each station first told of that pod.
fn wait_for(news: &Receiver<News>, pod: &str, died: Instant) -> Result<Vec<Duration>> {
    let mut told = [None; STATIONS.len()];
    while told.contains(&None) {
        let left = WITHIN.checked_sub(died.elapsed()).context("too late")?;
        let (from, named, at) = news.recv_timeout(left).with_context(|| format!("no news of {pod}: {told:?}"))?;
        let place = STATIONS.iter().zip(&mut told).find(|((station, _), _)| *station == from);
        if let Some((_, first)) = place.filter(|_| (named == pod || named.is_empty()) && at >= died) {
            first.get_or_insert(at - died);
        }
    }
    Ok(told.into_iter().flatten().collect())
}

/// Listens at every station from now on.
fn listen(cluster: &Cluster, told: Sender<News>) -> Result<[Listening; 2]> {
    let label = "label=io.kubernetes.container.name=web";
    let format = "{{index .Actor.Attributes \"io.kubernetes.pod.name\"}}";
    let mut events = Command::new("docker");
    events.args(["events", "--filter", "event=die", "--filter", label, "--format", format]);
    let (docker, names) = Listening::to(&mut events)?;
    tell(Station::Docker, names.map(|name| vec![name]), told.clone());
    let (kernel, changes) = Listening::to(Command::new("nft").arg("monitor"))?;
    let process = cluster.process_id().context("the cluster does not run")?;
    tell(Station::Kernel, changes.filter(move |line| is_by(line, process)).map(|_| vec![String::new()]), told.clone());
    let pods = cluster.api()?.watch("/api/v1/namespaces/default/pods")?;
    let unready = pods.map_while(Result::ok).map(|event| {
        let pod = event.get("object").filter(|pod| condition(pod, "Ready") == Some("False"));
        pod.and_then(|pod| pod.pointer("/metadata/name")?.as_str().map(str::to_owned)).into_iter().collect()
    });
    tell(Station::Status, unready, told.clone());
    let slices = cluster.api()?.watch("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices")?;
    let unready = slices.map_while(Result::ok).map(|event| {
        let endpoints = event.pointer("/object/endpoints").and_then(Value::as_array).cloned().unwrap_or_default();
        let unready = endpoints.into_iter().filter(|it| it.pointer("/conditions/ready") == Some(&Value::Bool(false)));
        unready.filter_map(|it| Some(it.pointer("/targetRef/name")?.as_str()?.to_owned())).collect()
    });
    tell(Station::Endpoints, unready, told);
    Ok([docker, kernel])
}

/// Tells which pods are named, as it comes, until nobody listens.
fn tell(station: Station, names: impl Iterator<Item = Vec<String>> + Send + 'static, told: Sender<News>) {
    std::thread::spawn(move || {
        for names in names {
            for name in names {
                if told.send((station, name, Instant::now())).is_err() {
                    return;
                }
            }
        }
    });
}

/// Whether a line of `nft monitor` tells of a change by a thread of that process: `# new generation 7 by process 42 (name)`.
fn is_by(line: &str, process: u32) -> bool {
    let thread = line.split("by process ").nth(1).and_then(|rest| rest.split(' ').next());
    thread.is_some_and(|thread| Path::new(&format!("/proc/{process}/task/{thread}")).exists())
}

/// A program that tells what happens; it ends with this.
struct Listening(Child);

impl Listening {
    fn to(program: &mut Command) -> Result<(Self, impl Iterator<Item = String> + use<>)> {
        let name = program.get_program().to_string_lossy().into_owned();
        let started = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut program = started.with_context(|| format!("failed to run {name}"))?;
        let lines = BufReader::new(program.stdout.take().context("no output")?).lines();
        Ok((Self(program), lines.map_while(Result::ok)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
