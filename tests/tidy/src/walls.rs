//! Who may import whom, and which library belongs to which room.
//!
//! Dependencies point one way: `core` ← `operators`, `apiserver`, `tests` ← `cli`. Operators never import one another,
//! and the node agent knows the API but not the store.

use crate::Finding;
use crate::source::{code_lines, imports};
use crate::tree::{Package, Tree};

/// A library that only one room may know: the library, the package that declares it, the sources that name it.
struct Room {
    library: &'static str,
    package: fn(&Package) -> bool,
    source: fn(&str) -> bool,
    home: &'static str,
}

const ROOMS: [Room; 4] = [
    Room {
        library: "fjall",
        package: |package| package.name == "sampan-core",
        source: |path| path.starts_with("core/src/store/backend"),
        home: "core/src/store/backend",
    },
    Room {
        library: "notify",
        package: |package| package.name == "sampan-core",
        source: |path| path.starts_with("core/src/manifest"),
        home: "core/src/manifest",
    },
    Room {
        library: "bollard",
        package: |package| package.name == "sampan-nodeagent",
        source: |path| path.starts_with("nodeagent/"),
        home: "nodeagent",
    },
    Room {
        library: "statig",
        package: |package| {
            let has_machines = ["sampan-nodeagent", "sampan-machine"].contains(&package.name.as_str());
            is_operator(package)
                || has_machines
                || ["examples/", "cli/templates/"].iter().any(|of| package.folder.starts_with(of))
        },
        source: |path| path.ends_with("/machine.rs"),
        home: "files named machine.rs",
    },
];

/// What a package may import of the house itself.
enum Reach {
    /// These members and no other.
    Only(&'static [&'static str]),
    /// Any: the binary and what tests it as a whole.
    Any,
}

/// Libraries that speak HTTP, talk to containers or run tasks: none of them in the core.
const NOT_IN_CORE: [&str; 12] = [
    "axum",
    "bollard",
    "http",
    "hyper",
    "hyper-util",
    "kube",
    "reqwest",
    "rustls",
    "tokio",
    "tokio-rustls",
    "tonic",
    "tower-service",
];

/// What several operators share, in the folder of the operators.
const LIBRARIES: [&str; 2] = ["sampan-podset", "sampan-storage"];

/// Every broken wall.
pub fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut found: Vec<Finding> = packages.iter().flat_map(|package| check_package(package, packages)).collect();
    found.extend(tree.rust_files().flat_map(|(path, text)| check_source(path, text)));
    found
}

fn is_operator(package: &Package) -> bool {
    package.folder.starts_with("operators/")
}

fn reach(package: &Package) -> Reach {
    match package.name.as_str() {
        "sampan-machine" | "sampan-logs" | "sampan-trust" | "sampan-tidy" | "sampan-demo" => Reach::Only(&[]),
        "sampan-outputs" => Reach::Only(&["sampan-logs", "sampan-trust"]),
        "sampan-core" => Reach::Only(&["sampan-machine"]),
        "sampan-nodeagent" => Reach::Only(&["sampan-machine", "sampan-logs", "sampan-outputs", "sampan-trust"]),
        "sampan-apiserver" => Reach::Only(&["sampan-core", "sampan-machine", "sampan-trust"]),
        "sampan-conformance" | "sampan-pluginhost" => Reach::Only(&["sampan-core", "sampan-machine"]),
        // The kit comes with the feature `conformance` alone, beside which an operator's suite stands.
        _ if is_operator(package) => {
            Reach::Only(&["sampan-core", "sampan-machine", "sampan-podset", "sampan-storage", "sampan-conformance"])
        }
        _ => Reach::Any,
    }
}

