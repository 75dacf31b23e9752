//! `sampan conformance` as an author of an operator uses it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::sampan_binary;
use sampan_system_tests::{Run, run};
use serde_json::Value;

fn conformance(arguments: &[&str]) -> Result<Run> {
    run(Command::new(sampan_binary()).arg("conformance").args(arguments), "")
}

#[test]
fn an_operator_is_proved_in_small_worlds_and_in_histories() -> Result<()> {
    let table = conformance(&["namespace"])?.succeeded()?;
    table.says("survives a crash at every commit")?.says("holds")?.says("crash at a commit")?;
    let told = conformance(&["namespace", "-o", "json"])?.succeeded()?.json()?;
    let proof = told.get(0).context("no proof")?;
    ensure!(proof.pointer("/failures") == Some(&Value::Array(Vec::new())), "{proof:#}");
    ensure!(proof.pointer("/transitions/taken") == proof.pointer("/transitions/declared"), "{proof:#}");
    let properties = proof.pointer("/properties").and_then(Value::as_array).context("no properties")?;
    ensure!(properties.iter().all(|property| property.get("holds") == Some(&Value::Bool(true))), "{proof:#}");
    Ok(())
}

#[test]
fn one_history_is_drawn_again_by_its_seed_and_world() -> Result<()> {
    let told = conformance(&["namespace", "--world", "emptied", "--seed", "7", "-o", "json"])?.succeeded()?.json()?;
    let proof = told.get(0).context("no proof")?;
    ensure!(proof.pointer("/histories") == Some(&1.into()), "{proof:#}");
    ensure!(proof.pointer("/worlds") == Some(&Value::Array(Vec::new())), "{proof:#}");
    Ok(())
}

#[test]
fn what_is_not_there_is_answered_with_what_is() -> Result<()> {
    conformance(&["nobody"])?.failed()?.complains("no operator `nobody`")?.complains("namespace")?;
    conformance(&["namespace", "--world", "nowhere"])?
        .failed()?
        .complains("no world `nowhere`")?
        .complains("emptied")?;
    Ok(())
}

/// A copy of an example, with one text of one of its files replaced.
fn broken_copy(example: &str, file: &str, from: &str, to: &str) -> Result<tempfile::TempDir> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
    let copy = tempfile::tempdir()?;
    std::fs::create_dir(copy.path().join("samples"))?;
    for within in ["", "samples"] {
        for entry in std::fs::read_dir(folder.join(within))? {
            let path = entry?.path();
            if path.is_file() {
                let name = path.file_name().context("no name")?;
                std::fs::copy(&path, copy.path().join(within).join(name))?;
            }
        }
    }
    let text = std::fs::read_to_string(copy.path().join(file))?;
    ensure!(text.contains(from), "{file} has no `{from}`");
    std::fs::write(copy.path().join(file), text.replace(from, to))?;
    Ok(copy)
}

fn named(example: &str, file: &str, from: &str, to: &str, property: &str, problem: &str) -> Result<()> {
    let copy = broken_copy(example, file, from, to)?;
    let path = copy.path().display().to_string();
    let told = conformance(&[&path, "--seeds", "10"])?.failed()?;
    let named = told.stdout.lines().any(|line| line.starts_with("world ") && line.contains(property));
    ensure!(named && told.stdout.contains(problem), "not named: {property}, {problem}\n{}", told.stdout);
    told.says(&format!("again: sampan conformance {path}"))?;
    Ok(())
}

#[test]
fn a_plugin_is_proved_from_its_folder() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scheduledscale");
    let told = conformance(&[&folder.display().to_string(), "-o", "json"])?.succeeded()?.json()?;
    let proof = told.get(0).context("no proof")?;
    ensure!(proof.pointer("/transitions/taken") == Some(&3.into()), "{proof:#}");
    ensure!(proof.pointer("/histories").and_then(Value::as_u64) > Some(0), "{proof:#}");
    Ok(())
}

#[test]
fn a_mistake_planted_in_a_plugin_is_named() -> Result<()> {
    let (example, program) = ("scheduledscale", "scheduledscale.py");
    // It keeps what it once said of a target that is gone.
    named(example, program, "status={}", "status=None", "the status can be rebuilt", "the world ends differently")?;
    let undeclared = "the plugin asked to update deployments.apps/default/web, which it does not declare";
    named(
        example,
        "plugin.yaml",
        "verbs: [update]",
        "verbs: [delete]",
        "writes and reads what it declared",
        undeclared,
    )?;
    let missing = "if deployment is None:";
    named(example, program, missing, "if deployment[\"spec\"] is None:", "steps are sound", "it failed: TypeError")?;
    let (window, chance) = ("replicas = window", "import os; replicas = os.urandom(1)[0] or window");
    let two_ways = "the plugin answers the same question in two ways";
    named(example, program, window, chance, "steps are sound", two_ways)?;
    named(example, program, "import Any", "import Nothing", "steps are sound", "it ended: exit status: 1")?;
    Ok(())
}

fn proved(example: &str) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
    conformance(&[&folder.display().to_string()])?.succeeded().map(drop)
}

#[test]
fn an_example_with_effects_is_proved_and_its_broken_copies_are_named() -> Result<()> {
    proved("postgresdatabase")?;
    let (example, program) = ("postgresdatabase", "postgresdatabase.py");
    // It says that it is ready while the server is still at it, and has nothing to say of where.
    let done = "if not (made and made.done):";
    named(example, program, done, "if not made:", "steps are sound", "it failed: TypeError")?;
    let undeclared = "the plugin asked for the effect \"drop\", which it does not declare";
    let drop = "  - {name: drop, deadlineSeconds: 60}\n";
    named(example, "plugin.yaml", drop, "", "writes and reads what it declared", undeclared)
}

#[test]
fn an_example_in_shell_is_proved_and_its_broken_copies_are_named() -> Result<()> {
    proved("configmapfromdirectory")?;
    let (example, program) = ("configmapfromdirectory", "configmapfromdirectory.sh");
    // It leaves the map behind when the directory goes.
    let copy = broken_copy(example, program, "delete: [$map + {$name}],", "")?;
    let told = conformance(&[&copy.path().display().to_string(), "--seeds", "10"])?;
    ensure!(told.code != 0, "{}", told.stdout);
    let other = "the plugin answers with the state \"Gone\", which it does not declare";
    named(example, program, "state: \"Missing\"", "state: \"Gone\"", "writes and reads what it declared", other)?;
    Ok(())
}

#[test]
fn what_is_missing_for_the_proof_of_a_plugin_is_said() -> Result<()> {
    let copy = broken_copy("scheduledscale", "plugin.yaml", "states:", "stats:")?;
    let path = copy.path().display().to_string();
    conformance(&[&path])?.failed()?.complains("spec.states: Required value")?;
    let copy = broken_copy("scheduledscale", "plugin.yaml", "apiVersion: apps/v1", "apiVersion: apps/v9")?;
    let path = copy.path().display().to_string();
    conformance(&[&path])?.failed()?.complains("the kind Deployment of apps/v9 is not served")?;
    Ok(())
}
