//! Services under load on real Docker: rolls, kills, lost rules, and who answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::docker::{containers_of, docker};
use sampan_system_tests::load::{answering, doors};
use sampan_system_tests::manifest::{served_web, service};
use sampan_system_tests::{Cluster, Load, Setup, eventually, run};
use serde_json::Value;

use crate::workloads::{PODS, is_ready, wait_for_rollout, web_pods};

/// Requests a second: enough to meet every moment of a roll, and little beside what other tests need of the machine.
const PER_SECOND: u32 = 200;
/// After a pod has died without a word, nobody is led to it any longer than this.
const LED_ON_AT_MOST: Duration = Duration::from_secs(1);

/// A cluster whose `web` has so many ready pods behind a Service, and its doors.
fn served(replicas: usize) -> Result<(Cluster, [SocketAddr; 2])> {
    let cluster = Setup::docker().with_manifest("web.yaml", &served_web("sampan-demo:v1", replicas)).start()?;
    wait_for_rollout(&cluster, "sampan-demo:v1", replicas)?;
    let doors = doors(&cluster, "web")?;
    Ok((cluster, doors))
}

#[test]
fn no_request_fails_while_what_is_behind_a_service_rolls_and_is_scaled() -> Result<()> {
    let (cluster, doors) = served(2)?;
    let ((), outcome) = Load::on(&doors, PER_SECOND)?.during(|| {
        for (image, replicas) in [("v2", 2), ("v1", 2), ("v1", 4), ("v1", 1), ("v1", 2)] {
            let image = format!("sampan-demo:{image}");
            cluster.write_manifest("web.yaml", &served_web(&image, replicas))?;
            wait_for_rollout(&cluster, &image, replicas)?;
        }
        Ok(())
    })?;
    let outcome = outcome.without_failure()?;
    println!("{outcome}");
    // Two at first, two of the roll, two of the roll back, two more by scaling, one more at the end.
    ensure!(outcome.by_pod(|it| it.is_fresh).len() >= 8, "{:?}", outcome.by_pod(|it| it.is_fresh));
    Ok(())
}

#[test]
fn no_request_fails_while_sampan_is_killed_in_the_middle_of_a_roll_and_comes_back() -> Result<()> {
    let (mut cluster, doors) = served(2)?;
    let ((), outcome) = Load::on(&doors, PER_SECOND)?.during(|| {
        cluster.write_manifest("web.yaml", &served_web("sampan-demo:v2", 2))?;
        eventually("a pod is on its way out", SOON, || {
            let pods = cluster.list(PODS)?;
            Ok(pods.iter().any(|pod| pod.pointer("/metadata/deletionTimestamp").is_some()).then_some(()))
        })?;
        cluster.kill()?;
        cluster.up()?;
        wait_for_rollout(&cluster, "sampan-demo:v2", 2).map(drop)
    })?;
    println!("{}", outcome.without_failure()?);
    Ok(())
}

#[test]
fn rules_that_somebody_removes_are_put_back() -> Result<()> {
    let (cluster, doors) = served(1)?;
    let id = std::fs::read_to_string(cluster.data().join("cluster-id"))?;
    let table = format!("sampan_{}", id.trim().replace('-', "_"));
    // What is sent to the Service's own address would leave the machine where no rule leads it.
    let [_, on_loopback] = doors;
    // Of `nft flush ruleset` each table sees a `delete`; others' tables are none of a test's business.
    for verb in ["delete", "flush"] {
        run(Command::new("nft").args([verb, "table", "ip", &table]), "")?.succeeded()?;
        answering(&[on_loopback]).with_context(|| format!("after {verb}"))?;
    }
    answering(&doors)
}

/// A way to die without a word: the cluster, and the pod that is to die.
type Death = fn(&Cluster, &Value) -> Result<()>;

