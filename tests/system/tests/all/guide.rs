//! The guide for authors of operators in Rust, run as it is written: from an operator that is there to a crate of one's own.

use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::sampan_binary;
use sampan_system_tests::console::{commands, walk};
use sampan_system_tests::source::{source, target, without_own_crate};
use sampan_system_tests::{Cluster, Run, Setup, SourceCopy, run};

/// What the guide has run in a terminal of its own. Here it is the harness that does, on a port of the test's own.
const IN_ITS_OWN_TERMINAL: &str = "cargo run -p configrollout -- up --simulate-nodes 1";
/// After this the crate it writes is brought into the workspace around it: all of Sampan would be built anew for it otherwise.
const WRITES_A_CRATE: &str = "sampan operator new green-tea --lang rust";

#[test]
fn every_command_of_the_guide_works_as_written() -> Result<()> {
    let guide = std::fs::read_to_string(source()?.join("docs/writing-an-operator.md"))?;
    let (terminal, commands): (Vec<&str>, Vec<&str>) =
        commands(&guide).into_iter().partition(|command| command.contains(" -- up"));
    ensure!(terminal == [IN_ITS_OWN_TERMINAL], "the guide runs {terminal:?} in a terminal of its own");
    let written = commands.iter().position(|command| *command == WRITES_A_CRATE);
    let written = written.context("the guide writes no crate")? + 1;
    let (with_a_cluster, with_a_crate) = commands.split_at(written);
    ensure!(with_a_cluster.len() > 8 && with_a_crate.len() > 3, "the guide is short: {commands:?}");

    let here = SourceCopy::new()?;
    let cluster = cluster_of_the_example(&here)?;
    let walked = step(&here, with_a_cluster)?;
    // Of the Deployment, of its annotation, and of the patch.
    let third_revision = "\n3         <none>";
    for expected in [third_revision, "configrollout", "stateDiagram", "conflicts resolve", "holds"] {
        ensure!(walked.stdout.contains(expected), "the guide never shows `{expected}`:\n{}", walked.stdout);
    }
    drop(cluster);
    here.adopt("green-tea")?;
    let walked = step(&here, with_a_crate)?;
    for expected in [
        "test every_property_holds ... ok",
        "test the_documented_table_is_the_declared_one ... ok",
        "7 of 7 transitions taken",
        "stateDiagram",
    ] {
        ensure!(walked.stdout.contains(expected), "the guide never shows `{expected}`:\n{}", walked.stdout);
    }
    Ok(())
}

/// The cluster the reader has in another terminal, where the reader finds it: its data, Sampan and kubectl under the names of the
/// guide.
fn cluster_of_the_example(here: &SourceCopy) -> Result<Cluster> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--offline", "-p", "configrollout"]).current_dir(here.folder());
    build.env("CARGO_TARGET_DIR", target()?);
    run(without_own_crate(&mut build), "")?.succeeded()?;
    let cluster = Setup::simulated(1).of(target()?.join("debug/configrollout")).start()?;
    let built = here.folder().join("target/debug");
    std::fs::create_dir_all(&built)?;
    symlink(cluster.data(), here.folder().join(".sampan"))?;
    symlink(sampan_binary(), built.join("sampan"))?;
    let kubectl = cluster.kubectl_command()?.get_program().to_owned();
    // Where it is no path, the reader's shell finds it as we do.
    if std::path::Path::new(&kubectl).is_absolute() {
        symlink(kubectl, built.join("kubectl"))?;
    }
    Ok(cluster)
}

fn step(here: &SourceCopy, commands: &[&str]) -> Result<Run> {
    let mut bash = walk(commands, here.folder());
    bash.env("CARGO_TARGET_DIR", target()?).env("CARGO_NET_OFFLINE", "true");
    run(without_own_crate(&mut bash), "")?.succeeded()
}
