//! What a snapshot shows.

use super::*;
use crate::store::fixture::{CONFIG_MAPS, NODES, PODS, config_map, draft, key, node};
use crate::store::{IndexKey, Origin};
use serde_json::json;

fn names<'o>(objects: impl Iterator<Item = &'o Arc<Object>>) -> Vec<String> {
    objects.map(|object| object.key().to_string()).collect()
}

#[test]
fn a_list_is_in_order_of_namespace_and_name_and_goes_on_after_a_key() {
    let all = ["b/a", "a/b", "a/a", "c/z"].map(|at| config_map(at, "x"));
    let snapshot = Snapshot::of(all.into_iter().chain([node("a")]));
    let list = |namespace, after: Option<&str>| {
        let after = after.map(|at| key(CONFIG_MAPS, at));
        names(snapshot.list(CONFIG_MAPS, namespace, after.as_ref()))
    };
    let every = ["configmaps/a/a", "configmaps/a/b", "configmaps/b/a", "configmaps/c/z"];
    assert_eq!(list(None, None), every);
    assert_eq!(list(None, Some("a/b")), every[2..]);
    assert_eq!(list(None, Some("a/ab")), every[1..], "the key to go on from may be gone");
    assert_eq!(list(Some("a"), None), every[..2]);
    assert_eq!(list(Some("a"), Some("a/a")), every[1..2]);
    assert_eq!(list(Some("b"), Some("a/b")), every[2..3]);
    assert_eq!(list(Some("aa"), None), Vec::<String>::new());
    assert_eq!(snapshot.count(CONFIG_MAPS), 4);
    assert_eq!(snapshot.resources().collect::<Vec<_>>(), [CONFIG_MAPS, NODES]);
}

fn pod(at: &str, label: &str, owner: &str, node: &str) -> Draft {
    let metadata = json!({"labels": {"app": label}, "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}]});
    draft(PODS, at, metadata, json!({}), vec![("spec.nodeName", node.to_owned())])
}

fn origins() -> Arc<Origins> {
    let origin = Arc::new(Origin::System { purpose: "test".to_owned() });
    Arc::new(Origins::of_new(origin))
}

#[test]
fn objects_are_found_by_owner_label_and_field_as_they_are_now() {
    let label = |value: &str| IndexKey::Label {
        resource: PODS,
        namespace: Some("default".into()),
        label: "app".into(),
        value: value.into(),
    };
    let owner = |uid: &str| IndexKey::Owner(crate::object::Uid(uid.into()));
    let on = |value: &str| IndexKey::Field { resource: PODS, field: "spec.nodeName", value: value.into() };
    let mut head = Head::default();
    let put = |head: &mut Head, draft: Draft| {
        head.revision = head.revision.next();
        head.insert(Arc::new(draft.at(head.revision)), origins(), jiff::Timestamp::UNIX_EPOCH);
    };
    put(&mut head, pod("default/a", "web", "rs", ""));
    put(&mut head, pod("default/b", "web", "rs", "here"));
    put(&mut head, pod("other/a", "web", "rs", ""));
    let first = head.snapshot();
    put(&mut head, pod("default/a", "api", "rs", "here"));
    head.remove(&key(PODS, "default/b"));
    let second = head.snapshot();

    let found = |snapshot: &Snapshot, index: IndexKey| names(snapshot.index(&index));
    assert_eq!(found(&first, label("web")), ["pods/default/a", "pods/default/b"]);
    assert_eq!(found(&first, owner("rs")), ["pods/default/a", "pods/default/b", "pods/other/a"]);
    assert_eq!(found(&first, on("")), ["pods/default/a", "pods/other/a"]);
    assert_eq!(found(&second, label("web")), Vec::<String>::new());
    assert_eq!(found(&second, label("api")), ["pods/default/a"]);
    assert_eq!(found(&second, on("here")), ["pods/default/a"]);
    assert_eq!(found(&second, on("")), ["pods/other/a"]);
    let by_owner: Vec<_> = second.index(&owner("rs")).map(|object| object.revision()).collect();
    assert_eq!(by_owner, [Revision(4), Revision(3)], "the index leads to the latest state");
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut head = Head::default();
    for index in 0..1000 {
        head.insert(
            Arc::new(config_map(&format!("default/{index}"), "old").at(Revision(1))),
            origins(),
            jiff::Timestamp::UNIX_EPOCH,
        );
    }
    let before = head.snapshot();
    for index in 0..1000 {
        head.insert(
            Arc::new(config_map(&format!("default/{index}"), "new").at(Revision(2))),
            origins(),
            jiff::Timestamp::UNIX_EPOCH,
        );
    }
    head.remove(&key(CONFIG_MAPS, "default/7"));
    assert_eq!(before.count(CONFIG_MAPS), 1000);
    assert!(before.list(CONFIG_MAPS, None, None).all(|object| object.revision() == Revision(1)));
    assert_eq!(head.snapshot().count(CONFIG_MAPS), 999);
}
