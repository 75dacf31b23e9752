//! `sampan why` where something is not as its owner wants it: each answered once every Event is deleted.

use anyhow::{Context as _, Result};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Cluster, Setup, eventually};

use crate::why::delete_all_events;

/// Waits until `why` of an object says all of it, though nobody may look at Events.
fn why_says(cluster: &Cluster, object: &str, words: &[&str]) -> Result<()> {
    let says = |told: &str| words.iter().all(|word| told.contains(word));
    let mut last = String::new();
    let waited = eventually("why says it", SOON, || {
        delete_all_events(cluster)?;
        last = cluster.sampan(&["why", object])?.stdout;
        Ok(says(&last).then_some(()))
    });
    waited.with_context(|| format!("of {object}, {words:?}:\n{last}"))
}

/// The only pod there is.
fn pod(cluster: &Cluster) -> Result<String> {
    eventually("there is a pod", SOON, || {
        let pods = cluster.list(crate::workloads::PODS)?;
        Ok(pods.first().and_then(|pod| Some(format!("pod/{}", pod.pointer("/metadata/name")?.as_str()?))))
    })
}

#[test]
fn a_pod_without_its_volume_and_a_deployment_that_does_not_progress_for_it() -> Result<()> {
    let manifest = web("sampan-demo:v1", 1)
        .replace("spec:\n  replicas", "spec:\n  progressDeadlineSeconds: 1\n  replicas")
        .replace("      containers:", "      volumes: [{name: v, configMap: {name: nowhere}}]\n      containers:");
    let cluster = Setup::simulated(1).with_manifest("web.yaml", &manifest).start()?;
    let name = pod(&cluster)?;
    why_says(&cluster, &name, &["volumes are prepared", "configmap \"nowhere\" not found"])?;
    why_says(&cluster, "deploy/web", &["waiting for", "available 0"])
}

#[test]
fn a_pod_that_lacks_a_secret_a_claim_or_a_node() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    for (name, spec, why) in [
        ("secret", "volumes: [{name: v, secret: {secretName: nowhere}}]", "secret \"nowhere\" not found"),
        (
            "claim",
            "volumes: [{name: v, persistentVolumeClaim: {claimName: nowhere}}]",
            "persistentvolumeclaim \"nowhere\" not found",
        ),
        ("node", "nodeSelector: {kind: none}", "node(s) didn't match Pod's node affinity/selector"),
    ] {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, \
             spec: {{containers: [{{name: app, image: sampan-demo:v1}}], {spec}}}}}"
        );
        cluster.try_kubectl(&["create", "-f", "-"], &pod)?.succeeded()?;
        why_says(&cluster, &format!("pod/{name}"), &[why])?;
    }
    Ok(())
}

#[test]
fn a_pod_whose_program_ends_with_an_error() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let failing = "{apiVersion: v1, kind: Pod, metadata: {name: fails}, \
        spec: {containers: [{name: app, image: sampan-demo:v1, command: [\"false\"]}]}}";
    cluster.try_kubectl(&["create", "-f", "-"], failing)?.succeeded()?;
    why_says(&cluster, "pod/fails", &["restart back-off has passed", "created by", "kubectl"])
}

#[test]
fn a_quota_that_keeps_pods_away() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    cluster.kubectl(&["create", "quota", "none", "--hard=pods=0"])?;
    cluster.try_kubectl(&["create", "-f", "-"], &web("sampan-demo:v1", 1))?.succeeded()?;
    why_says(&cluster, "deploy/web", &["exceeded quota: none"])
}

#[test]
fn a_finalizer_that_nobody_removes() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let held = "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/hold]}}";
    cluster.try_kubectl(&["create", "-f", "-"], held)?.succeeded()?;
    cluster.kubectl(&["delete", "configmap", "held", "--wait=false"])?;
    why_says(&cluster, "cm/held", &["no finalizer is left", "example.com/hold"])?;
    cluster.kubectl(&["create", "namespace", "team"])?;
    let held = held.replace("name: held", "name: held, namespace: team");
    cluster.try_kubectl(&["create", "-f", "-"], &held)?.succeeded()?;
    cluster.kubectl(&["delete", "namespace", "team", "--wait=false"])?;
    why_says(&cluster, "ns/team", &["waiting for", "configmaps"])
}

#[test]
fn a_manifest_that_is_refused() -> Result<()> {
    let cluster = Setup::simulated(1)
        .with_manifest("web.yaml", &web("sampan-demo:v1", 1).replace("replicas: 1", "replicas: -1"))
        .start()?;
    why_says(&cluster, "manifestfile/web.yaml", &["its manifest is accepted", "web.yaml:", "spec.replicas"])?;
    why_says(&cluster, "deploy/web", &["its manifest is accepted", "spec.replicas"])
}

#[test]
fn an_object_nobody_created_on_purpose() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    why_says(&cluster, "cm/kube-root-ca.crt", &["the namespace operator, deciding about namespaces//default"])
}

#[test]
fn a_cron_job_names_its_schedule() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    cluster.kubectl(&["create", "cronjob", "tick", "--image=sampan-demo:v1", "--schedule=7 3 1 1 *"])?;
    why_says(&cluster, "cronjob/tick", &["the next time comes", "7 3 1 1 *", "UTC"])
}

#[test]
fn an_image_that_is_not_there_and_a_probe_that_fails() -> Result<()> {
    let cluster = Setup::docker().start()?;
    let missing = "{apiVersion: v1, kind: Pod, metadata: {name: missing}, \
        spec: {containers: [{name: app, image: sampan-nowhere:v1, imagePullPolicy: Never}]}}";
    cluster.try_kubectl(&["create", "-f", "-"], missing)?.succeeded()?;
    why_says(&cluster, "pod/missing", &["image is present", "sampan-nowhere:v1"])?;
    let unready = "{apiVersion: v1, kind: Pod, metadata: {name: unready}, spec: {containers: [{name: app, \
        image: sampan-demo:v1, readinessProbe: {exec: {command: [/nothing]}, periodSeconds: 1}}]}}";
    cluster.try_kubectl(&["create", "-f", "-"], unready)?.succeeded()?;
    why_says(&cluster, "pod/unready", &["container is ready", "readiness probe"])?;
    cluster.kubectl(&["delete", "pods", "--all"]).map(drop)
}

#[test]
fn an_operator_that_panicked() -> Result<()> {
    let mut cluster = Setup::simulated(1).of(env!("CARGO_BIN_EXE_crashing")).start()?;
    cluster.kubectl(&["create", "configmap", "bad"])?;
    cluster.kubectl(&["label", "configmap", "bad", "example.com/panic=on-purpose"])?;
    let words = ["the operator runs", "crashing panicked on configmaps/default/bad: on-purpose", "before a restart"];
    why_says(&cluster, "cm/bad", &words)?;
    assert!(cluster.sampan(&["history", "cm/bad"])?.stdout.contains("on-purpose"), "it is a decision like any other");
    // What comes later is not looked at, and says so; nobody else has stopped.
    cluster.kubectl(&["create", "configmap", "after"])?;
    why_says(&cluster, "cm/after", &words)?;
    cluster.try_kubectl(&["create", "-f", "-"], &web("sampan-demo:v1", 1))?.succeeded()?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    // Once it runs again, nothing waits for it, though there is nothing to be done.
    cluster.kubectl(&["label", "configmap", "bad", "example.com/panic-"])?;
    cluster.kill()?;
    cluster.up()?;
    for map in ["cm/bad", "cm/after"] {
        let told = cluster.sampan(&["why", map])?.stdout;
        assert!(!told.contains("panicked"), "{told}");
    }
    Ok(())
}
