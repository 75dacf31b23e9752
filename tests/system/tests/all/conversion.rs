//! A custom resource type in two versions that a webhook of the user's converts between, by real kubectl and by the manifests
//! directory.

use anyhow::{Context as _, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::{Value, json};

use crate::webhooks::serve;

const DOORS: &str = "/namespaces/default/doors";

/// `address: host:port` in v1 is `host` and `port` in v2.
fn convert(object: &Value, desired: &Value) -> Value {
    let (mut object, spec) = (object.clone(), &object["spec"]);
    let text = |name: &str| spec[name].as_str().unwrap_or_default();
    let converted = match text("address").split_once(':') {
        Some((host, port)) => json!({"host": host, "port": port}),
        None => json!({"address": format!("{}:{}", text("host"), text("port"))}),
    };
    object["apiVersion"] = desired.clone();
    object["spec"] = converted;
    object
}

fn answer(_: &str, review: &Value) -> Value {
    let request = &review["request"];
    let objects = request["objects"].as_array().cloned().unwrap_or_default();
    let result = match objects.iter().any(|object| object["metadata"]["name"] == "stuck") {
        true => json!({"status": "Failure", "message": "the door is stuck"}),
        false => json!({"status": "Success"}),
    };
    let converted: Vec<Value> = objects.iter().map(|it| convert(it, &request["desiredAPIVersion"])).collect();
    json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview",
        "response": {"uid": request["uid"], "result": result, "convertedObjects": converted}})
}

