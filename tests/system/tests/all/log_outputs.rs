//! Logs on their way to collectors: every line at least once, and by its id exactly once, whatever becomes of either side.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sampan_outputs::receiver::{self, Demands, Speaks};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::collector::{SHARED_KEY, USER};
use sampan_system_tests::manifest::pod;
use sampan_system_tests::{Cluster, Collector, Relay, Setup, eventually};
use serde_json::{Value, json};

/// Lines the container writes, one every so many milliseconds.
const LINES: usize = 2300;
const EVERY_MS: &str = "15";
/// How long the collector is away.
const OUTAGE: Duration = Duration::from_secs(10);
/// How long it is there and reads nothing.
const HANG: Duration = Duration::from_secs(4);
/// No container waits for a collector: no line comes so much later than the one before, whatever becomes of that.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// The text of each record, as they arrived, each once: a collector that knows ids keeps the first of those with the same.
fn each_once(taken: &[Value]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let records = taken.iter().map(|taken| &taken["record"]);
    let first = records.filter(|record| seen.insert(record["id"].as_str().unwrap_or_default()));
    first.map(|record| record["log"].as_str().unwrap_or_default()).collect()
}

/// Waits until so many lines have arrived.
fn arrived(collector: &mut Collector, count: usize) -> Result<()> {
    eventually(&format!("{count} lines arrive"), SOON, || {
        let arrived = each_once(collector.records()?).len();
        ensure!(arrived >= count, "{arrived} of them");
        Ok(Some(()))
    })
}

pub(crate) fn told(cluster: &Cluster, output: &str) -> Result<Value> {
    let output = cluster.object(&format!("/apis/sampan.dev/v1/logoutputs/{output}"))?.context("no output")?;
    let nodes = output.pointer("/status/nodes").and_then(Value::as_object);
    Ok(nodes.and_then(|nodes| nodes.values().next()).cloned().unwrap_or_default())
}

fn central(port: u16, certificate: &str) -> Value {
    let secret = |key: &str| json!({"namespace": "default", "name": "fluentd", "key": key});
    json!({
        "apiVersion": "sampan.dev/v1", "kind": "LogOutput", "metadata": {"name": "central"},
        "spec": {
            "selector": {"pods": {"matchLabels": {"test": "writer"}}},
            "fields": {"cluster": "boat"},
            "forward": {
                "host": "localhost", "port": port, "compression": "gzip",
                "sharedKey": secret("shared"), "username": USER.0, "password": secret("password"),
                "tls": {"caBundle": STANDARD.encode(certificate)},
            },
        },
    })
}

#[test]
fn fluents_own_server_has_every_line_through_its_restart_an_outage_and_a_kill() -> Result<()> {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut collector = Collector::start(&cert.pem(), &signing_key.serialize_pem())?;
    let relay = Relay::open()?;
    relay.lead_to(collector.port());
    let mut cluster = Setup::docker().start()?;
    let (shared, password) =
        (format!("--from-literal=shared={SHARED_KEY}"), format!("--from-literal=password={}", USER.1));
    cluster.kubectl(&["create", "secret", "generic", "fluentd", &shared, &password])?;
    cluster.try_kubectl(&["apply", "-f", "-"], &central(relay.port(), &cert.pem()).to_string())?.succeeded()?;
    cluster.try_kubectl(&["apply", "-f", "-"], &pod("other", &["print", "5"]))?.succeeded()?;
    let writer = pod("writer", &["print", &LINES.to_string(), EVERY_MS]);
    cluster.try_kubectl(&["apply", "-f", "-"], &writer)?.succeeded()?;

    arrived(&mut collector, 100)?;
    collector.down()?;
    collector.up()?;
    arrived(&mut collector, 200)?;
    collector.hang()?;
    std::thread::sleep(HANG);
    collector.go_on()?;

    // What is taken from now on is not known to be taken: Sampan, killed, sends it once more.
    relay.swallow_answers();
    let before = collector.records()?.len();
    eventually("lines are taken", SOON, || Ok((collector.records()?.len() > before).then_some(())))?;
    cluster.kill()?;
    relay.carry_answers();
    cluster.up()?;
    arrived(&mut collector, 500)?;

    collector.down()?;
    std::thread::sleep(OUTAGE);
    // Told anew with each try, of which there are fewer and fewer.
    eventually("lines wait", SOON, || {
        let waits = told(&cluster, "central")?;
        Ok((waits["state"] == "Retrying" && waits["waiting"].as_i64() > Some(100)).then_some(()))
    })?;
    let shown = cluster.kubectl(&["get", "logoutputs"])?;
    ensure!(shown.contains(&format!("localhost:{}", relay.port())), "{shown}");
    collector.up()?;
    arrived(&mut collector, 1200)?;
    ensure!(cluster.interrupt()? == Some(0), "Ctrl-C ends otherwise");
    cluster.up()?;
    arrived(&mut collector, LINES)?;

    eventually("all is delivered", SOON, || {
        let told = told(&cluster, "central")?;
        Ok((told["waiting"] == 0 && told["state"] == "Delivering" && told["lastError"].is_null()).then_some(()))
    })?;
    ensure!(told(&cluster, "central")?["dropped"] == 0, "nothing was dropped");
    let taken = collector.records()?;
    let expect: Vec<String> = (1..=LINES).map(|number| format!("line {number}")).collect();
    ensure!(each_once(taken) == expect, "by its id, not every line arrived once and in order");
    taken.iter().try_for_each(is_whole)?;
    let times: BTreeSet<Duration> = taken.iter().map(time).collect();
    let pause = times.iter().zip(times.iter().skip(1)).map(|(before, after)| *after - *before).max();
    ensure!(pause < Some(PAUSE_MAX), "the container was held up for {pause:?}");
    println!("{LINES} lines, {} sent twice", taken.len() - LINES);
    ensure!(taken.len() > LINES, "what was taken in front of the kill was not sent again");
    Ok(())
}

