//! What becomes of a removed plugin's objects, and of the finalizers it has put on others'.

use std::collections::BTreeSet;
use std::sync::Arc;

use sampan_core::gateway::{Action, Body, Cluster, DeleteOptions, PatchKind, Propagation, Subresource, SystemWriter};
use sampan_core::object::{Object, ResourceType};
use sampan_core::operator::UNFINISHED_EFFECT;
use sampan_core::plugin::finalizer_of;
use sampan_core::resource::{EFFECTS, PLUGIN_FINALIZER};
use sampan_core::status::Status;
use sampan_core::store::{Origin, Snapshot};
use serde_json::{Value, json};

/// Deletes what the plugin of that name has created.
pub(crate) async fn delete_created(cluster: &Cluster, plugin: &str) -> Result<(), Status> {
    let snapshot = cluster.snapshot();
    for object in created(&snapshot, plugin) {
        let uid = Some(object.metadata().uid.clone());
        let options = DeleteOptions { uid, propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        let purpose = format!("the plugin {plugin} was removed, and its objects with it");
        pass_missing(write(cluster, &object, Action::Delete(options), Subresource::Whole, purpose).await)?;
    }
    Ok(())
}

/// What the operator of that name has created, by what is kept of where objects come from.
fn created(snapshot: &Snapshot, plugin: &str) -> Vec<Arc<Object>> {
    let is_its = |object: &&Arc<Object>| {
        let created = snapshot.origins(object.key()).map(|origins| &*origins.created);
        let by_it = matches!(created, Some(Origin::Decision { operator, .. }) if operator == plugin);
        by_it && !object.metadata().is_terminating() && object.key().resource != sampan_core::resource::EVENTS
    };
    let resources: Vec<ResourceType> = snapshot.resources().collect();
    resources.into_iter().flat_map(|it| snapshot.list(it, None, None)).filter(is_its).cloned().collect()
}

/// Takes the plugin's finalizer off every object: nobody else will.
pub(crate) async fn release(cluster: &Cluster, plugin: &str) -> Result<(), Status> {
    let finalizer = finalizer_of(plugin);
    let snapshot = cluster.snapshot();
    let resources: BTreeSet<ResourceType> = snapshot.resources().collect();
    for resource in resources {
        let held = snapshot.list(resource, None, None).filter(|object| holds(object, &finalizer));
        for object in held.cloned().collect::<Vec<_>>() {
            let purpose = format!("the plugin {plugin} was removed");
            pass_missing(without(cluster, &object, &finalizer, purpose).await)?;
        }
    }
    Ok(())
}

/// Gives up what the plugin of that name was to do to the world and has not done: nobody else will do it, and until it is
/// done its record would keep its object.
pub(crate) async fn give_up_effects(cluster: &Cluster, plugin: &str) -> Result<(), Status> {
    let snapshot = cluster.snapshot();
    let is_its = |record: &&Arc<Object>| {
        holds(record, UNFINISHED_EFFECT) && record.value().pointer("/spec/operator").is_some_and(|it| it == plugin)
    };
    for record in snapshot.list(EFFECTS, None, None).filter(is_its).cloned().collect::<Vec<_>>() {
        let purpose = format!("the plugin {plugin} was removed before it was done");
        pass_missing(without(cluster, &record, UNFINISHED_EFFECT, purpose.clone()).await)?;
        let options = DeleteOptions { uid: Some(record.metadata().uid.clone()), ..DeleteOptions::default() };
        pass_missing(write(cluster, &record, Action::Delete(options), Subresource::Whole, purpose).await)?;
    }
    Ok(())
}

/// Lets a plugin that is being deleted go.
pub(crate) async fn let_go(cluster: &Cluster, plugin: &Object) -> Result<(), Status> {
    let purpose = "its program has ended and its objects are dealt with".to_owned();
    pass_missing(without(cluster, plugin, PLUGIN_FINALIZER, purpose).await)
}

/// Writes a plugin's status.
pub(crate) async fn write_status(cluster: &Cluster, plugin: &Object, status: Value) -> Result<(), Status> {
    let body = Body::Value(json!({"status": status}));
    let purpose = "how the program of a plugin is".to_owned();
    pass_missing(write(cluster, plugin, Action::Patch(PatchKind::Merge, body), Subresource::Status, purpose).await)
}

fn holds(object: &Object, finalizer: &str) -> bool {
    object.metadata().finalizers.iter().any(|held| &**held == finalizer)
}

async fn without(cluster: &Cluster, object: &Object, finalizer: &str, purpose: String) -> Result<(), Status> {
    let kept: Vec<&str> = object.metadata().finalizers.iter().map(|it| &**it).filter(|it| *it != finalizer).collect();
    let kept = if kept.is_empty() { Value::Null } else { json!(kept) };
    let metadata = json!({"finalizers": kept, "resourceVersion": object.revision().0.to_string()});
    let body = Body::Value(json!({"metadata": metadata}));
    write(cluster, object, Action::Patch(PatchKind::Merge, body), Subresource::Whole, purpose).await
}

async fn write(
    cluster: &Cluster,
    object: &Object,
    action: Action,
    subresource: Subresource,
    purpose: String,
) -> Result<(), Status> {
    let writer = SystemWriter::new(cluster, purpose).acting_as("system:plugins", "sampan-plugins");
    writer.write(object.key(), subresource, action).await.map(drop)
}

fn pass_missing(written: Result<(), Status>) -> Result<(), Status> {
    match written {
        Err(status) if status.code == 404 => Ok(()),
        written => written,
    }
}