fn definition(stored: &str, port: u16, certificate: &str) -> Value {
    let text = json!({"type": "string"});
    let version = |name: &str, fields: Value, column: &str| {
        json!({"name": name, "served": true, "storage": name == stored,
            "selectableFields": [{"jsonPath": format!(".spec.{column}")}],
            "additionalPrinterColumns": [{"name": column, "type": "string", "jsonPath": format!(".spec.{column}")}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": fields}}}}})
    };
    let client = json!({"url": format!("https://localhost:{port}/convert"), "caBundle": STANDARD.encode(certificate)});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "doors.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "doors", "kind": "Door"},
            "conversion": {"strategy": "Webhook",
                "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}},
            "versions": [version("v1", json!({"address": text}), "address"),
                version("v2", json!({"host": text, "port": text}), "host")]}})
}

/// A cluster with doors, which are stored in v1.
fn with_doors() -> Result<(Cluster, u16, String)> {
    let (port, certificate) = serve("localhost", answer)?;
    let cluster = Setup::simulated(1).start()?;
    let definition = definition("v1", port, &certificate);
    cluster.try_kubectl(&["create", "-f", "-"], &definition.to_string())?.succeeded()?;
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/doors.example.com", "--timeout=10s"])?;
    Ok((cluster, port, certificate))
}

fn door(name: &str, host: &str) -> String {
    let spec = json!({"host": host, "port": "80"});
    json!({"apiVersion": "example.com/v2", "kind": "Door", "metadata": {"name": name}, "spec": spec}).to_string()
}

#[test]
fn kubectl_reads_and_writes_in_either_version() -> Result<()> {
    let (cluster, port, certificate) = with_doors()?;
    let spec = |version: &str| {
        let doors = format!("doors.{version}.example.com");
        cluster.kubectl(&["get", &doors, "front", "-o", "jsonpath={.apiVersion} {.spec}"])
    };
    cluster.try_kubectl(&["apply", "-f", "-"], &door("front", "a"))?.succeeded()?;
    ensure!(spec("v1")? == r#"example.com/v1 {"address":"a:80"}"#, "{}", spec("v1")?);
    ensure!(spec("v2")? == r#"example.com/v2 {"host":"a","port":"80"}"#, "{}", spec("v2")?);
    cluster.try_kubectl(&["apply", "-f", "-"], &door("front", "b"))?.succeeded()?;
    ensure!(spec("v1")? == r#"example.com/v1 {"address":"b:80"}"#, "{}", spec("v1")?);
    cluster
        .try_kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &door("front", "c"))?
        .succeeded()?;
    let patch = r#"{"spec":{"port":"81"}}"#;
    cluster.kubectl(&["patch", "doors.v2.example.com", "front", "--type=merge", "-p", patch])?;
    ensure!(spec("v1")? == r#"example.com/v1 {"address":"c:81"}"#, "{}", spec("v1")?);
    cluster.try_kubectl(&["create", "-f", "-"], &door("back", "d"))?.succeeded()?;
    let table = cluster.kubectl(&["get", "doors.v2.example.com"])?;
    ensure!(["HOST", "front", "c", "back", "d"].iter().all(|word| table.contains(word)), "{table}");

    // What is stored by now stays as it is; what is written from now on is stored in v2.
    let stored_in_v2 = definition("v2", port, &certificate).to_string();
    cluster.try_kubectl(&["replace", "-f", "-"], &stored_in_v2)?.succeeded()?;
    ensure!(spec("v1")? == r#"example.com/v1 {"address":"c:81"}"#, "{}", spec("v1")?);
    ensure!(spec("v2")? == r#"example.com/v2 {"host":"c","port":"81"}"#, "{}", spec("v2")?);
    let selected = ["get", "doors.v2.example.com", "--field-selector=spec.host=d", "-o", "name"];
    ensure!(cluster.kubectl(&selected)?.trim() == "door.example.com/back", "selected as it is spoken");

    let stuck = cluster.try_kubectl(&["create", "-f", "-"], &door("stuck", "a"))?;
    ensure!(!stuck.stderr.contains("conversion webhook"), "what is stored in v2 is not converted: {}", stuck.stderr);
    let refused = cluster.try_kubectl(&["get", "doors.v1.example.com", "stuck"], "")?.failed()?;
    let why = "conversion webhook for example.com/v2, Kind=Door failed: the door is stuck";
    ensure!(refused.stderr.contains(why), "{}", refused.stderr);
    cluster.kubectl(&["delete", "doors.v1.example.com", "stuck", "front", "back"])?;
    cluster.kubectl(&["delete", "crd", "doors.example.com", "--timeout=10s"])?;
    Ok(())
}

#[test]
fn a_watch_tells_of_changes_in_its_version_and_in_order() -> Result<()> {
    let (cluster, port, certificate) = with_doors()?;
    cluster.try_kubectl(&["create", "-f", "-"], &door("front", "a"))?.succeeded()?;
    let mut api = cluster.api()?;
    let mut all = api.watch(&format!("/apis/example.com/v2{DOORS}"))?;
    let of_b = format!("/apis/example.com/v2{DOORS}?fieldSelector=spec.host%3Db");
    let mut selected = api.watch(&of_b)?;
    let first = all.next().context("an event")??;
    ensure!(first["object"]["spec"]["host"] == "a", "{first}");
    let path = format!("/apis/example.com/v1{DOORS}/front");
    for host in ["b", "b", "c"] {
        let number = if host == "c" { 1 } else { 0 };
        for port in 0..10 + number {
            let patch = json!({"spec": {"address": format!("{host}:{port}")}}).to_string();
            api.send("PATCH", &path, "application/merge-patch+json", patch.as_bytes())?;
        }
    }
    let told = |events: &mut dyn Iterator<Item = Result<Value>>, count: usize| -> Result<Vec<String>> {
        events
            .take(count)
            .map(|event| {
                let event = event?;
                ensure!(event["object"]["apiVersion"] == "example.com/v2", "{event}");
                let text = |name: &str| event["object"]["spec"][name].as_str().unwrap_or_default().to_owned();
                Ok(format!("{} {}:{}", event["type"].as_str().unwrap_or_default(), text("host"), text("port")))
            })
            .collect()
    };
    let of_b: Vec<String> = (0..10).chain(0..10).map(|port| format!("MODIFIED b:{port}")).collect();
    let of_c = (0..11).map(|port| format!("MODIFIED c:{port}"));
    let expected: Vec<String> = of_b.iter().cloned().chain(of_c).collect();
    let found = told(&mut all, expected.len())?;
    ensure!(found == expected, "{found:#?}");
    let mut expected = of_b;
    if let Some(first) = expected.first_mut() {
        *first = "ADDED b:0".to_owned();
    }
    expected.push("DELETED c:0".to_owned());
    let found = told(&mut selected, expected.len())?;
    ensure!(found == expected, "{found:#?}");

    let stored_in_v2 = definition("v2", port, &certificate).to_string();
    cluster.try_kubectl(&["replace", "-f", "-"], &stored_in_v2)?.succeeded()?;
    let patch = json!({"spec": {"address": "d:1"}}).to_string();
    api.send("PATCH", &path, "application/merge-patch+json", patch.as_bytes())?;
    ensure!(all.next().is_none(), "a watch ends where its type is stored otherwise");
    Ok(())
}

#[test]
fn the_directory_sets_fields_of_either_version() -> Result<()> {
    let (cluster, ..) = with_doors()?;
    let address = || cluster.kubectl(&["get", "doors.v1.example.com", "front", "-o", "jsonpath={.spec.address}"]);
    for host in ["a", "b"] {
        cluster.write_manifest("door.yaml", &door("front", host))?;
        eventually("the door leads there", SOON, || {
            Ok(address().is_ok_and(|it| it == format!("{host}:80")).then_some(()))
        })?;
    }
    cluster.kubectl(&[
        "patch",
        "doors.v1.example.com",
        "front",
        "--type=merge",
        "-p",
        r#"{"spec":{"address":"x:1"}}"#,
    ])?;
    eventually("drift is repaired", SOON, || Ok((address()? == "b:80").then_some(())))
}
