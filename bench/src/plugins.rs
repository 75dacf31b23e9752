//! What it costs that an operator is a program: from what wakes it to its commit, beside one that is built in; a thousand objects
//! of one plugin; and a plugin at rest.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sampan_system_tests::cluster::{SOON, sampan_binary};
use sampan_system_tests::{Cluster, Setup, eventually, run};
use serde_json::{Value, json};

use crate::figures::{Budget, Report, Samples};
use crate::idle::Process;
use crate::reads::answered;

/// Changes that are answered one after the other.
const CHANGES: usize = 300;
/// Objects of one plugin.
const OBJECTS: usize = 1_000;
/// Until the last answer is over and forgotten.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the processor time is counted.
const LENGTH: Duration = Duration::from_secs(20);

/// An operator that says in the status of its objects what their spec says.
struct Echo {
    name: &'static str,
    collection: &'static str,
    /// Where the spec and the status say it.
    said: [&'static str; 2],
    /// The median it may take, in milliseconds.
    budget: Budget,
}

const ECHOES: [Echo; 3] = [
    Echo {
        name: "built in",
        collection: "/api/v1/namespaces/default/resourcequotas",
        said: ["/spec/hard/pods", "/status/hard/pods"],
        budget: Budget::Shown,
    },
    Echo {
        name: "a plugin in Python",
        collection: "/apis/operators.example.com/v1/namespaces/default/teapythons",
        said: ["/spec/message", "/status/message"],
        budget: Budget::AtMost(5.0),
    },
    Echo {
        name: "a plugin in shell with jq",
        collection: "/apis/operators.example.com/v1/namespaces/default/teashs",
        said: ["/spec/message", "/status/message"],
        budget: Budget::AtMost(25.0),
    },
];

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    rest(&cluster, report, "without plugins")?;
    for lang in ["python", "sh"] {
        let started = Instant::now();
        install(&cluster, lang)?;
        let took = started.elapsed().as_secs_f64();
        report.figure(&format!("written and dropped in → it runs, {lang}"), took, "s", Budget::AtMost(1.0));
    }
    for name in ["tea-python", "tea-sh"] {
        let memory = process(&cluster, name)?.memory()?;
        report.figure(&format!("memory of the idle plugin {name}"), memory.anonymous_mb, "MB", Budget::AtMost(20.0));
    }
    rest(&cluster, report, "with two idle plugins and all of theirs")?;
    for echo in &ECHOES {
        let samples = latency(&cluster, echo)?;
        let what = format!("woken → committed, {}", echo.name);
        report.figure(&format!("{what}, p50"), samples.percentile_ms(50), "ms", echo.budget);
        report.figure(&format!("{what}, p99"), samples.percentile_ms(99), "ms", Budget::Shown);
    }
    thousand(&cluster, report)
}

/// Drops a new operator into the cluster's directory.
fn install(cluster: &Cluster, lang: &str) -> Result<()> {
    let (folder, name) = (tempfile::tempdir()?, format!("tea-{lang}"));
    let mut new = Command::new(sampan_binary());
    run(new.args(["operator", "new", &name, "--lang", lang]).current_dir(folder.path()), "")?.succeeded()?;
    let files: &[&str] = if lang == "sh" { &["tea-sh.sh"] } else { &["tea_python.py", "sampan_operator.py"] };
    for file in files.iter().chain(&["plugin.yaml"]) {
        copy(&folder.path().join(&name).join(file), &cluster.manifests().join(&name).join(file))?;
    }
    eventually("the plugin runs", SOON, || Ok(process(cluster, &name).ok().map(drop)))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    std::fs::copy(from, to).map(drop).with_context(|| format!("failed to copy {}", from.display()))
}

fn process(cluster: &Cluster, plugin: &str) -> Result<Process> {
    let plugin = cluster.object(&format!("/apis/sampan.dev/v1/operatorplugins/{plugin}"))?.context("no plugin")?;
    let pid = plugin.pointer("/status/pid").and_then(Value::as_u64).context("it does not run")?;
    Ok(Process::with_id(u32::try_from(pid)?))
}

