//! A thousand requests a second through a Service while the Deployment behind it rolls and is scaled: none may fail.

use std::time::{Duration, Instant};

use anyhow::Result;
use sampan_system_tests::load::doors;
use sampan_system_tests::manifest::served_web;
use sampan_system_tests::{Cluster, Load, Setup};

use crate::figures::{Budget, Report};
use crate::pods;

const PER_SECOND: u32 = 1_000;
const LENGTH: Duration = Duration::from_mins(1);
const REPLICAS: usize = 3;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::docker().with_manifest("web.yaml", &served_web("sampan-demo:v1", REPLICAS)).start()?;
    pods::wait_until_ready(&cluster, REPLICAS)?;
    let doors = doors(&cluster, "web")?;
    let (rolls, outcome) = Load::on(&doors, PER_SECOND)?.during(|| {
        let (started, mut rolls) = (Instant::now(), 0);
        while started.elapsed() < LENGTH {
            roll(&cluster, "v2", REPLICAS)?;
            roll(&cluster, "v1", REPLICAS)?;
            roll(&cluster, "v1", REPLICAS + 2)?;
            roll(&cluster, "v1", REPLICAS - 1)?;
            rolls += 2;
        }
        Ok(rolls)
    })?;
    let (asked, failed) = (outcome.requests().len() as f64, outcome.failed().count() as f64);
    report.figure("requests at 1 000 a second, half fresh, half kept", asked, "", Budget::AtLeast(60_000.0));
    report.figure("rolls meanwhile, and as often scaled", f64::from(rolls), "", Budget::Shown);
    report.figure("requests that failed", failed, "", Budget::AtMost(0.0));
    for percent in [50, 99] {
        let took = outcome.percentile(percent).as_secs_f64() * 1000.0;
        report.figure(&format!("request due → answered, p{percent}"), took, "ms", Budget::Shown);
    }
    if let Err(error) = outcome.without_failure() {
        println!("{error:#}");
    }
    Ok(())
}

fn roll(cluster: &Cluster, version: &str, replicas: usize) -> Result<()> {
    cluster.write_manifest("web.yaml", &served_web(&format!("sampan-demo:{version}"), replicas))?;
    let image = format!("--for=jsonpath={{.spec.template.spec.containers[0].image}}=sampan-demo:{version}");
    let count = format!("--for=jsonpath={{.spec.replicas}}={replicas}");
    for seen in [&image, &count] {
        cluster.kubectl(&["wait", "deployment/web", seen, "--timeout=60s"])?;
    }
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).map(drop)
}
