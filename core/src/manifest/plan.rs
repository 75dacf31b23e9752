//! What a directory would change: the directory's own decisions, with dry writes.

use std::path::Path;

use serde::Serialize;

use super::directory::{Applied, Apply};
use super::disk::Disk;
use super::inventory::MANIFEST_FILES;
use super::{Directory, FieldChange, Task, carry, changes};
use crate::gateway::{Cluster, Outcome};
use crate::object::Revision;
use crate::status::Status;

/// What would happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Planned {
    /// It would be created.
    Create,
    /// Some of its fields would change.
    Update,
    /// It would be deleted.
    Delete,
    /// It would be deleted once confirmed.
    Hold,
    /// Its document would be refused.
    Refuse,
}

/// One object a directory would change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanItem {
    /// What would happen.
    pub action: Planned,
    /// The object, as `resource.group/namespace/name`.
    pub object: String,
    /// The file and line that say so.
    pub from: String,
    /// The fields that would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// Why it would be refused or held.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Everything the directory at `root` would change, and the problems of its files as `path:line:column: message`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The objects.
    pub items: Vec<PlanItem>,
    /// What is wrong with the files, with snippets.
    pub problems: Vec<String>,
}

/// What the directory at `root` would change if it were the watched one.
///
/// # Errors
/// When it cannot be read.
pub fn plan(cluster: &Cluster, root: &Path) -> Result<Plan, String> {
    let snapshot = cluster.snapshot();
    let registry = cluster.registry();
    let now = cluster.now();
    let reports = snapshot.list(MANIFEST_FILES, None, None).map(|object| object.value()).collect();
    let mut directory = Directory::new(reports, &registry);
    let scan = Disk::new(root.to_owned()).scan()?;
    directory.scanned(Ok(scan), &registry, now);
    let mut plan = Plan::default();
    while let Some(task) = directory.next_task(now) {
        match task {
            Task::Apply(apply) => {
                let (item, result) = planned(cluster, &apply);
                plan.items.extend(item);
                directory.applied(&apply, result, now);
            }
            Task::Prune(prune) => {
                plan.items.push(PlanItem {
                    action: Planned::Delete,
                    object: prune.key.to_string(),
                    from: format!("{}:{}", prune.file, prune.line),
                    changes: Vec::new(),
                    reason: String::new(),
                });
                directory.pruned(&prune.key, Ok(()), now);
            }
            Task::Report { file, object } => directory.reported(&file, object),
            Task::Forget { file } => directory.forgotten(&file),
        }
    }
    plan.items.extend(held(&directory));
    plan.problems = directory.file_problems();
    Ok(plan)
}

/// The objects whose deletion waits.
pub(super) fn held(directory: &Directory) -> Vec<PlanItem> {
    let held = directory.held().map(|(key, entry, reason)| PlanItem {
        action: Planned::Hold,
        object: key.to_string(),
        from: format!("{}:{}", entry.file, entry.line),
        changes: Vec::new(),
        reason,
    });
    held.collect()
}

/// What applying a document would do, and the answer that lets the directory go on.
fn planned(cluster: &Cluster, apply: &Apply) -> (Option<PlanItem>, Result<Applied, Status>) {
    let item = |action, changes, reason| PlanItem {
        action,
        object: apply.key.to_string(),
        from: format!("{}:{}", apply.file, apply.document.line()),
        changes,
        reason,
    };
    let before = cluster.snapshot().get(&apply.key).cloned();
    let previewed = match carry::block_on(cluster.mutate(carry::application(apply, true))) {
        Ok(previewed) => previewed,
        // Planned before its namespace exists, it is created with it.
        Err(status) if before.is_none() && status.code == 404 => {
            return (Some(item(Planned::Create, Vec::new(), status.message.clone())), Ok(unchanged()));
        }
        Err(status) => return (Some(item(Planned::Refuse, Vec::new(), status.message.clone())), Err(status)),
    };
    let found = match (&before, &previewed) {
        (None, _) => Some(item(Planned::Create, Vec::new(), String::new())),
        (Some(before), Outcome::Preview { object: after, .. }) => {
            let live = match carry::block_on(cluster.value_spoken(&apply.served, before)) {
                Ok(live) => live,
                Err(status) => return (Some(item(Planned::Refuse, Vec::new(), status.message.clone())), Err(status)),
            };
            let changed = changes(&live, after);
            (!changed.is_empty()).then(|| item(Planned::Update, changed, String::new()))
        }
        (Some(_), _) => None,
    };
    (found, Ok(unchanged()))
}

fn unchanged() -> Applied {
    Applied { uid: None, revision: Revision(0), changed: false, drifted: Vec::new() }
}
