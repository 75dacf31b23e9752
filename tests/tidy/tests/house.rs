//! The house as it stands keeps its own rules.

use std::path::Path;

use sampan_tidy::allowed::Allowances;
use sampan_tidy::inspect;
use sampan_tidy::tree::{Package, Tree};

#[test]
fn the_house_keeps_its_rules() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.join("../..").canonicalize().expect("the workspace is two folders up");
    let tree = Tree::read(&root).expect("the workspace is readable");
    let packages = Package::read_all(&root).expect("cargo describes the workspace");
    assert!(packages.len() > 10 && tree.rust_files().count() > 40, "the rules looked at nothing");
    let allowed = std::fs::read_to_string(here.join("allowed.txt")).expect("allowed.txt is beside this crate");
    let allowances = Allowances::parse(&allowed).expect("every allowance has a reason");
    let found = inspect(&tree, &packages, &allowances);
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
}