fn check_package(package: &Package, packages: &[Package]) -> Vec<Finding> {
    let mut found = Vec::new();
    let ours = |name: &str| packages.iter().any(|other| other.name == name);
    let manifest = package.manifest();
    if let Reach::Only(allowed) = reach(package) {
        for name in package.dependencies.iter().filter(|name| ours(name) && !allowed.contains(&name.as_str())) {
            found.push(Finding::file("walls", &manifest, format!("{} must not import {name}", package.name)));
        }
    }
    if is_operator(package) {
        let others = package.dev_dependencies.iter().filter(|name| **name != package.name);
        for name in others.filter(|name| operator_named(packages, name)) {
            let message = format!("{} must not import {name}, not even in its tests", package.name);
            found.push(Finding::file("walls", &manifest, message));
        }
    }
    if ["sampan-core", "sampan-machine"].contains(&package.name.as_str()) {
        for name in package.dependencies.iter().filter(|name| NOT_IN_CORE.contains(&name.as_str())) {
            found.push(Finding::file("walls", &manifest, format!("the core does no I/O: it must not import {name}")));
        }
    }
    for room in ROOMS.iter().filter(|room| !(room.package)(package)) {
        let all = package.dependencies.iter().chain(&package.dev_dependencies);
        for name in all.filter(|name| *name == room.library) {
            found.push(Finding::file("walls", &manifest, format!("{name} belongs to {}", room.home)));
        }
    }
    found
}

fn operator_named(packages: &[Package], name: &str) -> bool {
    packages.iter().any(|other| other.name == name && is_operator(other) && !LIBRARIES.contains(&name))
}

fn check_source(path: &str, text: &str) -> Vec<Finding> {
    let rooms: Vec<&Room> = ROOMS.iter().filter(|room| !(room.source)(path)).collect();
    let mut found = Vec::new();
    for (index, line) in code_lines(text).iter().enumerate() {
        for room in rooms.iter().filter(|room| imports(line, room.library)) {
            let message = format!("{} is named here, but belongs to {}", room.library, room.home);
            found.push(Finding::line("walls", path, index + 1, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
        Package { name: name.to_owned(), folder: folder.to_owned(), dependencies, dev_dependencies: Vec::new() }
    }

    fn refused(name: &str, folder: &str, dependency: &str) -> bool {
        let mut packages = vec![package(name, folder, &[dependency])];
        for (other, place) in
            [("sampan-core", "core"), ("sampan-deployment", "operators/deployment"), ("sampan", "cli")]
        {
            if other != name {
                packages.push(package(other, place, &[]));
            }
        }
        !check(&Tree::default(), &packages).is_empty()
    }

    #[test]
    fn operators_do_not_import_one_another() {
        assert!(refused("sampan-replicaset", "operators/replicaset", "sampan-deployment"));
        assert!(!refused("sampan-replicaset", "operators/replicaset", "sampan-core"));
    }

    #[test]
    fn operators_do_not_import_one_another_in_tests_either() {
        let mut replicaset = package("sampan-replicaset", "operators/replicaset", &[]);
        replicaset.dev_dependencies.push("sampan-deployment".to_owned());
        let packages = [replicaset, package("sampan-deployment", "operators/deployment", &[])];
        assert_eq!(check(&Tree::default(), &packages).len(), 1);
    }

    #[test]
    fn the_node_agent_does_not_know_the_store() {
        assert!(refused("sampan-nodeagent", "nodeagent", "sampan-core"));
    }

    #[test]
    fn the_core_knows_neither_http_nor_containers_nor_a_runtime() {
        for library in NOT_IN_CORE {
            assert!(refused("sampan-core", "core", library), "{library}");
        }
    }

    #[test]
    fn given_libraries_stay_in_their_rooms() {
        for library in ["fjall", "notify", "bollard"] {
            assert!(refused("sampan", "cli", library), "{library}");
        }
        let text = "use fjall::Database;\nuse notify::Watcher;\nuse bollard::Docker;\nuse statig::prelude::*;\n";
        let lines =
            |path: &str| check(&Tree::of(&[(path, text)]), &[]).into_iter().map(|found| found.line).collect::<Vec<_>>();
        assert_eq!(lines("core/src/gateway/mod.rs"), [1, 2, 3, 4]);
        assert_eq!(lines("core/src/store/backend/fjall.rs"), [2, 3, 4]);
        assert_eq!(lines("core/src/manifest/watcher.rs"), [1, 3, 4]);
        assert_eq!(lines("nodeagent/src/docker.rs"), [1, 2, 4]);
        assert_eq!(lines("operators/replicaset/src/machine.rs"), [1, 2, 3]);
    }

    #[test]
    fn the_binary_may_import_everyone() {
        assert!(!refused("sampan", "cli", "sampan-deployment"));
    }
}
