//! What takes objects away, what does not, and what waits for a confirmation.

use super::*;

#[test]
fn a_saved_file_is_applied_at_once_and_a_deleted_one_goes_after_a_scan() {
    let mut world = World::with(&[]);
    world.save("a.yaml", &map("a"));
    assert_eq!(world.names(), ["a"]);
    assert_eq!(world.phase("a.yaml"), "Applied");
    world.delete(&["a.yaml"]);
    assert_eq!(world.names(), ["a"], "only a scan may conclude that a file is gone");
    world.wait();
    assert!(world.names().is_empty());
    assert_eq!(world.phase("a.yaml"), "none");
}

#[test]
fn a_file_that_comes_back_within_two_seconds_was_never_gone() {
    let mut world = World::with(&[("a.yaml", &map("a")), ("b.yaml", &map("b"))]);
    world.delete(&["a.yaml"]);
    world.pass(1_900);
    world.save("a.yaml", &map("a"));
    world.wait();
    assert_eq!((world.writes.as_slice(), world.phase("a.yaml")), ([].as_slice(), "Applied"));
    world.delete(&["a.yaml"]);
    world.pass(2_000);
    assert_eq!(world.writes, ["delete a"]);
}

#[test]
fn a_scan_amid_a_checkout_takes_nothing_for_gone_and_what_is_new_is_applied_at_once() {
    let mut world = World::with(&[("a.yaml", &map("a")), ("b.yaml", &map("b"))]);
    let a = world.files.remove("a.yaml").unwrap();
    world.files.insert("new/c.yaml".into(), Observation::Bytes(map("c").into_bytes()));
    world.directory.lost_track(world.now);
    world.pass(100);
    assert_eq!(world.writes, ["apply c from new/c.yaml"]);
    world.files.insert("a.yaml".into(), a);
    world.directory.lost_track(world.now);
    world.wait();
    assert_eq!(world.writes, ["apply c from new/c.yaml"]);
    assert!(
        world.directory.wake_at().unwrap() > world.now + SignedDuration::from_secs(20),
        "nothing looks by the clock"
    );
}

#[test]
fn files_that_go_one_after_the_other_are_one_burst_but_not_without_end() {
    let mut world = six();
    for file in SIX_FILES {
        world.delete(&[file]);
        world.pass(1_000);
    }
    world.wait();
    assert_eq!((world.names().len(), world.phase("a.yaml")), (6, "Gone"));
    let mut world = six();
    world.delete(&["a.yaml"]);
    for _ in 0..10 {
        world.directory.vanished(world.now);
        world.pass(1_000);
    }
    assert_eq!(world.writes, ["delete a"]);
}

#[test]
fn what_goes_amid_others_has_a_time_of_its_own_and_again_each_time_it_goes() {
    let mut world = six();
    world.delete(&["a.yaml"]);
    for _ in 0..99 {
        world.directory.vanished(world.now);
        world.pass(100);
    }
    world.delete(&["b.yaml"]);
    world.pass(1_900);
    assert_eq!(world.writes, ["delete a"], "the other went a moment before");
    world.save("b.yaml", &map("b"));
    world.delete(&["b.yaml"]);
    for _ in 0..90 {
        world.directory.vanished(world.now);
        world.pass(100);
    }
    assert_eq!(world.writes, ["delete a"], "it was there again in between");
    world.wait();
    assert_eq!(world.writes, ["delete a", "delete b"]);
}

#[test]
fn a_burst_of_more_than_ten_seconds_is_judged_and_held_as_a_whole() {
    let mut world = six();
    for file in SIX_FILES {
        world.delete(&[file]);
        world.pass(1_900);
    }
    assert_eq!((world.names().len(), world.phase("a.yaml"), world.phase("f.yaml")), (6, "Gone", "Gone"));
}

