//! The documents name every member of the workspace, and nothing of one developer's machine.

use crate::Finding;
use crate::tree::{Package, Tree};

const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const READMES: [&str; 2] = ["README.md", "README.zh.md"];

/// Paths that exist on one machine only. Spelled in two parts, so that this file does not find itself.
const PRIVATE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/root", "/."), concat!("/home", "/")];

/// Every gap in the documents.
pub fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in packages {
        found.extend(unnamed(tree, ARCHITECTURE, &format!("`{}`", package.folder)));
    }
    let mut top: Vec<&str> = packages.iter().filter_map(|package| package.folder.split('/').next()).collect();
    top.dedup();
    for readme in READMES {
        found.extend(top.iter().filter_map(|folder| unnamed(tree, readme, &format!("`{folder}/"))));
    }
    for (path, text) in &tree.files {
        for (index, line) in text.lines().enumerate() {
            if let Some(private) = PRIVATE_PATHS.iter().find(|private| line.contains(*private)) {
                let message = format!("`{private}` is a path of one machine");
                found.push(Finding::line("private-path", path, index + 1, message));
            }
        }
    }
    found
}

fn unnamed(tree: &Tree, document: &str, name: &str) -> Option<Finding> {
    let text = tree.files.get(document).map_or("", String::as_str);
    (!text.contains(name)).then(|| Finding::file("guide", document, format!("does not mention {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(folder: &str) -> Package {
        let (dependencies, dev_dependencies) = (Vec::new(), Vec::new());
        Package { name: folder.to_owned(), folder: folder.to_owned(), dependencies, dev_dependencies }
    }

    #[test]
    fn a_member_that_no_document_names_is_found() {
        let documents = [(ARCHITECTURE, "`core`"), ("README.md", "`core/`"), ("README.zh.md", "`core/`")];
        assert_eq!(check(&Tree::of(&documents), &[member("core")]), []);
        let found = check(&Tree::of(&documents), &[member("core"), member("operators/job")]);
        assert_eq!(
            found.iter().map(|found| found.path.as_str()).collect::<Vec<_>>(),
            [ARCHITECTURE, "README.md", "README.zh.md"]
        );
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for private in PRIVATE_PATHS {
            let text = format!("run {private}x\n");
            assert_eq!(check(&Tree::of(&[("docs/a.md", &text)]), &[]).len(), 1, "{private}");
        }
    }
}
