//! Logs on their way to collectors: every line at least once, and by its id exactly once, whatever becomes of either side.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use sampan_outputs::receiver::{Collector, Demands, Received, Speaks};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::manifest::pod;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::{Value, json};

/// Lines the container writes, one every so many milliseconds.
const LINES: usize = 1500;
const EVERY_MS: &str = "15";

/// The certificate of a collector on loopback, and TLS that shows it.
fn identity() -> Result<(String, Arc<ServerConfig>)> {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key)?;
    Ok((cert.pem(), Arc::new(config)))
}

/// The text of each record by its id: a collector that knows ids has each line once.
fn by_id(received: &[Received]) -> BTreeMap<&str, &str> {
    received.iter().map(|it| (text(it, "id"), text(it, "log"))).collect()
}

fn text<'a>(received: &'a Received, field: &str) -> &'a str {
    received.record[field].as_str().unwrap_or_default()
}

/// Waits until so many lines have arrived.
fn arrived(collector: &Collector, count: usize) -> Result<Vec<Received>> {
    match collector.until(SOON, |received| by_id(received).len() >= count) {
        Ok(received) => Ok(received),
        Err(received) => {
            bail!("{} of {count} lines arrived; {:?}", by_id(&received).len(), collector.refusals())
        }
    }
}

fn told(cluster: &Cluster, output: &str) -> Result<Value> {
    let output = cluster.object(&format!("/apis/sampan.dev/v1/logoutputs/{output}"))?.context("no output")?;
    let nodes = output.pointer("/status/nodes").and_then(Value::as_object);
    Ok(nodes.and_then(|nodes| nodes.values().next()).cloned().unwrap_or_default())
}

#[test]
fn every_line_reaches_the_collector_through_restarts_an_outage_and_a_kill() -> Result<()> {
    let (certificate, tls) = identity()?;
    let demands = Demands { shared_key: Some("open sesame".to_owned()), tls: Some(tls), ..Demands::default() };
    let collector = Collector::start(Speaks::Forward, demands)?;
    let mut cluster = Setup::docker().start()?;
    cluster.kubectl(&["create", "secret", "generic", "fluentd", "--from-literal=shared=open sesame"])?;
    let output = json!({
        "apiVersion": "sampan.dev/v1", "kind": "LogOutput", "metadata": {"name": "central"},
        "spec": {
            "selector": {"pods": {"matchLabels": {"test": "writer"}}},
            "fields": {"cluster": "boat"},
            "forward": {
                "host": "localhost", "port": collector.port(),
                "sharedKey": {"namespace": "default", "name": "fluentd", "key": "shared"},
                "tls": {"caBundle": STANDARD.encode(certificate)},
            },
        },
    });
    cluster.try_kubectl(&["apply", "-f", "-"], &output.to_string())?.succeeded()?;
    cluster.try_kubectl(&["apply", "-f", "-"], &pod("other", &["print", "5"]))?.succeeded()?;
    let writer = pod("writer", &["print", &LINES.to_string(), EVERY_MS]);
    cluster.try_kubectl(&["apply", "-f", "-"], &writer)?.succeeded()?;

    let first = arrived(&collector, 100)?;
    let first = first.first().context("nothing arrived")?;
    ensure!(first.tag == "sampan" && first.record["cluster"] == "boat", "{first:?}");
    ensure!(first.record["kubernetes"]["labels"]["test"] == "writer", "{first:?}");
    collector.stop();
    collector.restart()?;
    arrived(&collector, 200)?;

    collector.stop();
    let outage = eventually("the outage is told of", SOON, || {
        let told = told(&cluster, "central")?;
        Ok((told["state"] == "Retrying" && told["waiting"].as_i64() > Some(100)).then_some(told))
    })?;
    ensure!(outage["lastError"].as_str().is_some_and(|error| error.contains("failed to connect to")), "{outage}");
    let shown = cluster.kubectl(&["get", "logoutputs"])?;
    ensure!(shown.contains(&format!("localhost:{}", collector.port())) && shown.contains("refused"), "{shown}");
    collector.restart()?;
    arrived(&collector, 600)?;

    collector.lose_acknowledgements(1);
    arrived(&collector, 650)?;
    cluster.kill()?;
    cluster.up()?;
    arrived(&collector, 1000)?;
    ensure!(cluster.interrupt()? == Some(0), "Ctrl-C ends otherwise");
    cluster.up()?;
    let received = arrived(&collector, LINES)?;

    let lines = by_id(&received);
    let mut texts: Vec<&str> = lines.values().copied().collect();
    texts.sort_by_key(|text| text.strip_prefix("line ").and_then(|number| number.parse::<usize>().ok()));
    let expect: Vec<String> = (1..=LINES).map(|number| format!("line {number}")).collect();
    ensure!(texts == expect, "by its id, not every line arrived once");
    ensure!(received.iter().all(|it| it.record["kubernetes"]["pod_name"] == "writer"), "others' lines were sent");
    println!("{LINES} lines, {} sent twice", received.len() - LINES);
    eventually("all is delivered", SOON, || {
        let told = told(&cluster, "central")?;
        Ok((told["waiting"] == 0 && told["state"] == "Delivering" && told["lastError"].is_null()).then_some(()))
    })?;
    ensure!(told(&cluster, "central")?["dropped"] == 0, "nothing was dropped");
    Ok(())
}

#[test]
fn json_lines_and_files_have_what_pods_wrote_and_a_changed_output_goes_on() -> Result<()> {
    let collector = Collector::start(Speaks::Http, Demands::default())?;
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
