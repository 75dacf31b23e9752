//! Custom resource types, by real kubectl and by the manifests directory.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::Value;

const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [all, toys]}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          description: A thing with a size.
          properties:
            spec:
              type: object
              description: What is wanted.
              required: [size]
              x-kubernetes-validations:
                - {rule: "self.size >= oldSelf.size", message: "size never shrinks"}
              properties:
                size: {type: integer, minimum: 1, maximum: 9, description: How large it is.}
                color: {type: string, default: red, enum: [red, green]}
                replicas: {type: integer}
                ports:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items: {type: object, required: [name], properties: {name: {type: string}, number: {type: integer}}}
            status:
              type: object
              properties: {replicas: {type: integer}, selector: {type: string}, phase: {type: string}}
      selectableFields: [{jsonPath: .spec.color}]
      subresources:
        status: {}
        scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
      additionalPrinterColumns:
        - {name: Size, type: integer, jsonPath: .spec.size}
        - {name: Color, type: string, jsonPath: .spec.color, priority: 1}
        - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    - name: v1beta1
      served: true
      storage: false
      deprecated: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

fn widget(name: &str, size: i64) -> String {
    format!(
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: {name}}}\nspec: {{size: {size}, replicas: 1}}\n"
    )
}

fn with_widgets() -> Result<Cluster> {
    let cluster = Setup::simulated(1).start()?;
    cluster.try_kubectl(&["create", "-f", "-"], CRD)?.succeeded()?;
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s"])?;
    cluster.try_kubectl(&["create", "-f", "-"], &widget("first", 3))?.succeeded()?;
    Ok(cluster)
}

#[test]
fn kubectl_knows_a_custom_type_like_any_other() -> Result<()> {
    let cluster = with_widgets()?;
    let table: &[(&[&str], &[&str])] = &[
        (&["get", "crd"], &["NAME", "CREATED AT", "widgets.example.com"]),
        (&["get", "widgets"], &["NAME", "SIZE", "AGE", "first", "3"]),
        (&["get", "wd", "-o", "wide"], &["COLOR", "red"]),
        (&["get", "toys"], &["first"]),
        (&["get", "widget", "first", "-o", "jsonpath={.spec.color}"], &["red"]),
        (&["get", "widgets.v1beta1.example.com", "first", "-o", "yaml"], &["apiVersion: example.com/v1beta1"]),
        (&["get", "widgets", "--field-selector", "spec.color=red"], &["first"]),
        (&["explain", "widget"], &["KIND:", "Widget", "A thing with a size.", "spec"]),
        (&["explain", "widget.spec.size"], &["FIELD: size <integer>", "How large it is."]),
        (&["api-resources", "--api-group=example.com"], &["widgets", "wd", "example.com/v1", "Widget"]),
        (&["describe", "widget", "first"], &["Kind:", "Widget", "Size:"]),
        (&["describe", "crd", "widgets.example.com"], &["Established", "NoConflicts"]),
    ];
    for (arguments, expected) in table {
        let said = cluster.try_kubectl(arguments, "")?.succeeded()?.stdout;
        for word in *expected {
            ensure!(said.contains(word), "`kubectl {}` lacks {word:?}:\n{said}", arguments.join(" "));
        }
    }
    Ok(())
}

