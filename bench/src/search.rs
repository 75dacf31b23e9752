//! Ten million lines kept on a node: how long a question takes, from `sampan logs` to the end of what it prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use sampan_logs::{Batch, Limits, Line, Position, Run, Store, Stream};
use sampan_system_tests::Setup;

use crate::figures::{Budget, Report};

const RUNS: u64 = 10;
const LINES: u64 = 10_000_000;
/// Lines taken at once.
const BATCH: u64 = 10_000;
/// One line in so many is told apart by a word.
const RARE: u64 = 1_000_000;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let mut cluster = Setup::docker().start()?;
    cluster.interrupt()?;
    fill(&cluster.data().join("node/logs"))?;
    cluster.up()?;
    let second = Budget::AtMost(1.0);
    let questions: [(&str, &[&str], usize, Budget); 5] = [
        ("a label and a text", &["-l", "app=web-3", "--grep", "teapot"], 1, second),
        ("a text", &["--grep", "teapot"], 10, second),
        ("a text, and the lines beside", &["--grep", "teapot", "-C", "2"], 50, second),
        ("a text in the last ten minutes", &["--grep", "teapot", "--since", "10m"], 1, second),
        ("an expression", &["--regex", "status 418 .*pot"], 10, Budget::Shown),
    ];
    for (what, arguments, count, budget) in questions {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let started = Instant::now();
            let told = cluster.sampan(&[&["logs", "-A"], arguments].concat())?.succeeded()?;
            best = best.min(started.elapsed());
            let lines = told.stdout.lines().count();
            ensure!(lines == count, "{lines} lines told of {count}: {}", told.stdout);
        }
        let seconds = best.as_secs_f64();
        report.figure(&format!("search of 10 million lines: {what}"), seconds, "s", budget);
    }
    Ok(())
}

/// Writes the lines as a node does that collected them: all runs at once, over the last hour.
fn fill(folder: &Path) -> Result<()> {
    let mut store = Store::open(folder, Limits::default())?;
    let now_ns = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let (step_ns, mut seed) = (3_600_000_000_000 / i64::try_from(LINES)?, 1_u64);
    let ids: Vec<String> = (0..RUNS).map(|run| format!("{run:064x}")).collect();
    for (number, id) in ids.iter().enumerate() {
        store.begin(run(id, number));
    }
    for first in (0..LINES).step_by(usize::try_from(BATCH)?) {
        let Some(id) = ids.get(usize::try_from(first / BATCH % RUNS)?) else { continue };
        let lines = (first..first + BATCH).map(|number| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let time_ns = now_ns - (i64::try_from(LINES - number).unwrap_or(0)) * step_ns;
            Line { time_ns, stream: Stream::Stdout, text: text(number, seed).into_bytes() }
        });
        let batch = Batch { lines: lines.collect(), at_end: true, ..Batch::default() };
        store.take(id, &batch, Position { file: 1, offset: first, skip: 0 })?;
    }
    ids.iter().try_for_each(|id| store.end(id))?;
    Ok(())
}

fn text(number: u64, seed: u64) -> String {
    let (item, milliseconds, client) = (seed >> 50, seed >> 33 & 0x3f, seed >> 24 & 0xff);
    // Those of the rare ones that are told apart are spread over the runs.
    let what = if number % RARE == number / RARE * BATCH + BATCH / 2 {
        "status 418 short and stout teapot"
    } else {
        "status 200"
    };
    format!("request {number} GET /shop/items/{item} {what} in {milliseconds} ms for 10.244.1.{client}")
}

fn run(id: &str, number: usize) -> Run {
    Run {
        id: id.to_owned(),
        namespace: "default".to_owned(),
        pod: format!("web-{number}"),
        uid: id.to_owned(),
        container: "main".to_owned(),
        attempt: 0,
        node: "bench".to_owned(),
        labels: BTreeMap::from([("app".to_owned(), format!("web-{number}"))]),
    }
}