/// What Sampan and its plugins take while nothing happens.
fn rest(cluster: &Cluster, report: &mut Report, what: &str) -> Result<()> {
    std::thread::sleep(SETTLE);
    let plugins = ["tea-python", "tea-sh"].into_iter().filter_map(|name| process(cluster, name).ok());
    let all: Vec<Process> = plugins.chain([Process::of(cluster)?]).collect();
    let taken = || all.iter().map(Process::processor_seconds).sum::<Result<f64>>();
    let before = taken()?;
    std::thread::sleep(LENGTH);
    let share = (taken()? - before) / LENGTH.as_secs_f64() * 100.0;
    report.figure(&format!("idle processor, {what}"), share, "% of a core", Budget::AtMost(0.5));
    Ok(())
}

/// From the change of a spec to the status that follows, as one watch sees both.
fn latency(cluster: &Cluster, echo: &Echo) -> Result<Samples> {
    let (mut api, [spec, status]) = (cluster.api()?, echo.said);
    answered(api.create(echo.collection, &nested(spec, "0"))?, 201)?;
    let path = format!("{}/measured", echo.collection);
    let mut events = api.watch(echo.collection)?;
    let mut samples = Samples::default();
    for change in 1..=CHANGES {
        let said = change.to_string();
        let patch = nested(spec, &said).to_string();
        answered(api.send("PATCH", &path, "application/merge-patch+json", patch.as_bytes())?, 200)?;
        let mut changed = None;
        loop {
            let object = events.next().context("the watch ended")??;
            let says = |at: &str| object.pointer(&format!("/object{at}")).is_some_and(|found| *found == *said);
            if !says(spec) {
                continue;
            }
            let changed = *changed.get_or_insert_with(Instant::now);
            if says(status) {
                samples.add(changed.elapsed());
                break;
            }
        }
    }
    Ok(samples)
}

/// An object that says something at a field.
fn nested(field: &str, said: &str) -> Value {
    let mut object =
        field.rsplit('/').filter(|name| !name.is_empty()).fold(json!(said), |inner, name| json!({name: inner}));
    if let Some(fields) = object.as_object_mut() {
        fields.insert("metadata".to_owned(), json!({"name": "measured"}));
    }
    object
}

/// A thousand objects of one plugin: made and answered for, and answered for by the program that takes its place.
fn thousand(cluster: &Cluster, report: &mut Report) -> Result<()> {
    let Some(Echo { collection, .. }) = ECHOES.get(1) else { bail!("no plugin in Python") };
    let mut api = cluster.api()?;
    let started = Instant::now();
    for number in 0..OBJECTS {
        let object = json!({"metadata": {"name": format!("of-many-{number}")}, "spec": {"message": "ahoy"}});
        answered(api.create(collection, &object)?, 201)?;
    }
    until_all_say(cluster, collection, "ahoy")?;
    let took = started.elapsed().as_secs_f64();
    report.figure("1 000 objects of one plugin in Python: made and answered for", took, "s", Budget::AtMost(5.0));
    let program = cluster.manifests().join("tea-python/tea_python.py");
    let text = std::fs::read_to_string(&program)?.replace("question.spec.get(\"message\")", "\"belay\"");
    let started = Instant::now();
    std::fs::write(program, text)?;
    until_all_say(cluster, collection, "belay")?;
    let took = started.elapsed().as_secs_f64();
    report.figure("the program is replaced → all 1 000 are as the new one says", took, "s", Budget::AtMost(5.0));
    let memory = process(cluster, "tea-python")?.memory()?;
    report.figure("memory of a plugin in Python with 1 000 objects", memory.anonymous_mb, "MB", Budget::AtMost(20.0));
    Ok(())
}

fn until_all_say(cluster: &Cluster, collection: &str, said: &str) -> Result<()> {
    eventually("all are answered for", SOON, || {
        let objects = cluster.list(collection)?;
        let say = objects.iter().filter(|object| object.pointer("/status/message").is_some_and(|it| it == said));
        Ok((say.count() >= OBJECTS).then_some(()))
    })
}
