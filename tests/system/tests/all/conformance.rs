//! `sampan conformance` as an author of an operator uses it.

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