#[test]
fn a_root_that_comes_back_file_by_file_loses_nothing() {
    let mut world = World::with(&[("a.yaml", &map("a")), ("b.yaml", &map("b"))]);
    world.directory.vanished(world.now);
    world.directory.scanned(Err("the directory is gone".to_owned()), &world.registry, world.now);
    world.now += SignedDuration::from_secs(60);
    let b = world.files.remove("b.yaml").unwrap();
    world.scan();
    world.pass(1_000);
    world.files.insert("b.yaml".into(), b);
    world.directory.lost_track(world.now);
    world.wait();
    assert_eq!((world.writes.as_slice(), world.phase("b.yaml")), ([].as_slice(), "Applied"));
}

#[test]
fn a_document_taken_out_takes_its_object_alone() {
    let mut world = World::with(&[("both.yaml", &format!("{}---\n{}", map("a"), map("b")))]);
    world.save("both.yaml", &map("a"));
    world.wait();
    assert_eq!(world.names(), ["a"]);
    assert_eq!(world.writes, ["delete b"]);
}

#[test]
fn renaming_a_file_or_moving_a_document_writes_to_no_object() {
    let mut world = World::with(&[("old.yaml", &map("a"))]);
    world.delete(&["old.yaml"]);
    world.save("new.yaml", &map("a"));
    world.wait();
    assert_eq!(world.writes, [""; 0]);
    assert_eq!((world.phase("old.yaml"), world.phase("new.yaml")), ("none", "Applied"));
    world.save("other.yaml", &format!("{}---\n{}", map("b"), map("a")));
    world.delete(&["new.yaml"]);
    world.wait();
    assert_eq!(world.writes, ["apply b from other.yaml"]);
    assert_eq!(world.names(), ["a", "b"]);
}

#[test]
fn a_truncated_file_takes_nothing_with_it() {
    let mut world = World::with(&[("a.yaml", &map("a"))]);
    world.save("a.yaml", "");
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a"], "Invalid"));
    assert!(world.problem("a.yaml").contains("What it held stays as it was"), "{}", world.problem("a.yaml"));
    world.save("new.yaml", "");
    assert!(!world.problem("new.yaml").contains("held"), "{}", world.problem("new.yaml"));
}

#[test]
fn a_missing_root_removes_nothing_and_says_so() {
    let mut world = six();
    world.directory.scanned(Err("the directory is gone".to_owned()), &world.registry, world.now);
    world.run();
    assert_eq!(world.names(), ALL_SIX);
    assert!(world.problem("a.yaml").contains("is gone"), "{}", world.problem("a.yaml"));
    world.files.clear();
    world.scan();
    world.wait();
    assert_eq!(world.names(), ALL_SIX, "an empty directory in its place is no intent either");
}

#[test]
fn an_empty_root_at_start_removes_nothing_until_confirmed() {
    let mut world = World::with(&[("a.yaml", &map("a"))]);
    world.restart();
    world.files.clear();
    world.scan();
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a"], "Gone"));
    world.restart();
    world.scan();
    world.wait();
    assert_eq!(world.names(), ["a"], "what is held stays held over a restart");
    world.directory.report_changed("a.yaml", true, true);
    world.run();
    assert!(world.names().is_empty());
    assert_eq!(world.phase("a.yaml"), "none");
}

#[test]
fn a_large_burst_is_held_and_released_by_a_confirmation_or_by_the_files_return() {
    let mut world = six();
    world.delete(&SIX_FILES);
    world.wait();
    assert_eq!(world.names(), ALL_SIX);
    assert!(world.problem("b.yaml").contains("sampan prune --confirm"), "{}", world.problem("b.yaml"));
    world.save("a.yaml", &map("a"));
    assert_eq!(world.phase("a.yaml"), "Applied");
    for file in &SIX_FILES[1..] {
        world.directory.report_changed(file, true, true);
    }
    world.run();
    assert_eq!(world.names(), ["a"]);
}

#[test]
fn the_last_files_deleted_together_are_held_however_few_they_are() {
    let mut world = World::with(&[("a.yaml", &map("a")), ("b.yaml", &map("b"))]);
    world.delete(&["a.yaml", "b.yaml"]);
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a", "b"], "Gone"));
    assert!(world.problem("b.yaml").contains("no manifest is left"), "{}", world.problem("b.yaml"));
    world.directory.confirm_all();
    world.run();
    assert!(world.names().is_empty());
}

