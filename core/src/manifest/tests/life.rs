//! What a file's life does to the objects it holds, removals aside.

use super::*;

#[test]
fn a_file_that_does_not_parse_keeps_its_last_good_version() {
    let mut world = World::with(&[("a.yaml", &map("a"))]);
    world.save("a.yaml", "kind: [\n");
    world.wait();
    assert_eq!(world.phase("a.yaml"), "Invalid");
    assert_eq!(world.writes, [""; 0]);
    world.tamper("a");
    assert_eq!(world.writes, ["apply a from a.yaml"], "the last good version is still enforced");
    world.restart();
    world.scan();
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["a"], "Invalid"));
    world.save("a.yaml", &map("b"));
    world.wait();
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["b"], "Applied"));
}

#[test]
fn the_second_file_that_names_an_object_is_refused_whatever_its_name() {
    let mut world = World::with(&[("m.yaml", &map("a"))]);
    for second in ["b.yaml", "z.yaml"] {
        world.save(second, &map("a").replace("one", "two"));
        world.wait();
        assert_eq!(world.phase(second), "Invalid");
        assert!(world.problem(second).contains("m.yaml:1"), "{}", world.problem(second));
    }
    assert_eq!(world.writes, [""; 0]);
    world.delete(&["m.yaml"]);
    world.wait();
    assert_eq!(world.writes, ["apply a from b.yaml"], "the next in line takes over, without a deletion");
}

#[test]
fn drift_is_repaired_warned_of_or_ignored_as_the_file_says() {
    let mut world = World::with(&[
        ("a.yaml", &map("a")),
        ("b.yaml", &format!("# sampan.dev/drift: warn\n{}", map("b"))),
        ("c.yaml", &format!("# sampan.dev/drift: ignore\n{}", map("c"))),
    ]);
    for name in ["a", "b", "c"] {
        world.tamper(name);
    }
    assert_eq!(world.writes, ["apply a from a.yaml"]);
    assert!(world.problem("b.yaml").contains("differs from the file: data"));
    assert_eq!((world.phase("b.yaml"), world.phase("c.yaml")), ("Applied", "Applied"));
    world.save("c.yaml", &map("c").replace("one", "two"));
    assert_eq!(world.writes.last().map(String::as_str), Some("apply c from c.yaml"), "an edit is applied all the same");
}

#[test]
fn a_restart_writes_nothing_where_nothing_changed() {
    let mut world = six();
    let reports = world.reports.clone();
    world.restart();
    world.scan();
    world.wait();
    assert_eq!(world.writes, [""; 0]);
    assert_eq!(world.reports, reports);
}

#[test]
fn namespaces_come_before_what_is_in_them() {
    let mut world = World::new();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: z}\n";
    world.files.insert("a.yaml".into(), Observation::Bytes(map("a").into_bytes()));
    world.files.insert("z.yaml".into(), Observation::Bytes(namespace.as_bytes().to_vec()));
    world.scan();
    assert_eq!(world.writes, ["apply z from z.yaml", "apply a from a.yaml"]);
}

#[test]
fn an_unknown_kind_waits_until_it_is_served() {
    let mut world = World::with(&[("w.yaml", "apiVersion: example.dev/v1\nkind: Widget\nmetadata: {name: w}\n")]);
    assert_eq!(world.phase("w.yaml"), "Waiting");
    world.registry.register(definition("example.dev", "widgets", "Widget", Scope::Namespaced));
    let registry = world.registry.clone();
    world.directory.kinds_changed(&registry, world.now);
    world.run();
    assert_eq!((world.names(), world.phase("w.yaml")), (vec!["w"], "Applied"));
}

#[test]
fn a_refused_field_is_shown_at_its_place_and_is_not_tried_again_unchanged() {
    let mut world = World::with(&[]);
    let cause =
        StatusCause { reason: "FieldValueInvalid".into(), message: "must be two".into(), field: "data[key]".into() };
    world.refuse = Some(Status::invalid("ConfigMap", "a", vec![cause]));
    world.save("a.yaml", &map("a"));
    let problem = world.reports["a.yaml"].pointer("/status/problems/0").cloned().unwrap();
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(6), Some(8)), "{problem}");
    assert_eq!(world.phase("a.yaml"), "Invalid");
    world.refuse = None;
    world.wait();
    assert!(world.names().is_empty(), "nothing has changed that could make it valid");
    world.save("a.yaml", &map("a").replace("one", "two"));
    assert_eq!(world.phase("a.yaml"), "Applied");
}

#[test]
fn what_waits_for_a_namespace_is_applied_once_it_is_there() {
    let mut world = World::with(&[]);
    world.refuse = Some(Status::not_found("namespaces", "default"));
    world.save("a.yaml", &map("a"));
    assert_eq!(world.phase("a.yaml"), "Waiting");
    world.refuse = None;
    world.directory.namespace_changed("default", world.now);
    world.run();
    assert_eq!(world.names(), ["a"]);
}

#[test]
fn one_document_of_many_that_is_refused_is_not_tried_again_when_another_file_changes() {
    let mut world = World::with(&[]);
    world.refuse = Some(Status::invalid("ConfigMap", "a", Vec::new()));
    world.save("a.yaml", &map("a"));
    world.refuse = None;
    world.save("b.yaml", &map("b"));
    assert_eq!((world.names(), world.phase("a.yaml")), (vec!["b"], "Invalid"));
}

#[test]
fn a_kind_that_cannot_come_is_an_error_and_nothing_is_waited_for() {
    let mut world = World::with(&[]);
    world.save("m.yaml", &map("m").replace("ConfigMap", "ConfigMpa"));
    assert_eq!(world.phase("m.yaml"), "Invalid");
    assert!(world.problem("m.yaml").contains("is ConfigMap meant?"), "{}", world.problem("m.yaml"));
}
