//! A pod dies without a word: what its news passes until nobody is led to it any more, and how long that takes.

use std::io::{BufRead as _, BufReader};
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
}

const STATIONS: [(Station, &str); 3] = [
    (Station::Docker, "Docker tells"),
    (Station::Status, "the pod's status says so"),
    (Station::Endpoints, "its endpoint is not ready"),
];

type News = (Station, String, Instant);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &served_web("sampan-demo:v1", PODS)).start()?;
    pods::wait_until_ready(&cluster, PODS)?;
    let doors = doors(&cluster, "web")?;
    let (told, news) = channel();
    let _docker = listen(&cluster, told)?;
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
        if let Some((_, first)) = place.filter(|_| named == pod && at >= died) {
            first.get_or_insert(at - died);
        }
    }
    Ok(told.into_iter().flatten().collect())
}

/// Listens at every station from now on.
fn listen(cluster: &Cluster, told: Sender<News>) -> Result<Listening> {
    let label = "label=io.kubernetes.container.name=web";
    let format = "{{index .Actor.Attributes \"io.kubernetes.pod.name\"}}";
    let mut docker = Command::new("docker");
    docker.args(["events", "--filter", "event=die", "--filter", label, "--format", format]);
    let mut docker = docker.stdout(Stdio::piped()).spawn().context("failed to run docker")?;
    let lines = BufReader::new(docker.stdout.take().context("no output")?).lines();
    let names = lines.map_while(Result::ok).map(|name| vec![name]);
    tell(Station::Docker, names, told.clone());
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
    Ok(Listening(docker))
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

/// The program that listens to Docker; it ends with this.
struct Listening(Child);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
