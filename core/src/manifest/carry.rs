//! Carrying out the directory's tasks through the gateway.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use serde_json::{Value, json};

use super::directory::{Applied, Apply, Prune};
use super::inventory::MANIFEST_FILES;
use super::{changes, names, setting};
use crate::gateway::{
    Action, Body, Cluster, DeleteOptions, FieldValidation, Identity, Mutation, Options, Outcome, PatchKind,
    Propagation, Subresource, Target,
};
use crate::object::{Name, Object, ObjectKey, ResourceType, Revision};
use crate::resource::Served;
use crate::status::Status;
use crate::store::Origin;

/// The field manager of what files set.
pub const FIELD_MANAGER: &str = "manifests";

/// Applies a document, or compares it with what is there.
pub(super) fn apply(cluster: &Cluster, apply: &Apply) -> Result<Applied, Status> {
    let before = cluster.snapshot().get(&apply.key).cloned();
    match block_on(cluster.mutate(application(apply, apply.compare_only)))? {
        Outcome::Object { object, created, .. } => Ok(Applied {
            uid: Some(object.metadata().uid.clone()),
            revision: object.revision(),
            changed: created || before.is_none_or(|before| before.revision() != object.revision()),
            drifted: Vec::new(),
        }),
        Outcome::Preview { object, .. } => {
            let live = before.as_deref().map(|before| block_on(cluster.value_spoken(&apply.served, before)));
            Ok(compared(before.as_deref(), live.transpose()?.as_ref(), &object))
        }
    }
}

fn compared(before: Option<&Object>, live: Option<&Value>, after: &Value) -> Applied {
    let drifted = match live {
        None => vec!["it does not exist".to_owned()],
        Some(live) => changes(live, after).into_iter().map(|change| change.field).collect(),
    };
    Applied {
        uid: before.map(|before| before.metadata().uid.clone()),
        revision: before.map_or(Revision(0), Object::revision),
        changed: false,
        drifted,
    }
}

/// The mutation that applies a document. What is unknown is refused, and what others set of its fields is taken.
pub(super) fn application(apply: &Apply, dry_run: bool) -> Mutation {
    Mutation {
        identity: identity(),
        origin: Origin::Manifest { file: apply.file.to_string(), line: apply.document.line() },
        target: target(apply.served.clone(), &apply.key, Subresource::Whole),
        action: Action::Patch(PatchKind::Apply, Body::Value(apply.document.value.clone())),
        options: Options {
            dry_run,
            field_validation: FieldValidation::Strict,
            field_manager: FIELD_MANAGER.to_owned(),
            force: true,
        },
    }
}

/// Deletes an object whose document is gone. One that is protected, gone, or another by now is released.
pub(super) fn prune(cluster: &Cluster, prune: &Prune) -> Result<(), Status> {
    let Some(object) = cluster.snapshot().get(&prune.key).cloned() else { return Ok(()) };
    let removal = setting::removal(&object.value()).map_err(Status::bad_request)?;
    if removal.protected || object.metadata().uid != prune.uid || object.metadata().is_terminating() {
        return Ok(());
    }
    let Some(served) = stored(cluster, prune.key.resource) else { return Ok(()) };
    // Whoever takes a document away means what it stands for: no resource type's default leaves pods behind.
    let propagation = removal.propagation.or(Some(Propagation::Background));
    let options = DeleteOptions { uid: Some(prune.uid.clone()), propagation, ..DeleteOptions::default() };
    let deletion = Mutation {
        identity: identity(),
        origin: Origin::Manifest { file: prune.file.to_string(), line: prune.line },
        target: target(served, &prune.key, Subresource::Whole),
        action: Action::Delete(options),
        options: Options::default(),
    };
    match block_on(cluster.mutate(deletion)) {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}

/// Writes a `ManifestFile` and its status.
pub(super) fn report(cluster: &Cluster, object: &Value) -> Result<(), Status> {
    let Some(served) = stored(cluster, MANIFEST_FILES) else { return Ok(()) };
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let key = ObjectKey::cluster(MANIFEST_FILES, name);
    if cluster.snapshot().get(&key).is_none() {
        let mut target = target(served.clone(), &key, Subresource::Whole);
        target.name = None;
        block_on(cluster.mutate(bookkeeping(target, Action::Create(Body::Value(object.clone())))))?;
    }
    let target = target(served, &key, Subresource::Status);
    block_on(cluster.mutate(bookkeeping(target, Action::Update(Body::Value(object.clone()))))).map(drop)
}

/// Deletes the `ManifestFile` of a file.
pub(super) fn forget(cluster: &Cluster, file: &str) -> Result<(), Status> {
    let Some(served) = stored(cluster, MANIFEST_FILES) else { return Ok(()) };
    let target = target(served, &ObjectKey::cluster(MANIFEST_FILES, &names::object_name(file)), Subresource::Whole);
    match block_on(cluster.mutate(bookkeeping(target, Action::Delete(DeleteOptions::default())))) {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}

/// Takes the confirmation off a `ManifestFile`: it was for what was held then.
pub(super) fn withdraw_confirmation(cluster: &Cluster, key: &ObjectKey) -> Result<(), Status> {
    let Some(served) = stored(cluster, MANIFEST_FILES) else { return Ok(()) };
    let mut annotations = serde_json::Map::new();
    annotations.insert(setting::CONFIRM.to_owned(), Value::Null);
    let patch = json!({ "metadata": { "annotations": annotations } });
    let action = Action::Patch(PatchKind::Merge, Body::Value(patch));
    block_on(cluster.mutate(bookkeeping(target(served, key, Subresource::Whole), action))).map(drop)
}

fn bookkeeping(target: Target, action: Action) -> Mutation {
    Mutation {
        identity: identity(),
        origin: Origin::System { purpose: "to tell what became of a manifest file".to_owned() },
        target,
        action,
        options: Options { field_manager: FIELD_MANAGER.to_owned(), ..Options::default() },
    }
}

fn identity() -> Identity {
    Identity::new("system:manifests", &["system:masters"])
}

fn target(served: Served, key: &ObjectKey, subresource: Subresource) -> Target {
    Target { served, namespace: key.namespace.clone(), name: Some(Name::clone(&key.name)), subresource }
}

/// A resource type in the version it is stored in.
fn stored(cluster: &Cluster, resource: ResourceType) -> Option<Served> {
    let definition = cluster.registry().definition(resource)?.clone();
    let version = definition.versions.first()?.clone();
    Some(Served { definition, version })
}

/// Waits for a future on this thread. The store's answers come from its own thread: nothing here drives them.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
