//! The watched folder: what a file's life does to the objects it holds.

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::{SOON, truncate};
use sampan_system_tests::manifest::{config_map, web};
use sampan_system_tests::{Cluster, Setup, eventually, while_holding};
use serde_json::Value;
use std::time::Duration;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Long enough for a wrong reaction to show: what is gone is taken for gone after two seconds.
const A_WHILE: Duration = Duration::from_secs(4);

fn map(cluster: &Cluster, name: &str) -> Result<Option<Value>> {
    cluster.object(&format!("{MAPS}/{name}"))
}

fn value(map: &Value) -> Option<&str> {
    map.pointer("/data/key")?.as_str()
}

fn wait_for_value(cluster: &Cluster, name: &str, expected: &str) -> Result<Value> {
    eventually(&format!("{name} holds {expected}"), SOON, || {
        Ok(map(cluster, name)?.filter(|map| value(map) == Some(expected)))
    })
}

fn identity(object: &Value) -> (Option<&Value>, Option<&Value>) {
    (object.pointer("/metadata/uid"), object.pointer("/metadata/resourceVersion"))
}

#[test]
fn a_dropped_file_creates_an_edit_updates_and_a_deletion_removes() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    cluster.write_manifest("a.yaml", &config_map("a", "one"))?;
    let first = wait_for_value(&cluster, "a", "one")?;
    cluster.write_manifest("a.yaml", &config_map("a", "two"))?;
    let second = wait_for_value(&cluster, "a", "two")?;
    ensure!(identity(&first).0 == identity(&second).0, "an edit must not recreate the object");
    cluster.delete_manifest("a.yaml")?;
    eventually("the object is gone", SOON, || Ok(map(&cluster, "a")?.is_none().then_some(())))
}

#[test]
fn a_document_taken_out_of_a_file_removes_its_object_alone() -> Result<()> {
    let both = format!("{}---\n{}", config_map("a", "one"), config_map("b", "one"));
    let cluster = Setup::simulated(1).with_manifest("both.yaml", &both).start()?;
    wait_for_value(&cluster, "b", "one")?;
    cluster.write_manifest("both.yaml", &config_map("a", "one"))?;
    eventually("b is gone", SOON, || Ok(map(&cluster, "b")?.is_none().then_some(())))?;
    ensure!(map(&cluster, "a")?.is_some(), "a stays in the file and must stay in the cluster");
    Ok(())
}

#[test]
fn renaming_a_file_or_moving_a_document_touches_nothing() -> Result<()> {
    let cluster = Setup::simulated(1).with_manifest("old.yaml", &config_map("a", "one")).start()?;
    let before = wait_for_value(&cluster, "a", "one")?;
    std::fs::rename(cluster.manifests().join("old.yaml"), cluster.manifests().join("new.yaml"))?;
    while_holding(A_WHILE, || {
        let now = map(&cluster, "a")?.context("the object went with the old name")?;
        ensure!(identity(&now) == identity(&before), "the rename wrote to the object");
        Ok(())
    })?;
    let both = format!("{}---\n{}", config_map("b", "one"), config_map("a", "one"));
    cluster.write_manifest("sub/other.yaml", &both)?;
    cluster.delete_manifest("new.yaml")?;
    wait_for_value(&cluster, "b", "one")?;
    while_holding(A_WHILE, || {
        let now = map(&cluster, "a")?.context("the object went with its old file")?;
        ensure!(identity(&now).0 == identity(&before).0, "the move recreated the object");
        Ok(())
    })
}