fn time(taken: &Value) -> Duration {
    let number = |name: &str| taken[name].as_u64().unwrap_or_default();
    Duration::from_secs(number("seconds")) + Duration::from_nanos(number("nanoseconds"))
}

/// A record tells whose line it is, under the time at which Docker took it.
fn is_whole(taken: &Value) -> Result<()> {
    let record = &taken["record"];
    let whose = &record["kubernetes"];
    let time = format!("-{}{:09}", taken["seconds"], taken["nanoseconds"].as_u64().unwrap_or_default());
    ensure!(record["id"].as_str().is_some_and(|id| id.ends_with(&time)), "{taken}");
    ensure!(taken["tag"] == "sampan" && record["cluster"] == "boat" && record["stream"] == "stdout", "{taken}");
    ensure!(whose["pod_name"] == "writer" && whose["labels"]["test"] == "writer", "others' lines were sent: {taken}");
    Ok(())
}

#[test]
fn json_lines_and_files_have_what_pods_wrote_and_a_changed_output_goes_on() -> Result<()> {
    let collector = receiver::Collector::start(Speaks::Http, Demands::default())?;
    let cluster = Setup::docker().start()?;
    let url = format!("http://127.0.0.1:{}/in", collector.port());
    let output = |name: &str, target: Value| {
        let mut spec = json!({"start": "Oldest", "parser": {"regex": "^line (?<number>[0-9]+)$"}});
        if let (Some(spec), Some(target)) = (spec.as_object_mut(), target.as_object()) {
            spec.extend(target.clone());
        }
        json!({"apiVersion": "sampan.dev/v1", "kind": "LogOutput", "metadata": {"name": name}, "spec": spec})
            .to_string()
    };
    cluster.try_kubectl(&["apply", "-f", "-"], &pod("writer", &["print", "20"]))?.succeeded()?;
    cluster.try_kubectl(&["apply", "-f", "-"], &output("file", json!({"file": {"path": "all.jsonl"}})))?.succeeded()?;
    cluster.try_kubectl(&["apply", "-f", "-"], &output("http", json!({"http": {"url": url}})))?.succeeded()?;
    let received = collector.until(SOON, |received| received.len() >= 20).map_err(|it| anyhow::anyhow!("{it:?}"))?;
    let numbers: Vec<&str> = received.iter().filter_map(|it| it.record["number"].as_str()).collect();
    ensure!(numbers == (1..=20).map(|number| number.to_string()).collect::<Vec<_>>(), "{numbers:?}");

    let changed = output("http", json!({"http": {"url": url}, "fields": {"changed": "yes"}}));
    cluster.try_kubectl(&["apply", "-f", "-"], &changed)?.succeeded()?;
    cluster.try_kubectl(&["apply", "-f", "-"], &pod("second", &["print", "5"]))?.succeeded()?;
    let all = collector.until(SOON, |received| received.len() >= 25).map_err(|it| anyhow::anyhow!("{it:?}"))?;
    ensure!(all.len() == 25, "a changed output begins anew: {}", all.len());

    let file = eventually("the file has every line", SOON, || {
        let node = cluster.list("/api/v1/nodes")?;
        let node = node.first().and_then(|node| node["metadata"]["name"].as_str()).context("no node")?.to_owned();
        let found = find(&cluster.data(), "all.jsonl").map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        Ok((found.lines().count() == 25).then_some((node, found)))
    })?;
    let record: Value = serde_json::from_str(file.1.lines().next().unwrap_or_default())?;
    ensure!(record["kubernetes"]["host"] == file.0.as_str(), "{record}");
    cluster.kubectl(&["delete", "logoutput", "http", "file"])?;
    let refused = cluster.try_kubectl(&["apply", "-f", "-"], &output("none", json!({})))?;
    refused.failed()?.complains("one of forward, http and file").map(drop)
}

/// A file somewhere below a folder.
fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|found| found == name) {
            return Some(path);
        }
        if path.is_dir()
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}
