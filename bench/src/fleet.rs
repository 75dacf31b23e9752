//! A thousand Deployments of three pods each, on simulated nodes: made, then rolled, all at once.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sampan_system_tests::{Cluster, Setup};
use serde_json::{Value, json};

use crate::figures::{Budget, Report};
use crate::reads::answered;
use crate::writes::from_all;

const NODES: usize = 100;
const DEPLOYMENTS: usize = 1_000;
const REPLICAS: u64 = 3;
const CLIENTS: usize = 8;
const PATH: &str = "/apis/apps/v1/namespaces/default/deployments";
const WITHIN: Duration = Duration::from_mins(5);
/// A list of all of them is large: looking costs what is measured.
const LOOK_EACH: Duration = Duration::from_millis(500);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(NODES).start()?;
    let started = Instant::now();
    from_all(&cluster, CLIENTS, |api, client| {
        (client..DEPLOYMENTS)
            .step_by(CLIENTS)
            .try_for_each(|number| answered(api.create(PATH, &deployment(number))?, 201))
    })?;
    wait_until_settled(&cluster)?;
    report.figure("1 000 Deployments × 3 made and ready", started.elapsed().as_secs_f64(), "s", Budget::Shown);

    let started = Instant::now();
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "sampan-demo:v2"}]}}}});
    let image = image.to_string();
    from_all(&cluster, CLIENTS, |api, client| {
        (client..DEPLOYMENTS).step_by(CLIENTS).try_for_each(|number| {
            let path = format!("{PATH}/web-{number}");
            answered(api.send("PATCH", &path, "application/strategic-merge-patch+json", image.as_bytes())?, 200)
        })
    })?;
    wait_until_settled(&cluster)?;
    report.figure("the same rolled to another image", started.elapsed().as_secs_f64(), "s", Budget::Shown);
    Ok(())
}

fn deployment(number: usize) -> Value {
    let labels = json!({"app": format!("web-{number}")});
    json!({"metadata": {"name": format!("web-{number}")}, "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "sampan-demo:v1"}]}}}})
}

/// Waits until every Deployment has exactly the pods it asks for, of its newest template, ready.
fn wait_until_settled(cluster: &Cluster) -> Result<()> {
    let started = Instant::now();
    loop {
        let settled = cluster.list(PATH)?.iter().filter(|deployment| is_settled(deployment)).count();
        if settled == DEPLOYMENTS {
            return Ok(());
        }
        if started.elapsed() > WITHIN {
            bail!("{settled} of {DEPLOYMENTS} Deployments are settled");
        }
        std::thread::sleep(LOOK_EACH);
    }
}

fn is_settled(deployment: &Value) -> bool {
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let counts = ["replicas", "updatedReplicas", "readyReplicas"].map(|count| number(&format!("/status/{count}")));
    number("/status/observedGeneration") == number("/metadata/generation") && counts == [REPLICAS; 3]
}
