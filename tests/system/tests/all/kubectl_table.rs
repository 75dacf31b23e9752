//! What kubectl says, command by command: the tables in `tests/kubectl` and, where containers matter, `tests/kubectl_docker`.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::table::{Stage, parse};
use sampan_system_tests::{Cluster, Setup};

/// Tables played at once: more only wait for the processors.
const TABLES_AT_ONCE: usize = 4;

#[test]
fn every_command_of_the_tables_does_what_it_says() -> Result<()> {
    play(&Setup::simulated(3).start()?, tables("tests/kubectl")?)
}

#[test]
fn every_command_that_reaches_into_containers_does_what_it_says() -> Result<()> {
    play(&Setup::docker().start()?, tables("tests/kubectl_docker")?)
}

/// On a cluster of its own: it loses nodes.
#[test]
fn what_becomes_of_lost_nodes_and_their_pods_is_as_it_says() -> Result<()> {
    play(&Setup::simulated(3).start()?, tables("tests/kubectl_nodes")?)
}

/// The tables of a folder, given from the package's own.
pub(crate) fn tables(folder: &str) -> Result<Vec<PathBuf>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut tables: Vec<PathBuf> = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    tables.retain(|path| path.extension().is_some_and(|extension| extension == "cases"));
    tables.sort();
    ensure!(!tables.is_empty(), "{} holds no tables", folder.display());
    Ok(tables)
}

/// Plays tables, and tells of each case that failed.
pub(crate) fn play(cluster: &Cluster, tables: Vec<PathBuf>) -> Result<()> {
    let (waiting, faults) = (Mutex::new(tables), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..TABLES_AT_ONCE {
            scope.spawn(|| {
                while let Some(table) = waiting.lock().ok().and_then(|mut tables| tables.pop()) {
                    let found = play_table(cluster, &table).unwrap_or_else(|error| vec![format!("{error:#}")]);
                    let named = found.into_iter().map(|fault| format!("{}: {fault}", table.display()));
                    if let Ok(mut faults) = faults.lock() {
                        faults.extend(named);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap_or_default();
    ensure!(faults.is_empty(), "{} cases failed:\n\n{}", faults.len(), faults.join("\n\n"));
    Ok(())
}

/// Plays one table; what is wrong with it.
fn play_table(cluster: &Cluster, table: &std::path::Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(table)?;
    let cases = parse(&text).with_context(|| format!("failed to read {}", table.display()))?;
    let stage = Stage::new(cluster, table)?;
    let played = cases.iter().map(|case| stage.play(case).with_context(|| case.name.clone()));
    Ok(played.filter_map(Result::err).map(|fault| format!("{fault:#}")).collect())
}