#[test]
fn a_few_files_deleted_together_are_plain_intent() {
    let mut world = six();
    world.delete(&SIX_FILES[..3]);
    world.wait();
    assert_eq!(world.names(), ["d", "e", "f"]);
}

#[test]
fn one_file_deleted_while_watched_is_plain_intent_however_much_it_held() {
    let text = ALL_SIX.map(map).join("---\n");
    let mut world = World::with(&[("all.yaml", &text)]);
    world.delete(&["all.yaml"]);
    world.wait();
    assert!(world.names().is_empty());
}

#[test]
fn the_same_deletion_found_at_start_is_held() {
    let text = ALL_SIX.map(map).join("---\n");
    let mut world = World::with(&[("all.yaml", &text), ("g.yaml", &map("g"))]);
    world.restart();
    world.files.remove("all.yaml");
    world.scan();
    world.wait();
    assert_eq!((world.names().len(), world.phase("all.yaml")), (7, "Gone"));
}

#[test]
fn a_confirmation_counts_for_what_is_held_and_for_nothing_later() {
    let mut world = six();
    world.delete(&SIX_FILES);
    world.wait();
    assert_eq!(world.directory.confirm_all().len(), 6);
    world.run();
    assert!(world.names().is_empty());
    assert!(world.directory.confirm_all().is_empty());
}

#[test]
fn a_folder_that_cannot_be_read_after_a_restart_keeps_its_objects() {
    let mut world = World::with(&[("apps/a.yaml", &map("a")), ("b.yaml", &map("b"))]);
    world.restart();
    let hidden = world.files.remove("apps/a.yaml").unwrap();
    world.unreadable.insert("apps".into(), "Permission denied".into());
    world.scan();
    world.wait();
    assert_eq!(world.names(), ["a", "b"]);
    let problem = world.reports["apps/a.yaml"].pointer("/status/problems/0/message").cloned().unwrap();
    assert!(problem.as_str().unwrap().contains("Permission denied"), "{problem}");
    world.unreadable.clear();
    world.files.insert("apps/a.yaml".into(), hidden);
    world.scan();
    assert_eq!((world.names(), world.phase("apps/a.yaml")), (vec!["a", "b"], "Applied"));
    world.delete(&["apps/a.yaml"]);
    world.wait();
    assert_eq!(world.names(), ["b"], "a file that is gone is told from one that cannot be read");
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n";

fn map_in_demo(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: demo}}\n")
}

/// Two files with objects in a namespace, and its own file is gone.
fn without_namespace_file() -> World {
    let (a, b) = (map_in_demo("a"), map_in_demo("b"));
    let mut world = World::with(&[("a.yaml", &a), ("b.yaml", &b), ("namespace.yaml", NAMESPACE)]);
    world.delete(&["namespace.yaml"]);
    world.wait();
    world
}

#[test]
fn a_namespace_is_kept_while_other_files_hold_objects_in_it() {
    let mut world = without_namespace_file();
    assert_eq!((world.writes.as_slice(), world.phase("namespace.yaml")), ([].as_slice(), "Waiting"));
    let problem = world.problem("namespace.yaml");
    assert!(problem.contains("namespaces/demo is kept: a.yaml, b.yaml hold objects in it"), "{problem}");
    world.delete(&["a.yaml"]);
    world.wait();
    let problem = world.problem("namespace.yaml");
    assert!(problem.contains("namespaces/demo is kept: b.yaml holds objects in it"), "{problem}");
    world.restart();
    world.scan();
    world.wait();
    assert_eq!((world.names(), world.phase("namespace.yaml")), (vec!["b", "demo"], "Waiting"));
    world.delete(&["b.yaml"]);
    world.wait();
    assert_eq!((world.writes.join(", "), world.phase("namespace.yaml")), ("delete b, delete demo".to_owned(), "none"));
}

