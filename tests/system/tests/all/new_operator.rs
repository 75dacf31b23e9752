//! What `sampan operator new` writes, proved as its README says; and the module that programs in Python are written with.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use sampan_system_tests::cluster::sampan_binary;
use sampan_system_tests::source::source;
use sampan_system_tests::{Run, run};

fn sampan(folder: &Path, arguments: &[&str]) -> Result<Run> {
    run(Command::new(sampan_binary()).args(arguments).current_dir(folder), "")
}

#[test]
fn a_new_operator_works_and_is_proved_as_it_is_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for lang in ["python", "sh"] {
        let name = format!("tea-{lang}");
        sampan(folder.path(), &["operator", "new", &name, "--lang", lang])?.succeeded()?;
        sampan(folder.path(), &["conformance", &name])?.succeeded()?.says("2 of 2 transitions taken")?;
        sampan(folder.path(), &["operator", "new", &name])?.failed()?.complains("is there already")?;
    }
    let tests = folder.path().join("tea-python");
    run(Command::new("python3").args(["-m", "unittest"]).current_dir(tests), "")?
        .succeeded()?
        .complains("Ran 2 tests")?;
    Ok(())
}

/// It is built and proved where the guide has it written: `guide.rs`.
#[test]
fn a_new_operator_in_rust_resolves_by_itself_with_the_versions_it_brings_along() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = source()?.display().to_string();
    sampan(folder.path(), &["operator", "new", "green-tea", "--lang", "rust", "--source", &source])?.succeeded()?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let written = folder.path().join("green-tea");
    run(cargo.args(["tree", "--depth", "1", "--offline"]).current_dir(written), "")?.succeeded()?.says("strum v")?;
    Ok(())
}

#[test]
fn the_python_module_passes_its_own_tests() -> Result<()> {
    let module = source()?.join("sdk/python");
    let told = run(Command::new("python3").args(["-B", "-m", "unittest"]).current_dir(module), "")?.succeeded()?;
    // Some versions are content with a folder in which they find nothing.
    ensure!(!told.stderr.contains("Ran 0 tests"), "{}", told.stderr);
    told.complains("OK").map(drop)
}