#[test]
fn a_broken_file_names_line_column_and_snippet_and_harms_nothing() -> Result<()> {
    let cluster = Setup::simulated(1).with_manifest("a.yaml", &config_map("a", "one")).start()?;
    let before = wait_for_value(&cluster, "a", "one")?;
    cluster.write_manifest("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [a\ndata:\n  key: two\n")?;
    let shown = eventually("the status shows the problem", SOON, || {
        let status = cluster.sampan(&["status"])?;
        Ok(status.stdout.contains("a.yaml:").then_some(status.stdout))
    })?;
    // The sequence opened on line 4 is closed nowhere: the parser trips over line 5.
    ensure!(shown.contains("a.yaml:5:") || shown.contains("a.yaml:4:"), "no line and column in:\n{shown}");
    ensure!(shown.contains("data:") || shown.contains("name: [a"), "no snippet in:\n{shown}");
    let listed = cluster.kubectl(&["get", "manifestfiles"])?;
    ensure!(listed.contains("a.yaml"), "no manifest file in:\n{listed}");
    while_holding(A_WHILE, || {
        let now = map(&cluster, "a")?.context("the last good version is gone")?;
        ensure!(identity(&now) == identity(&before), "a file that does not parse wrote to the object");
        Ok(())
    })?;
    cluster.write_manifest("a.yaml", &config_map("a", "three"))?;
    wait_for_value(&cluster, "a", "three")?;
    eventually("the status is clean again", SOON, || {
        let status = cluster.sampan(&["status"])?.stdout;
        Ok((!status.contains("name: [a") && !status.contains("a.yaml:")).then_some(()))
    })
}

#[test]
fn an_invalid_object_names_its_field_and_the_other_documents_are_applied() -> Result<()> {
    let text =
        format!("{}---\n{}", web("sampan-demo:v1", 1).replace("replicas: 1", "replicas: -1"), config_map("b", "one"));
    let cluster = Setup::simulated(1).with_manifest("mixed.yaml", &text).start()?;
    eventually("the status names the field", SOON, || {
        Ok(cluster.sampan(&["status"])?.stdout.contains("spec.replicas").then_some(()))
    })?;
    wait_for_value(&cluster, "b", "one").map(drop)
}

#[test]
fn what_an_editor_leaves_behind_is_not_read() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    for (index, name) in [".#a.yaml", "a.yaml~", ".a.yaml.swp", "4913", "a.yaml.tmp", "#a.yaml#"].iter().enumerate() {
        cluster.write_manifest(name, &config_map(&format!("junk-{index}"), "one"))?;
    }
    truncate(&cluster.manifests().join("empty.yaml"))?;
    cluster.write_manifest("real.yaml", &config_map("real", "one"))?;
    wait_for_value(&cluster, "real", "one")?;
    while_holding(A_WHILE, || {
        let maps = cluster.list(MAPS)?;
        let junk =
            maps.iter().filter_map(|map| map.pointer("/metadata/name")?.as_str()).find(|name| name.starts_with("junk"));
        ensure!(junk.is_none(), "{junk:?} was read from an editor's leftovers");
        Ok(())
    })
}

#[test]
fn a_second_file_naming_the_same_object_is_refused_and_nothing_flaps() -> Result<()> {
    let cluster = Setup::simulated(1).with_manifest("a.yaml", &config_map("a", "one")).start()?;
    wait_for_value(&cluster, "a", "one")?;
    cluster.write_manifest("b.yaml", &config_map("a", "two"))?;
    eventually("the status names both files", SOON, || {
        let files = cluster.list("/apis/sampan.dev/v1/manifestfiles")?;
        let second = files.into_iter().find(|file| file.to_string().contains("b.yaml")).map(|file| file.to_string());
        Ok(second.filter(|text| text.contains("a.yaml")))
    })?;
    while_holding(A_WHILE, || {
        let now = map(&cluster, "a")?.context("the object is gone")?;
        ensure!(value(&now) == Some("one"), "the second file won");
        Ok(())
    })
}

