//! Nodes that are accepted and refused. Their definition is the core's.

use sampan_conformance::manifests;
use sampan_core::resource::builtin;

#[test]
fn manifests_are_accepted_or_refused_as_their_names_say() {
    let definition = builtin().into_iter().find(|it| it.kind == "Node").expect("Nodes are served");
    manifests::keep_their_names(&definition, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests"));
}
