//! An operator in Rust, newly written: a crate like the one in `templates/rust`, by another name.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::operator::kind;

/// The files of the template. It is a crate of this workspace, so that what is written is known to build and to hold.
const FILES: [(&str, &str); 12] = [
    ("Cargo.toml", include_str!("../../templates/rust/standalone.toml")),
    ("README.md", include_str!("../../templates/rust/README.md")),
    ("kind.yaml", include_str!("../../templates/rust/kind.yaml")),
    ("samples/message.yaml", include_str!("../../templates/rust/samples/message.yaml")),
    ("samples/silent.yaml", include_str!("../../templates/rust/samples/silent.yaml")),
    ("src/conformance.rs", include_str!("../../templates/rust/src/conformance.rs")),
    ("src/lib.rs", include_str!("../../templates/rust/src/lib.rs")),
    ("src/machine.rs", include_str!("../../templates/rust/src/machine.rs")),
    ("src/main.rs", include_str!("../../templates/rust/src/main.rs")),
    ("src/plan.rs", include_str!("../../templates/rust/src/plan.rs")),
    ("src/resource.rs", include_str!("../../templates/rust/src/resource.rs")),
    ("tests/conformance.rs", include_str!("../../templates/rust/tests/conformance.rs")),
];

/// The folder of Sampan's source: the one given, or the one the current folder is in.
pub(super) fn source(given: Option<&Path>) -> Result<PathBuf> {
    let is_source = |folder: &Path| folder.join("cli/templates/rust/Cargo.toml").is_file();
    let found = match given {
        Some(folder) => Some(folder.to_owned()),
        None => std::env::current_dir()?.ancestors().find(|folder| is_source(folder)).map(Path::to_owned),
    };
    let folder = found.context(
        "an operator in Rust is built with Sampan's source, and the current folder is not in it: name it by --source",
    )?;
    ensure!(is_source(&folder), "{} is not Sampan's source", folder.display());
    folder.canonicalize().with_context(|| format!("failed to find {}", folder.display()))
}

/// The files of a crate of that name. The versions of what it is built with are those Sampan itself is built with.
pub(super) fn files(name: &str, source: &Path) -> Result<Vec<(String, String)>> {
    let lock = std::fs::read_to_string(source.join("Cargo.lock")).context("failed to read Sampan's Cargo.lock")?;
    let sampan = source.join("cli").display().to_string();
    let named = FILES.into_iter().map(|(file, text)| (file.to_owned(), named(text, name).replace("@SAMPAN@", &sampan)));
    Ok(named.chain([("Cargo.lock".to_owned(), lock)]).collect())
}

/// The template's text with its name in place of the template's.
fn named(text: &str, name: &str) -> String {
    let kind = kind(name);
    let words = [
        ("ship-greeting", name.to_owned()),
        ("ship_greeting", name.replace('-', "_")),
        ("shipgreeting", name.replace('-', "")),
        ("ShipGreeting", kind),
    ];
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_keeps_the_name_of_the_template() {
        for (file, text) in FILES {
            let text = named(text, "coffee-shop").to_lowercase();
            assert!(!text.contains("ship-g") && !text.contains("ship_g") && !text.contains("shipg"), "{file}: {text}");
        }
    }

    #[test]
    fn what_it_is_built_with_is_what_sampan_is_built_with() {
        let workspace = include_str!("../../../Cargo.toml");
        let version = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap_or_default().to_owned();
            line.split('"').nth(1).unwrap_or_default().to_owned()
        };
        for name in ["k8s-openapi", "serde", "serde_json", "statig", "strum"] {
            let own = version(FILES[0].1, name);
            assert!(!own.is_empty() && own == version(workspace, name), "{name}");
        }
    }
}
