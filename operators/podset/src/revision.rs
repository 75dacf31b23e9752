//! Revisions: the templates a workload has had, kept to roll back to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use sampan_core::operator::Kind;
use serde_json::{Value, json};

use crate::{controller_reference, template_hash};

/// The label of a pod that names the revision it was made from.
pub const REVISION_LABEL: &str = "controller-revision-hash";
/// The label of a revision with the hash of its template.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// A template and the name it is recorded by, recorded or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// The name.
    pub name: String,
    /// The template.
    pub template: PodTemplateSpec,
}

impl Revision {
    /// The revision of a template: the last one of those recorded that keeps it, or one to be recorded. Those recorded come in
    /// the order of their numbers.
    pub fn of<K: Kind>(
        owner: &K,
        template: PodTemplateSpec,
        recorded: &[Arc<ControllerRevision>],
        collisions: Option<i32>,
    ) -> Self {
        let same = |revision: &&Arc<ControllerRevision>| template_of(revision).as_ref() == Some(&template);
        let known = recorded.iter().rev().find(same).and_then(|revision| revision.metadata.name.clone());
        let name = known.unwrap_or_else(|| revision_name(owner, &template, collisions));
        Self { name, template }
    }

    /// The hash in its name.
    pub fn hash(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or_default()
    }

    /// Itself, as it is recorded.
    pub fn recorded<'r>(&self, recorded: &'r [Arc<ControllerRevision>]) -> Option<&'r Arc<ControllerRevision>> {
        recorded.iter().find(|revision| revision.metadata.name.as_deref() == Some(&*self.name))
    }

    /// The number it should have as the last one, where it has another or is not recorded.
    pub fn unrecorded(&self, recorded: &[Arc<ControllerRevision>]) -> Option<i64> {
        let last = recorded.last().map_or(0, |revision| revision.revision);
        self.recorded(recorded).is_none_or(|revision| revision.revision != last).then_some(last + 1)
    }

    /// Itself under another number, where it is recorded.
    pub fn renumbered(&self, recorded: &[Arc<ControllerRevision>], number: i64) -> Option<ControllerRevision> {
        let revision = self.recorded(recorded)?;
        Some(ControllerRevision { revision: number, ..ControllerRevision::clone(revision) })
    }
}

fn revision_name<K: Kind>(owner: &K, template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    format!("{}-{}", owner.meta().name.as_deref().unwrap_or_default(), template_hash(template, collisions))
}

/// A revision of `owner`, to be created. Its data is the patch that brings the template back, as `kubectl rollout undo`
/// sends it.
pub fn revision_of_template<K: Kind>(
    owner: &K,
    template: &PodTemplateSpec,
    labels: BTreeMap<String, String>,
    name: String,
    number: i64,
) -> ControllerRevision {
    let hash = name.rsplit('-').next().unwrap_or_default().to_owned();
    let labels = labels.into_iter().chain([(HASH_LABEL.to_owned(), hash)]).collect();
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: owner.meta().namespace.clone(),
            labels: Some(labels),
            annotations: owner.meta().annotations.clone(),
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(patch(template))),
        revision: number,
    }
}

fn patch(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).expect("a pod template always encodes");
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".into(), "replace".into());
    }
    json!({"spec": {"template": template}})
}

/// The template a revision keeps.
pub fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// The revision a pod was made from.
pub fn revision_of_pod(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(REVISION_LABEL).map(String::as_str)
}

/// The revisions beyond the limit, oldest first. Those in `live` are kept and do not count.
pub fn beyond_limit(
    revisions: &[Arc<ControllerRevision>],
    live: &BTreeSet<&str>,
    limit: usize,
) -> Vec<Arc<ControllerRevision>> {
    let is_live =
        |revision: &&Arc<ControllerRevision>| revision.metadata.name.as_deref().is_some_and(|name| live.contains(name));
    let mut old: Vec<_> = revisions.iter().filter(|revision| !is_live(revision)).cloned().collect();
    old.sort_by_key(|revision| revision.revision);
    old.truncate(old.len().saturating_sub(limit));
    old
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;

    use super::*;

    fn template(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({"spec": {"containers": [{"name": "web", "image": image}]}})).unwrap()
    }

    fn revision(name: &str, number: i64) -> Arc<ControllerRevision> {
        let owner = StatefulSet::default();
        Arc::new(revision_of_template(&owner, &template(name), BTreeMap::new(), name.to_owned(), number))
    }

    #[test]
    fn a_revision_gives_its_template_back() {
        assert_eq!(template_of(&revision("web:1", 1)), Some(template("web:1")));
    }

    #[test]
    fn the_oldest_that_nobody_uses_are_beyond_the_limit() {
        let revisions: Vec<_> = (1..=5).map(|number| revision(&format!("r{number}"), number)).collect();
        let beyond = |live: &[&str], limit| -> Vec<i64> {
            let live = live.iter().copied().collect();
            beyond_limit(&revisions, &live, limit).iter().map(|revision| revision.revision).collect()
        };
        assert_eq!(beyond(&["r1", "r5"], 2), [2]);
        assert_eq!(beyond(&["r5"], 0), [1, 2, 3, 4]);
        assert_eq!(beyond(&[], 9), Vec::<i64>::new());
    }
}