#[test]
fn requests_fail_no_longer_than_a_second_after_a_pod_died_without_a_word() -> Result<()> {
    let (cluster, doors) = served(3)?;
    let deaths: [(&str, Death); 3] = [
        ("its container is killed", |_, pod| docker(&["kill", &containers_of(pod)?.concat()]).map(drop)),
        ("its sandbox is killed", |_, pod| {
            docker(&["kill", &format!("k8s_POD_{}_default_{}_0", name(pod)?, uid(pod)?)]).map(drop)
        }),
        ("it is deleted by force", |cluster, pod| {
            cluster.kubectl(&["delete", "pod", name(pod)?, "--force", "--grace-period=0"]).map(drop)
        }),
    ];
    for (number, (how, kill)) in deaths.into_iter().enumerate() {
        let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 3)?;
        // Another each time: a pod that was restarted before is kept waiting.
        let victim = pods.get(number).context("no pod")?;
        let (died, outcome) = Load::on(&doors, PER_SECOND)?.during(|| {
            kill(&cluster, victim)?;
            let died = Instant::now();
            eventually("another takes its place", SOON, || Ok(is_replaced(&cluster, victim)?.then_some(())))?;
            // Long enough to see a failure that comes later than it may.
            std::thread::sleep((LED_ON_AT_MOST * 2).saturating_sub(died.elapsed()));
            Ok(died)
        })?;
        let last = outcome.failed().map(|request| request.began).max();
        let led_on = last.map(|last| last.saturating_duration_since(died)).unwrap_or_default();
        println!("{how}: {outcome}, the last of them {led_on:.1?} after the death");
        ensure!(led_on <= LED_ON_AT_MOST, "{how}: {:?}", outcome.without_failure());
    }
    Ok(())
}

fn name(pod: &Value) -> Result<&str> {
    pod.pointer("/metadata/name").and_then(Value::as_str).context("no name")
}

fn uid(pod: &Value) -> Result<&str> {
    pod.pointer("/metadata/uid").and_then(Value::as_str).context("no uid")
}

/// Whether three pods are ready, none of which is what `victim` was: another pod, or the same with another run.
fn is_replaced(cluster: &Cluster, victim: &Value) -> Result<bool> {
    let run = |pod: &Value| -> Result<_> { Ok((uid(pod)?.to_owned(), containers_of(pod)?)) };
    let (dead, pods) = (run(victim)?, web_pods(cluster)?);
    Ok(pods.len() == 3 && pods.iter().all(|pod| is_ready(pod) && run(pod).is_ok_and(|it| it != dead)))
}

#[test]
fn connections_are_spread_evenly_and_clients_stay_where_a_service_wants_that() -> Result<()> {
    let (cluster, reached) = served(3)?;
    let outcome = Load::on(&reached, 500)?.lasting(Duration::from_secs(4))?.without_failure()?;
    for door in reached {
        spread_evenly(&outcome.by_pod(|request| request.is_fresh && request.door == door))?;
    }
    let sticky = service("sticky", "  sessionAffinity: ClientIP\n");
    cluster.write_manifest("sticky.yaml", &sticky)?;
    for door in doors(&cluster, "sticky")? {
        let stayed = Load::on(&[door], 100)?.lasting(Duration::from_secs(1))?.without_failure()?;
        ensure!(stayed.by_pod(|_| true).len() == 1, "{:?}", stayed.by_pod(|_| true));
    }
    Ok(())
}

/// Chi-square over three pods: two degrees of freedom, where the chance to exceed x is exp(-x/2). 40 is exceeded twice in a
/// thousand million.
fn spread_evenly(counts: &BTreeMap<String, usize>) -> Result<()> {
    let each = counts.values().sum::<usize>() as f64 / 3.0;
    let chi_square: f64 = counts.values().map(|count| (*count as f64 - each).powi(2) / each).sum();
    println!("{counts:?}: chi-square {chi_square:.2}");
    ensure!(counts.len() == 3 && each > 150.0 && chi_square < 40.0, "{counts:?}: {chi_square}");
    Ok(())
}