#[test]
fn every_verb_changes_a_custom_object() -> Result<()> {
    let cluster = with_widgets()?;
    let field = |path: &str| cluster.kubectl(&["get", "widget", "first", "-o", &format!("jsonpath={path}")]);
    cluster.try_kubectl(&["apply", "-f", "-"], &widget("first", 4))?.succeeded()?;
    ensure!(field("{.spec.size} {.metadata.generation}")? == "4 2", "apply raises the generation");
    cluster.kubectl(&["label", "widget", "first", "a=b"])?;
    ensure!(field("{.metadata.generation}")? == "2", "a label does not");
    cluster.kubectl(&["patch", "widget", "first", "--type=merge", "-p", r#"{"spec":{"size":5}}"#])?;
    cluster.kubectl(&[
        "patch",
        "widget",
        "first",
        "--type=json",
        "-p",
        r#"[{"op":"replace","path":"/spec/color","value":"green"}]"#,
    ])?;
    ensure!(field("{.spec.size} {.spec.color}")? == "5 green", "patches");
    cluster.kubectl(&["scale", "widget", "first", "--replicas=7"])?;
    ensure!(field("{.spec.replicas}")? == "7", "scale");
    cluster.kubectl(&[
        "patch",
        "widget",
        "first",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"phase":"up"},"spec":{"size":9}}"#,
    ])?;
    ensure!(field("{.status.phase} {.spec.size}")? == "up 5", "status alone");
    let port = |name: &str, number: i64| {
        format!(
            "apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: first}}\nspec: {{ports: [{{name: {name}, number: {number}}}]}}\n"
        )
    };
    for (manager, name, number) in [("one", "a", 1), ("two", "b", 2)] {
        let arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager", manager, "-f", "-"];
        cluster.try_kubectl(&arguments, &port(name, number))?.succeeded()?;
    }
    ensure!(
        field("{.spec.ports[*].name}")? == "a b",
        "two appliers share a list by its key: {}",
        field("{.spec.ports}")?
    );
    for (patch, expected) in [
        (r#"{"spec":{"size":2}}"#, "size never shrinks"),
        (
            r#"{"spec":{"size":10}}"#,
            "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9",
        ),
        (r#"{"spec":{"color":"blue"}}"#, r#"spec.color: Unsupported value: "blue": supported values: "red", "green""#),
        (r#"{"spec":{"size":"x"}}"#, r#"spec.size in body must be of type integer: "string""#),
    ] {
        let refused = cluster.try_kubectl(&["patch", "widget", "first", "--type=merge", "-p", patch], "")?;
        ensure!(refused.code != 0 && refused.stderr.contains(expected), "{patch}: {}", refused.stderr);
    }
    let stray = widget("second", 1) + "stray: 1\n";
    let refused = cluster.try_kubectl(&["create", "-f", "-"], &stray)?;
    ensure!(refused.stderr.contains("unknown field \"stray\""), "{}", refused.stderr);
    cluster.kubectl(&["delete", "widget", "first"])?;
    ensure!(cluster.kubectl(&["get", "widgets"])?.is_empty(), "the widget is gone");
    Ok(())
}

#[test]
fn a_deleted_definition_takes_its_objects_along() -> Result<()> {
    let cluster = with_widgets()?;
    cluster.kubectl(&[
        "patch",
        "widget",
        "first",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":["example.com/hold"]}}"#,
    ])?;
    cluster.kubectl(&["delete", "crd", "widgets.example.com", "--wait=false"])?;
    eventually("the widget goes", SOON, || {
        let widget = cluster.object("/apis/example.com/v1/namespaces/default/widgets/first")?;
        Ok(widget.filter(|widget| widget.pointer("/metadata/deletionTimestamp").is_some()).map(drop))
    })?;
    let refused = cluster.try_kubectl(&["create", "-f", "-"], &widget("second", 1))?;
    ensure!(
        refused.stderr.contains("create not allowed while custom resource definition is terminating"),
        "{}",
        refused.stderr
    );
    cluster.kubectl(&["patch", "widget", "first", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#])?;
    eventually("the definition goes", SOON, || {
        let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
        Ok(cluster.object(crd)?.is_none().then_some(()))
    })?;
    ensure!(cluster.object("/apis/example.com/v1")?.is_none(), "the group is gone from discovery");
    Ok(())
}

#[test]
fn a_directory_may_hold_an_object_before_its_definition() -> Result<()> {
    let cluster = Setup::simulated(1).with_manifest("a-widget.yaml", &widget("early", 1)).start()?;
    eventually("the file waits", SOON, || {
        let files = cluster.kubectl(&["get", "manifestfiles", "-o", "json"])?;
        Ok(files.contains("no kind Widget").then_some(()))
    })?;
    cluster.write_manifest("b-definition.yaml", &format!("{CRD}---\n{}", widget("with", 2)))?;
    for name in ["early", "with"] {
        eventually(&format!("{name} is there"), SOON, || {
            cluster.object(&format!("/apis/example.com/v1/namespaces/default/widgets/{name}"))
        })?;
    }
    Ok(())
}

#[test]
fn custom_objects_survive_a_crash_with_their_type() -> Result<()> {
    let mut cluster = with_widgets()?;
    cluster.kill()?;
    cluster.up()?;
    let widget =
        cluster.object("/apis/example.com/v1/namespaces/default/widgets/first")?.context("the widget is lost")?;
    ensure!(widget.pointer("/spec/size") == Some(&Value::from(3)), "{widget}");
    Ok(())
}

#[test]
fn a_namespace_is_emptied_of_custom_objects_and_owners_take_theirs_along() -> Result<()> {
    let cluster = with_widgets()?;
    cluster.kubectl(&["create", "namespace", "team"])?;
    cluster.try_kubectl(&["create", "-n", "team", "-f", "-"], &widget("inner", 1))?.succeeded()?;
    let uid = cluster.kubectl(&["get", "widget", "first", "-o", "jsonpath={.metadata.uid}"])?;
    let owned = |name: &str, api_version: &str, kind: &str, uid: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  ownerReferences: [{{apiVersion: {api_version}, kind: {kind}, name: first, uid: {uid}}}]\n"
        )
    };
    cluster.try_kubectl(&["create", "-f", "-"], &owned("owned", "example.com/v1", "Widget", &uid))?.succeeded()?;
    cluster
        .try_kubectl(&["create", "-f", "-"], &owned("foreign", "unheard.example/v1", "Thing", "x-y"))?
        .succeeded()?;
    cluster.kubectl(&["delete", "namespace", "team", "--timeout=30s"])?;
    cluster.kubectl(&["delete", "widget", "first"])?;
    let map = |name: &str| cluster.object(&format!("/api/v1/namespaces/default/configmaps/{name}"));
    eventually("what the widget owned is gone", SOON, || Ok(map("owned")?.is_none().then_some(())))?;
    ensure!(map("foreign")?.is_some(), "what an owner of a kind that is not served owns stays");
    Ok(())
}

#[test]
fn a_definition_is_established_at_once() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let mut watch = cluster.api()?;
    cluster.try_kubectl(&["create", "-f", "-"], CRD)?.succeeded()?;
    // The transition is stamped by whole seconds; the object's own log of changes tells the order, a deadline the time.
    eventually("it is established", Duration::from_secs(1), || {
        let crd = watch.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com")?.json()?;
        Ok((sampan_system_tests::cluster::condition(&crd, "Established") == Some("True")).then_some(()))
    })
}
