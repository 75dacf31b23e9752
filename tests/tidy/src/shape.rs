//! File sizes, module documentation, unfinished markers, and the rooms of an operator crate.

use std::collections::BTreeSet;

use crate::Finding;
use crate::source::code_lines;
use crate::tree::Tree;

/// Over this, look for the second noun.
const LONGEST_FILE: usize = 500;

/// Markers of work that was put off. Spelled in two parts, so that this file does not find itself.
const UNFINISHED: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:")];
/// Macros that stand for missing code.
const MISSING_CODE: [&str; 2] = ["todo!(", "unimplemented!("];

/// The files of every operator crate: who knows one knows all.
const ROOMS: [&str; 6] =
    ["src/lib.rs", "src/machine.rs", "src/plan.rs", "src/status.rs", "tests/conformance.rs", "tests/transitions.rs"];
/// Libraries beside the operators, none of them.
const NOT_OPERATORS: [&str; 2] = ["podset", "storage"];

/// Every misshapen file.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut found: Vec<Finding> = tree.rust_files().flat_map(|(path, text)| check_file(path, text)).collect();
    found.extend(operators(tree).into_iter().flat_map(|operator| check_rooms(tree, operator)));
    found
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        found.push(Finding::file(
            "size",
            path,
            format!("{lines} lines, over {LONGEST_FILE}: look for the second noun"),
        ));
    }
    if !text.trim_start().starts_with("//!") {
        found.push(Finding::line("module-docs", path, 1, "the file does not say what it is: begin it with `//!`"));
    }
    for (index, line) in text.lines().enumerate() {
        if let Some(marker) = UNFINISHED.iter().find(|marker| line.contains(*marker)) {
            found.push(Finding::line(
                "unfinished",
                path,
                index + 1,
                format!("`{marker}`: finish it, or file an issue"),
            ));
        }
    }
    for (index, line) in code_lines(text).iter().enumerate() {
        if let Some(missing) = MISSING_CODE.iter().find(|missing| line.contains(*missing)) {
            found.push(Finding::line("unfinished", path, index + 1, format!("`{missing}…)` stands for missing code")));
        }
    }
    found
}

fn operators(tree: &Tree) -> BTreeSet<&str> {
    let names = tree.files.keys().filter_map(|path| path.strip_prefix("operators/")?.split('/').next());
    names.filter(|name| !NOT_OPERATORS.contains(name)).collect()
}

fn check_rooms(tree: &Tree, operator: &str) -> Vec<Finding> {
    let missing = ROOMS.iter().map(|room| format!("operators/{operator}/{room}"));
    let mut found: Vec<Finding> = missing
        .filter(|path| !tree.files.contains_key(path))
        .map(|path| Finding::file("rooms", &path, "every operator crate has this room"))
        .collect();
    for prefix in ["ok_", "reject_"] {
        let start = format!("operators/{operator}/tests/manifests/{prefix}");
        if !tree.files.keys().any(|path| path.starts_with(&start)) {
            found.push(Finding::file(
                "rooms",
                &format!("{start}*.yaml"),
                "no manifest shows what is accepted and refused",
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|found| (found.rule, found.line)).collect()
    }

    #[test]
    fn a_long_file_is_found() {
        let long = format!("//! Long.\n{}", "//\n".repeat(LONGEST_FILE));
        assert_eq!(rules("cli/src/a.rs", &long), [("size", 0)]);
        assert_eq!(rules("cli/src/a.rs", "//! Short.\n"), []);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_found() {
        assert_eq!(rules("cli/src/a.rs", "fn main() {}\n"), [("module-docs", 1)]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for marker in UNFINISHED {
            assert_eq!(rules("cli/src/a.rs", &format!("//! A.\n// {marker} later\n")), [("unfinished", 2)], "{marker}");
        }
        for missing in MISSING_CODE {
            assert_eq!(rules("cli/src/a.rs", &format!("//! A.\nfn a() {{ {missing}) }}\n")), [("unfinished", 2)]);
        }
    }

    #[test]
    fn an_operator_without_its_rooms_is_found() {
        let mut files: Vec<(String, &str)> =
            ROOMS.iter().map(|room| (format!("operators/replicaset/{room}"), "//! A room.\n")).collect();
        files.push(("operators/replicaset/tests/manifests/ok_small.yaml".to_owned(), ""));
        files.push(("operators/replicaset/tests/manifests/reject_empty.yaml".to_owned(), ""));
        let tree = |files: &[(String, &str)]| {
            Tree::of(&files.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>())
        };
        assert_eq!(check(&tree(&files)), []);
        for index in 0..files.len() {
            let mut fewer = files.clone();
            let (removed, _) = fewer.remove(index);
            assert_eq!(check(&tree(&fewer)).len(), 1, "{removed}");
        }
    }

    #[test]
    fn a_shared_library_is_not_an_operator() {
        assert_eq!(rules("operators/podset/src/lib.rs", "//! Shared.\n"), []);
    }
}