#[test]
fn drift_is_repaired_where_the_file_speaks_and_left_where_it_does_not() -> Result<()> {
    let cluster = Setup::simulated(1).with_manifest("a.yaml", &config_map("a", "one")).start()?;
    wait_for_value(&cluster, "a", "one")?;
    let patch = r#"{"data":{"key":"drifted","other":"kept"}}"#;
    let patched = cluster.try_kubectl(&["patch", "configmap", "a", "--type=merge", "-p", patch], "")?.succeeded()?;
    ensure!(patched.stderr.contains("Warning: the manifest a.yaml:1 says otherwise"), "nobody is warned: {patched:?}");
    let other = r#"{"data":{"third":"mine"}}"#;
    let other = cluster.try_kubectl(&["patch", "configmap", "a", "--type=merge", "-p", other], "")?.succeeded()?;
    ensure!(!other.stderr.contains("Warning"), "a field of nobody's is warned of: {other:?}");
    let repaired = wait_for_value(&cluster, "a", "one")?;
    ensure!(
        repaired.pointer("/data/other").and_then(Value::as_str) == Some("kept"),
        "another manager's key went: {repaired}"
    );
    let deleted = cluster.try_kubectl(&["delete", "configmap", "a", "--wait=false"], "")?.succeeded()?;
    ensure!(deleted.stderr.contains("Warning: the manifest a.yaml:1 makes it again"), "nobody is warned: {deleted:?}");
    wait_for_value(&cluster, "a", "one").map(drop)
}

