//! Clients of Kubernetes as their users have them, unchanged: helm, programs in Python and Go, an
//! operator made with kopf. Each plays the tables in its folder of `clients/`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use sampan_system_tests::{Setup, run};

use crate::kubectl_table::{play, tables};

/// A folder, its program, and arguments with which it does nothing but come to be: it is fetched or built once for a target
/// folder, which no case has the time for.
const CLIENTS: [(&str, &str, &[&str]); 3] =
    [("helm", "helm", &["version"]), ("python", "python", &["--version"]), ("go", "client", &[])];

#[test]
fn clients_of_kubernetes_work_unchanged() -> Result<()> {
    let mut all = Vec::new();
    for (folder, program, arguments) in CLIENTS {
        let folder = Path::new("clients").join(folder);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder).join(program);
        run(Command::new(program).args(arguments), "")?.succeeded()?;
        all.extend(tables(&folder.display().to_string())?);
    }
    play(&Setup::simulated(3).start()?, all)
}
