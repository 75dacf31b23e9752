//! How a Deployment's ReplicaSets look: what they are made of, and what they take over from it later.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_podset::{HASH_LABEL, controller_reference, is_controlled};

use crate::view::{DESIRED_REPLICAS, MAX_REPLICAS, REVISION, View};

/// Annotations of a Deployment that its ReplicaSets do not take over.
const OWN_ANNOTATIONS: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    DESIRED_REPLICAS,
    MAX_REPLICAS,
];

/// The present template's ReplicaSet, of that size.
pub(crate) fn created(view: &View, size: i32) -> ReplicaSet {
    let spec = view.deployment.spec.clone().unwrap_or_default();
    let hash = [(HASH_LABEL.to_owned(), view.hash.clone())];
    let mut template = spec.template;
    template.metadata.get_or_insert_default().labels.get_or_insert_default().extend(hash.clone());
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().extend(hash);
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(view.new_set_name()),
            namespace: view.deployment.metadata.namespace.clone(),
            labels: template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()),
            annotations: Some(annotations(view, None)),
            owner_references: Some(vec![controller_reference(&*view.deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }
}

/// The set with what it takes over from the Deployment as it is now, and the size it has.
pub(crate) fn renewed(view: &View, set: &Arc<ReplicaSet>) -> ReplicaSet {
    let mut renewed = ReplicaSet::clone(set);
    if view.is_new(set) {
        renewed.metadata.annotations = Some(annotations(view, renewed.metadata.annotations.take()));
        if let (Some(spec), Some(wanted)) = (&mut renewed.spec, &view.deployment.spec) {
            spec.min_ready_seconds = wanted.min_ready_seconds;
        }
    } else {
        renewed.metadata.annotations.get_or_insert_default().extend(sizes(view));
    }
    renewed
}

/// The same, of another size.
pub(crate) fn resized(view: &View, set: &Arc<ReplicaSet>, size: i32) -> ReplicaSet {
    let mut resized = renewed(view, set);
    if let Some(spec) = &mut resized.spec {
        spec.replicas = Some(size);
    }
    resized
}

/// Whether nobody controls the set, and nobody deletes it.
pub(crate) fn is_orphan(set: &ReplicaSet) -> bool {
    set.metadata.deletion_timestamp.is_none() && !is_controlled(set)
}

fn sizes(view: &View) -> [(String, String); 2] {
    [
        (DESIRED_REPLICAS.to_owned(), view.bounds.replicas.to_string()),
        (MAX_REPLICAS.to_owned(), view.bounds.most().to_string()),
    ]
}

fn annotations(view: &View, before: Option<BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut annotations = before.unwrap_or_default();
    let own = view.deployment.metadata.annotations.iter().flatten();
    let taken = own.filter(|(name, _)| !OWN_ANNOTATIONS.contains(&name.as_str()));
    annotations.extend(taken.map(|(name, value)| (name.clone(), value.clone())));
    annotations.extend(sizes(view));
    annotations.insert(REVISION.to_owned(), view.revision().to_string());
    annotations
}
