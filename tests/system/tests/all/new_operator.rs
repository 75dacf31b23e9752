//! What `sampan operator new` writes, built and proved as its README says; and the module that programs in Python are written with.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::sampan_binary;
use sampan_system_tests::{Run, run};

fn sampan(folder: &Path, arguments: &[&str]) -> Result<Run> {
    run(Command::new(sampan_binary()).args(arguments).current_dir(folder), "")
}

/// Sampan's source.
fn source() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
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

/// A workspace of Sampan's crates and one more. Built as it is written, a new crate has Sampan's own built anew, because cargo
/// tells crates apart by where they are from the workspace: from here they are where they are from Sampan's, and are built.
fn workspace_with(name: &str, folder: &Path) -> Result<()> {
    let source = source()?;
    for entry in std::fs::read_dir(&source)? {
        let path = entry?.path();
        let name = path.file_name().context("an entry has a name")?;
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            symlink(&path, folder.join(name))?;
        }
    }
    std::fs::copy(source.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let manifest = std::fs::read_to_string(source.join("Cargo.toml"))?;
    let members = format!("members = [\n    \"{name}\",");
    std::fs::write(folder.join("Cargo.toml"), manifest.replacen("members = [", &members, 1))?;
    let own = folder.join(name).join("Cargo.toml");
    let manifest = std::fs::read_to_string(&own)?;
    let manifest = manifest.replace(&source.display().to_string(), "..").replace("[workspace]", "");
    std::fs::write(own, manifest).context("failed to write the manifest")
}

fn is_of_this_crate(variable: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_"].iter().any(|of_crate| variable.starts_with(of_crate))
}

#[test]
fn a_new_operator_in_rust_is_built_and_proved_as_it_is_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = source()?.display().to_string();
    sampan(folder.path(), &["operator", "new", "green-tea", "--lang", "rust", "--source", &source])?.succeeded()?;
    let written = folder.path().join("green-tea");
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What tells this test of its own crate would have what looks at it built anew.
        let own = std::env::vars_os().map(|(name, _)| name).filter(|name| is_of_this_crate(&name.to_string_lossy()));
        own.for_each(|name| {
            cargo.env_remove(name);
        });
        run(cargo.args(arguments).arg("--offline").current_dir(&written), "")
    };
    // By itself it resolves, with the versions it brings along.
    cargo(&["tree", "--depth", "1"])?.succeeded()?.says("strum v")?;
    workspace_with("green-tea", folder.path())?;
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("a test is in its target folder")?.display().to_string();
    let proof = cargo(&["test", "--target-dir", &target, "--package", "green-tea"])?.succeeded()?;
    ensure!(proof.stdout.contains("test every_property_holds ... ok"), "{}", proof.stdout);
    ensure!(proof.stdout.contains("test the_documented_table_is_the_declared_one ... ok"), "{}", proof.stdout);
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
