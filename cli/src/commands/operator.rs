//! `sampan operator`: what an author of operators needs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use sampan_core::object::names;

use super::{operator_run, rust_operator as rust};
use crate::args::{Language, NewOperator, OperatorCommand};
use crate::say::say;

const PLUGIN: &str = include_str!("../../templates/plugin.yaml");
const README: &str = include_str!("../../templates/README.md");
const MESSAGE: &str = include_str!("../../templates/message.yaml");
const SILENT: &str = include_str!("../../templates/silent.yaml");
const PYTHON: &str = include_str!("../../templates/python/operator.py");
const PYTHON_TEST: &str = include_str!("../../templates/python/test_operator.py");
const PYTHON_MODULE: &str = include_str!("../../../sdk/python/sampan_operator.py");
const SHELL: &str = include_str!("../../templates/sh/operator.sh");

pub(crate) fn run(command: &OperatorCommand) -> Result<()> {
    match command {
        OperatorCommand::New(arguments) => new(arguments),
        OperatorCommand::Run(arguments) => operator_run::run(arguments),
    }
}

/// Writes an operator that works, with what proves it.
fn new(arguments: &NewOperator) -> Result<()> {
    let name = &arguments.name;
    let faults = names::dns_1123_label(name);
    ensure!(faults.is_empty(), "{name:?} is no name for an operator: {}", faults.join("; "));
    let folder = arguments.folder.clone().unwrap_or_else(|| PathBuf::from(name));
    if folder.exists() {
        bail!("{} is there already", folder.display());
    }
    let files = match arguments.lang {
        Language::Rust => rust::files(name, &rust::source(arguments.source.as_deref())?)?,
        language => files(name, language),
    };
    for (file, text) in &files {
        write(&folder.join(file), text)?;
    }
    let proof = match arguments.lang {
        Language::Rust => format!("in it, `cargo run -- conformance {name}` proves it"),
        _ => format!("prove it with `sampan conformance {}`", folder.display()),
    };
    say!("{} is written; {proof}", folder.display());
    Ok(())
}

fn files(name: &str, language: Language) -> Vec<(String, String)> {
    let module = name.replace('-', "_");
    let (program, command, installed) = match language {
        Language::Python => {
            let program = format!("{module}.py");
            let files = format!("[{program}, sampan_operator.py]");
            (
                program.clone(),
                (format!("[python3, {program}]"), files),
                format!("plugin.yaml {program} sampan_operator.py"),
            )
        }
        Language::Sh => {
            let program = format!("{name}.sh");
            (program.clone(), (format!("[{program}]"), format!("[{program}]")), format!("plugin.yaml {program}"))
        }
        Language::Rust => unreachable!("a crate is no plugin"),
    };
    let singular = name.replace('-', "");
    let words = [
        ("@NAME@", name.to_owned()),
        ("@KIND@", kind(name)),
        ("@SINGULAR@", singular.clone()),
        ("@PLURAL@", format!("{singular}s")),
        ("@MODULE@", module),
        ("@PROGRAM@", program.clone()),
        ("@COMMAND@", command.0),
        ("@FILES@", command.1),
        ("@INSTALLED@", installed),
    ];
    let filled = |text: &str| words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
    let mut files = vec![
        ("plugin.yaml".to_owned(), filled(PLUGIN)),
        ("README.md".to_owned(), filled(README)),
        ("samples/message.yaml".to_owned(), filled(MESSAGE)),
        ("samples/silent.yaml".to_owned(), filled(SILENT)),
    ];
    match language {
        Language::Python => {
            files.push((program, filled(PYTHON)));
            files.push(("sampan_operator.py".to_owned(), PYTHON_MODULE.to_owned()));
            files.push((format!("test_{}.py", name.replace('-', "_")), filled(PYTHON_TEST)));
        }
        Language::Sh | Language::Rust => files.push((program, filled(SHELL))),
    }
    files
}

/// `coffee-shop` as a kind: `CoffeeShop`.
pub(super) fn kind(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    });
    parts.collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        for language in [Language::Python, Language::Sh] {
            for (file, text) in files("coffee-shop", language) {
                assert!(!text.lines().any(|line| line.contains('@') && !line.trim_start().starts_with('@')), "{file}");
            }
        }
    }

    #[test]
    fn a_kind_is_written_as_kinds_are() {
        assert_eq!(kind("coffee-shop"), "CoffeeShop");
    }
}