#[test]
fn nobody_is_warned_of_what_a_file_lets_stand() -> Result<()> {
    let lenient = format!("# sampan.dev/drift: ignore\n{}", config_map("a", "one"));
    let cluster = Setup::simulated(1).with_manifest("a.yaml", &lenient).start()?;
    wait_for_value(&cluster, "a", "one")?;
    for command in
        [vec!["patch", "configmap", "a", "-p", r#"{"data":{"key":"two"}}"#], vec!["delete", "configmap", "a"]]
    {
        let told = cluster.try_kubectl(&command, "")?.succeeded()?;
        ensure!(!told.stderr.contains("Warning"), "the file lets it stand: {told:?}");
    }
    while_holding(A_WHILE, || {
        ensure!(map(&cluster, "a")?.is_none(), "what was deleted is made again");
        Ok(())
    })
}

#[test]
fn a_lost_or_emptied_directory_prunes_nothing() -> Result<()> {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut cluster = Setup::simulated(1).start()?;
    for name in names {
        cluster.write_manifest(&format!("{name}.yaml"), &config_map(name, "one"))?;
    }
    for name in names {
        wait_for_value(&cluster, name, "one")?;
    }
    cluster.interrupt()?;
    let aside = cluster.manifests().with_extension("aside");
    std::fs::rename(cluster.manifests(), &aside)?;
    std::fs::create_dir(cluster.manifests())?;
    cluster.up()?;
    while_holding(A_WHILE, || {
        let left = cluster.list(MAPS)?.iter().filter(|map| value(map) == Some("one")).count();
        ensure!(left == names.len(), "an empty directory at start removed objects: {left} left");
        Ok(())
    })?;
    std::fs::remove_dir(cluster.manifests())?;
    while_holding(A_WHILE, || {
        ensure!(map(&cluster, "a")?.is_some(), "a missing directory removed an object");
        Ok(())
    })
}

#[test]
fn the_last_files_deleted_together_wait_are_listed_and_go_when_confirmed() -> Result<()> {
    let cluster = Setup::simulated(1)
        .with_manifest("a.yaml", &config_map("a", "one"))
        .with_manifest("b.yaml", &config_map("b", "one"))
        .start()?;
    wait_for_value(&cluster, "b", "one")?;
    cluster.delete_manifest("a.yaml")?;
    cluster.delete_manifest("b.yaml")?;
    let listed = eventually("both are held", SOON, || {
        let listed = cluster.sampan(&["prune"])?.stdout;
        Ok(listed.contains("no manifest is left").then_some(listed))
    })?;
    ensure!(listed.contains("configmaps/default/a  (a.yaml:1)"), "an object is missing in:\n{listed}");
    ensure!(map(&cluster, "a")?.is_some() && map(&cluster, "b")?.is_some(), "what is held went");
    cluster.sampan(&["prune", "--confirm"])?;
    eventually("both are gone", SOON, || {
        Ok((map(&cluster, "a")?.is_none() && map(&cluster, "b")?.is_none()).then_some(()))
    })
}

#[test]
fn a_namespace_whose_file_is_deleted_stays_until_its_objects_are_gone() -> Result<()> {
    const DEMO: &str = "/api/v1/namespaces/demo";
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n";
    let inside = config_map("a", "one").replace("name: a", "name: a\n  namespace: demo");
    let cluster = Setup::simulated(1)
        .with_manifest("namespace.yaml", namespace)
        .with_manifest("a.yaml", &inside)
        .with_manifest("other.yaml", &config_map("other", "one"))
        .start()?;
    eventually("a is there", SOON, || cluster.object(&format!("{DEMO}/configmaps/a")))?;
    cluster.delete_manifest("namespace.yaml")?;
    eventually("the status names what holds it", SOON, || {
        let status = cluster.sampan(&["status"])?.stdout;
        Ok(status.contains("namespaces/demo is kept: a.yaml holds objects in it").then_some(()))
    })?;
    ensure!(cluster.object(&format!("{DEMO}/configmaps/a"))?.is_some(), "the object went with its namespace");
    cluster.delete_manifest("a.yaml")?;
    eventually("the namespace is gone", SOON, || Ok(cluster.object(DEMO)?.is_none().then_some(())))
}

#[test]
fn a_namespace_that_is_kept_goes_by_a_confirmation_that_names_its_file() -> Result<()> {
    const DEMO: &str = "/api/v1/namespaces/demo";
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n";
    let inside = config_map("a", "one").replace("name: a", "name: a\n  namespace: demo");
    let cluster =
        Setup::simulated(1).with_manifest("namespace.yaml", namespace).with_manifest("a.yaml", &inside).start()?;
    eventually("a is there", SOON, || cluster.object(&format!("{DEMO}/configmaps/a")))?;
    cluster.delete_manifest("namespace.yaml")?;
    eventually("it is listed", SOON, || {
        let listed = cluster.sampan(&["prune"])?.stdout;
        Ok(listed.contains("namespaces/demo is kept").then_some(()))
    })?;
    let all = cluster.sampan(&["prune", "--confirm"])?.stdout;
    ensure!(all.contains("nothing waits for that"), "what is kept was confirmed with all else:\n{all}");
    ensure!(cluster.object(DEMO)?.is_some_and(|demo| demo.pointer("/metadata/deletionTimestamp").is_none()), "it went");
    let named = cluster.sampan(&["prune", "--confirm", "namespace.yaml"])?.stdout;
    ensure!(named.starts_with("namespace.yaml: "), "its file was named, and nothing went:\n{named}");
    eventually("the namespace goes", SOON, || {
        let demo = cluster.object(DEMO)?;
        Ok(demo.is_none_or(|demo| demo.pointer("/metadata/deletionTimestamp").is_some()).then_some(()))
    })
}

#[test]
fn plan_tells_what_would_change_and_changes_nothing() -> Result<()> {
    let cluster = Setup::simulated(1).with_manifest("a.yaml", &config_map("a", "one")).start()?;
    let before = wait_for_value(&cluster, "a", "one")?;
    let planned = cluster.manifests().with_extension("planned");
    std::fs::create_dir(&planned)?;
    std::fs::write(planned.join("a.yaml"), config_map("a", "two"))?;
    std::fs::write(planned.join("b.yaml"), config_map("b", "one"))?;
    let plan = cluster.sampan(&["plan", &planned.to_string_lossy()])?;
    ensure!(plan.stdout.contains("two") && plan.stdout.contains('b'), "the plan tells too little: {plan:?}");
    let now = map(&cluster, "a")?.context("plan removed the object")?;
    ensure!(identity(&now) == identity(&before) && map(&cluster, "b")?.is_none(), "plan wrote");
    Ok(())
}