#[test]
fn a_kept_namespace_goes_by_confirmation_or_when_its_objects_move_out_and_stays_when_its_file_returns() {
    let mut world = without_namespace_file();
    assert_eq!(world.directory.held().count(), 1);
    assert!(world.directory.confirm_all().is_empty(), "what is kept is not meant by whoever names nothing");
    assert_eq!(world.directory.confirm_file("namespace.yaml"), ["namespace.yaml".into()]);
    world.run();
    assert_eq!(world.writes, ["delete demo"]);

    let mut world = without_namespace_file();
    world.save("a.yaml", &map("a"));
    world.save("b.yaml", &map("b"));
    world.wait();
    assert!(world.writes.contains(&"delete demo".to_owned()), "{:?}", world.writes);

    let mut world = without_namespace_file();
    world.save("namespace.yaml", NAMESPACE);
    world.delete(&["a.yaml"]);
    world.wait();
    assert_eq!((world.writes.join(", "), world.phase("namespace.yaml")), ("delete a".to_owned(), "Applied"));
}

#[test]
fn confirming_a_burst_does_not_take_a_namespace_that_files_which_stay_hold_objects_in() {
    let texts = ["a", "b", "c", "d", "e"].map(|name| (format!("{name}.yaml"), map(name)));
    let stays = map_in_demo("stays");
    let mut files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.extend([("namespace.yaml", NAMESPACE), ("stays.yaml", stays.as_str())]);
    let mut world = World::with(&files);
    world.delete(&["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml", "namespace.yaml"]);
    world.wait();
    assert_eq!(world.names().len(), 7, "the burst is held");
    world.directory.confirm_all();
    world.run();
    let mut left = world.names();
    left.sort_unstable();
    assert_eq!(left, ["demo", "stays"]);
    assert!(
        world.problem("namespace.yaml").contains("stays.yaml holds objects in it"),
        "{}",
        world.problem("namespace.yaml")
    );
    world.directory.confirm_all();
    world.run();
    assert!(!world.writes.contains(&"delete demo".to_owned()), "it is kept, whatever else is confirmed");
    world.directory.confirm_file("namespace.yaml");
    world.run();
    assert_eq!(world.writes.last().map(String::as_str), Some("delete demo"));
}

#[test]
fn a_namespace_taken_out_of_a_file_whose_other_documents_are_in_it_is_kept() {
    let text = format!("{NAMESPACE}---\n{}", map_in_demo("a"));
    let mut world = World::with(&[("all.yaml", &text)]);
    world.save("all.yaml", &map_in_demo("a"));
    world.wait();
    assert_eq!((world.writes.as_slice(), world.phase("all.yaml")), ([].as_slice(), "Waiting"));
}

#[test]
fn a_folder_with_a_namespace_and_all_that_is_in_it_goes_together() {
    let a = map_in_demo("a");
    let files = [("demo/a.yaml", a.as_str()), ("demo/namespace.yaml", NAMESPACE), ("b.yaml", &map("b"))];
    let mut world = World::with(&files);
    world.delete(&["demo/a.yaml", "demo/namespace.yaml"]);
    world.wait();
    assert_eq!(world.writes, ["delete a", "delete demo"]);
}

#[test]
fn a_definition_is_kept_while_other_files_hold_objects_of_it() {
    let mut world = World::new();
    let definitions =
        definition("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", Scope::Cluster);
    world.registry.register(definitions);
    world.registry.register(definition("example.dev", "widgets", "Widget", Scope::Namespaced));
    let text =
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.dev}\n";
    world.save("crd.yaml", text);
    world.save("w.yaml", "apiVersion: example.dev/v1\nkind: Widget\nmetadata: {name: w}\n");
    world.scan();
    world.delete(&["crd.yaml"]);
    world.wait();
    let problem = world.problem("crd.yaml");
    assert!(problem.contains("widgets.example.dev is kept: w.yaml holds objects of it"), "{problem}");
    world.delete(&["w.yaml"]);
    world.wait();
    assert!(world.names().is_empty());
}
