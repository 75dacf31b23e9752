//! A real database as a StatefulSet: Debian's redis, whose rows, names and order outlast pods, nodes and Sampan itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::Value;

use crate::workloads::{PODS, changes_since, is_ready};

const V1: &str = "sampan-test-redis:v1";
const V2: &str = "sampan-test-redis:v2";
/// Three databases start one after the other, on a machine that does other things as well.
const WITHIN: Duration = Duration::from_mins(4);

/// Every row is on the disk before it is acknowledged.
const MANIFEST: &str = r#"
apiVersion: v1
kind: Service
metadata: { name: db, namespace: default }
spec:
  clusterIP: None
  selector: { app: db }
  ports: [{ port: 6379 }]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db, namespace: default }
spec:
  serviceName: db
  replicas: 3
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: redis
          image: sampan-test-redis:v1
          args: [--dir, /data, --appendonly, "yes", --appendfsync, always, --save, ""]
          ports: [{ containerPort: 6379 }]
          readinessProbe:
            exec: { command: [redis-cli, ping] }
            periodSeconds: 1
            timeoutSeconds: 10
          volumeMounts: [{ name: data, mountPath: /data }]
  volumeClaimTemplates:
    - metadata: { name: data }
      spec:
        accessModes: [ReadWriteOnce]
        resources: { requests: { storage: 64Mi } }
"#;

/// The databases, by name, once there are exactly so many and all of them are ready.
fn wait_for(cluster: &Cluster, replicas: usize) -> Result<Vec<Value>> {
    eventually(&format!("{replicas} databases are ready"), WITHIN, || {
        let pods = cluster.list(&format!("{PODS}?labelSelector=app%3Ddb"))?;
        let good = pods.iter().filter(|pod| is_ready(pod) && pod.pointer("/metadata/deletionTimestamp").is_none());
        Ok((good.count() == replicas && pods.len() == replicas).then_some(pods))
    })
}

fn text<'p>(pod: &'p Value, pointer: &str) -> &'p str {
    pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn images(pods: &[Value]) -> Vec<&str> {
    pods.iter().map(|pod| text(pod, "/spec/containers/0/image")).collect()
}

fn redis(cluster: &Cluster, pod: &str, command: &[&str]) -> Result<String> {
    Ok(cluster.kubectl(&[&["exec", pod, "--", "redis-cli"], command].concat())?.trim().to_owned())
}

/// Writes rows that name their database.
fn write_rows(cluster: &Cluster, pod: &str) -> Result<()> {
    for row in 0..5 {
        let answer = redis(cluster, pod, &["set", &format!("row-{row}"), &format!("{pod} wrote {row}")])?;
        ensure!(answer == "OK", "{pod} answers {answer:?}");
    }
    Ok(())
}

fn check_rows(cluster: &Cluster, pod: &str) -> Result<()> {
    for row in 0..5 {
        let found = redis(cluster, pod, &["get", &format!("row-{row}")])?;
        ensure!(found == format!("{pod} wrote {row}"), "{pod} holds {found:?}");
    }
    ensure!(redis(cluster, pod, &["dbsize"])? == "5", "{pod} holds other rows as well");
    Ok(())
}

/// The databases that came or went since `revision`, in that order.
fn moved_since(cluster: &Cluster, revision: &str, kind: &str) -> Result<Vec<String>> {
    let changes = changes_since(cluster, PODS, revision)?;
    let moved = changes.iter().filter(|change| text(change, "/type") == kind);
    Ok(moved.map(|change| text(change, "/object/metadata/name").to_owned()).collect())
}

fn revision(cluster: &Cluster) -> Result<String> {
    let pods = cluster.object(PODS)?.context("no pods")?;
    Ok(text(&pods, "/metadata/resourceVersion").to_owned())
}

#[test]
fn a_database_keeps_its_rows_its_name_and_its_order() -> Result<()> {
    let mut cluster = Setup::docker().start()?;
    // Not by a file, which would put replicas and template back.
    cluster.try_kubectl(&["apply", "-f", "-"], MANIFEST)?.succeeded()?;
    let first = wait_for(&cluster, 3)?;
    for pod in ["db-0", "db-1", "db-2"] {
        write_rows(&cluster, pod)?;
    }

    a_deleted_database_comes_back_after_a_kill(&mut cluster, &first)?;
    databases_go_and_come_in_order(&cluster)?;
    a_template_rolls_to_its_partition_and_back(&cluster)
}

/// The process holds the store, the operators and the node agent: all of them are killed at once.
fn a_deleted_database_comes_back_after_a_kill(cluster: &mut Cluster, first: &[Value]) -> Result<()> {
    cluster.kubectl(&["delete", "pod", "db-1", "--wait=false"])?;
    cluster.kill()?;
    cluster.up()?;
    let uid = |pods: &[Value], name: &str| {
        let found = pods.iter().find(|pod| text(pod, "/metadata/name") == name);
        found.map(|pod| text(pod, "/metadata/uid").to_owned())
    };
    let before = uid(first, "db-1").context("there was no db-1")?;
    let after = eventually("db-1 is there again", WITHIN, || {
        let pods = wait_for(cluster, 3)?;
        Ok(uid(&pods, "db-1").filter(|uid| *uid != before).map(|_| pods))
    })?;
    for name in ["db-0", "db-2"] {
        ensure!(uid(&after, name) == uid(first, name), "{name} was replaced");
    }
    let hostname = cluster.kubectl(&["exec", "db-1", "--", "hostname"])?;
    ensure!(hostname.trim() == "db-1", "it calls itself {hostname:?}");
    ["db-0", "db-1", "db-2"].iter().try_for_each(|pod| check_rows(cluster, pod))
}

fn databases_go_and_come_in_order(cluster: &Cluster) -> Result<()> {
    let before = revision(cluster)?;
    cluster.kubectl(&["scale", "statefulset", "db", "--replicas=1"])?;
    wait_for(cluster, 1)?;
    ensure!(moved_since(cluster, &before, "DELETED")? == ["db-2", "db-1"], "they went in another order");
    let before = revision(cluster)?;
    cluster.kubectl(&["scale", "statefulset", "db", "--replicas=3"])?;
    wait_for(cluster, 3)?;
    ensure!(moved_since(cluster, &before, "ADDED")? == ["db-1", "db-2"], "they came in another order");
    ["db-0", "db-1", "db-2"].iter().try_for_each(|pod| check_rows(cluster, pod))
}

fn a_template_rolls_to_its_partition_and_back(cluster: &Cluster) -> Result<()> {
    let partition = r#"{"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}}"#;
    cluster.kubectl(&["patch", "statefulset", "db", "--patch", partition])?;
    cluster.kubectl(&["set", "image", "statefulset/db", &format!("redis={V2}")])?;
    let rolled = |expected: [&str; 3]| {
        eventually(&format!("the databases run {expected:?}"), WITHIN, || {
            let pods = wait_for(cluster, 3)?;
            Ok((images(&pods) == expected).then_some(()))
        })
    };
    rolled([V1, V1, V2])?;
    check_rows(cluster, "db-2")?;
    cluster.kubectl(&["rollout", "undo", "statefulset/db"])?;
    rolled([V1, V1, V1])?;
    ["db-0", "db-1", "db-2"].iter().try_for_each(|pod| check_rows(cluster, pod))
}
