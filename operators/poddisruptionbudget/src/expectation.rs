//! How many pods those who control them mean to keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Context, Kind};

/// How many pods are expected, and which of those there are nobody controls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) pods: i32,
    pub(crate) unmanaged: Vec<String>,
}

impl Expected {
    /// Just those there are.
    pub(crate) fn of(pods: &[Arc<Pod>]) -> Self {
        Self { pods: i32::try_from(pods.len()).unwrap_or(i32::MAX), unmanaged: Vec::new() }
    }
}

/// What those who control the pods mean to keep, each counted once.
///
/// # Errors
/// Whose number cannot be told.
pub(crate) fn expected(pods: &[Arc<Pod>], cx: &mut Context<'_>) -> Result<Expected, String> {
    let (mut scales, mut unmanaged) = (BTreeMap::new(), Vec::new());
    for pod in pods {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let Some(controller) = controller_of(&**pod) else {
            unmanaged.push(name);
            continue;
        };
        if scales.contains_key(&controller.uid) {
            continue;
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let (uid, replicas) =
            scale(controller, namespace, cx)?.ok_or_else(|| format!("found no controllers for pod \"{name}\""))?;
        scales.insert(controller.uid.clone(), None);
        scales.insert(uid, Some(replicas));
    }
    Ok(Expected { pods: scales.into_values().flatten().fold(0, i32::saturating_add), unmanaged })
}

/// The uid and the replicas of who controls a pod: of a ReplicaSet that is a Deployment's, the Deployment's. `None` where there
/// is no such object any more.
fn scale(of: &OwnerReference, namespace: &str, cx: &mut Context<'_>) -> Result<Option<(String, i32)>, String> {
    let group = of.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Ok(match (group, of.kind.as_str()) {
        ("", "ReplicationController") => {
            let found = find::<ReplicationController>(of, namespace, cx);
            found.map(|it| (of.uid.clone(), it.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
        }
        ("apps", "StatefulSet") => {
            let found = find::<StatefulSet>(of, namespace, cx);
            found.map(|it| (of.uid.clone(), it.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
        }
        ("apps", "ReplicaSet") => find::<ReplicaSet>(of, namespace, cx).map(|set| match deployment_of(&set, cx) {
            Some(deployment) => deployment,
            None => (of.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)),
        }),
        _ => return Err(format!("{} {} does not implement the scale subresource", of.api_version, of.kind)),
    })
}

fn deployment_of(set: &ReplicaSet, cx: &mut Context<'_>) -> Option<(String, i32)> {
    let controller = controller_of(set).filter(|it| it.kind == Deployment::KIND)?;
    let found = find::<Deployment>(controller, set.metadata.namespace.as_deref()?, cx)?;
    Some((controller.uid.clone(), found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
}

/// The very object that is named, not another of its name.
fn find<K: Kind>(reference: &OwnerReference, namespace: &str, cx: &mut Context<'_>) -> Option<Arc<K>> {
    let key = ObjectKey::namespaced(K::RESOURCE, namespace, &reference.name);
    cx.get::<K>(&key).filter(|found| found.meta().uid.as_deref() == Some(&*reference.uid))
}

fn controller_of<K: Kind>(object: &K) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|reference| reference.controller == Some(true))
}
