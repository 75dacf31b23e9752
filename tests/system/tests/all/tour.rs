//! The README's tour, run as it is written.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::console::{commands, walk};
use sampan_system_tests::source::{source, target};
use sampan_system_tests::{Setup, run};

#[test]
fn down_takes_the_binary_that_is_there_and_builds_only_where_there_is_none() -> Result<()> {
    let project = source()?;
    let target = tempfile::tempdir()?;
    let planned = || {
        let mut make = Command::new("make");
        // Below `make test` it would name its directory first.
        make.args(["--no-print-directory", "--dry-run", "down"])
            .current_dir(&project)
            .env("CARGO_TARGET_DIR", target.path());
        run(make.env_remove("MAKEFLAGS"), "")?.succeeded()
    };
    ensure!(planned()?.stdout.starts_with("cargo build"), "nothing is there: {:?}", planned()?);
    let binary = target.path().join("release/sampan");
    std::fs::create_dir_all(target.path().join("release"))?;
    std::fs::write(&binary, "")?;
    ensure!(planned()?.stdout.starts_with(&format!("{} down", binary.display())), "{:?}", planned()?);
    Ok(())
}

#[test]
fn every_command_of_the_tour_works_as_written() -> Result<()> {
    let project = source()?;
    let readme = std::fs::read_to_string(project.join("README.md"))?;
    let commands = commands(&readme);
    ensure!(commands.len() > 15, "the tour is short: {commands:?}");

    let mut setup = Setup::docker();
    for entry in std::fs::read_dir(project.join("manifests"))? {
        let path = entry?.path();
        let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
        setup = setup.with_manifest(&name, &std::fs::read_to_string(&path)?);
    }
    let cluster = setup.start()?;
    // The folder the reader stands in: `manifests`, `.sampan`, `scripts` and `target/debug/sampan` under the names of the tour.
    let here = cluster.folder();
    std::os::unix::fs::symlink(cluster.data(), here.join(".sampan"))?;
    std::fs::create_dir_all(here.join("target/debug"))?;
    std::os::unix::fs::symlink(sampan_system_tests::cluster::sampan_binary(), here.join("target/debug/sampan"))?;
    std::os::unix::fs::symlink(project.join("scripts"), here.join("scripts"))?;
    cluster.kubectl(&["wait", "-n", "demo", "deploy/web", "--for=create", "--timeout=60s"])?;
    cluster.kubectl(&["rollout", "status", "-n", "demo", "deploy/web", "--timeout=60s"])?;

    // Where `scripts/kubectl` has left what it fetched.
    let walked = run(walk(&commands, here).env("CARGO_TARGET_DIR", target()?), "")?.succeeded()?;
    for expected in ["version v1", "version v2", "web.yaml:", "stateDiagram", "there is a message", "conflicts resolve"]
    {
        ensure!(walked.stdout.contains(expected), "the tour never shows `{expected}`:\n{}", walked.stdout);
    }
    Ok(())
}
