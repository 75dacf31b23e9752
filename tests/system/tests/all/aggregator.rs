//! Another server of the API behind an APIService, as kubectl sees it.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_system_tests::{Setup, cluster::SOON, eventually};
use serde_json::{Value, json};

use crate::webhooks::serve;

/// A server of cups, of which there is one.
fn answer(path: &str, _: &Value) -> Value {
    let cup = json!({"apiVersion": "tea.io/v1", "kind": "Cup", "metadata": {"name": "green", "namespace": "default"}});
    match path.split('?').next().unwrap_or_default() {
        "/apis/tea.io/v1" => json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "tea.io/v1",
            "resources": [{"name": "cups", "singularName": "cup", "namespaced": true, "kind": "Cup",
                "verbs": ["get", "list"], "shortNames": ["cp"]}]}),
        path if path.ends_with("/cups/green") => cup,
        _ => json!({"apiVersion": "tea.io/v1", "kind": "CupList", "metadata": {}, "items": [cup]}),
    }
}

#[test]
fn kubectl_finds_what_another_server_serves() -> Result<()> {
    let (port, certificate) = serve("tea.default.svc", answer)?;
    let cluster = Setup::simulated(1).start()?;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "tea", "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    let behind = json!({"namespace": "default", "name": "tea", "port": port});
    let registered = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.tea.io"}, "spec": {"group": "tea.io", "version": "v1", "groupPriorityMinimum": 1000,
            "versionPriority": 10, "caBundle": STANDARD.encode(certificate), "service": behind}});
    cluster.try_kubectl(&["create", "-f", "-"], &registered.to_string())?.succeeded()?;
    eventually("the Service is missed", SOON, || {
        let told = cluster.kubectl(&["get", "apiservice", "v1.tea.io"])?;
        Ok(told.contains("False (ServiceNotFound)").then_some(()))
    })?;
    let refused = cluster.try_kubectl(&["get", "--raw", "/apis/tea.io/v1/cups"], "")?.failed()?;
    ensure!(refused.stderr.contains("the server is currently unable to handle the request"), "{}", refused.stderr);
    cluster.try_kubectl(&["create", "-f", "-"], &service.to_string())?.succeeded()?;
    cluster.kubectl(&["wait", "--for=condition=Available", "apiservice/v1.tea.io", "--timeout=10s"])?;
    let table: &[(&[&str], &[&str])] = &[
        (&["api-resources", "--api-group=tea.io"], &["cups", "cp", "tea.io/v1", "Cup"]),
        (&["get", "cups"], &["NAME", "green"]),
        (&["get", "cp", "green", "-o", "yaml"], &["kind: Cup"]),
        (&["get", "apiservices"], &["default/tea", "True"]),
        (
            &["get", "cm", "-n", "kube-system", "extension-apiserver-authentication", "-o", "yaml"],
            &["requestheader-client-ca-file", "front-proxy-client", "X-Remote-User"],
        ),
        (&["get", "role", "-n", "kube-system", "extension-apiserver-authentication-reader"], &["reader"]),
    ];
    for (arguments, expected) in table {
        let said = cluster.kubectl(arguments)?;
        ensure!(expected.iter().all(|word| said.contains(word)), "`kubectl {}`:\n{said}", arguments.join(" "));
    }
    Ok(())
}
