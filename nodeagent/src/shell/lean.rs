//! A pod without the part of it that says who set which field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::Deserialize;

/// A pod as the node reads it. `managedFields` are often half of an object, and mean nothing here: they are not decoded.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Told")]
pub(super) struct LeanPod(Pod);

impl From<LeanPod> for Pod {
    fn from(LeanPod(pod): LeanPod) -> Self {
        pod
    }
}

impl Resource for LeanPod {
    type DynamicType = ();
    type Scope = <Pod as Resource>::Scope;

    fn kind(of: &()) -> Cow<'_, str> {
        Pod::kind(of)
    }

    fn group(of: &()) -> Cow<'_, str> {
        Pod::group(of)
    }

    fn version(of: &()) -> Cow<'_, str> {
        Pod::version(of)
    }

    fn plural(of: &()) -> Cow<'_, str> {
        Pod::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

/// What of a pod's JSON is decoded.
#[derive(Deserialize)]
struct Told {
    metadata: Metadata,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

/// All of `ObjectMeta` but `managedFields`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generate_name: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    owner_references: Option<Vec<OwnerReference>>,
    resource_version: Option<String>,
    self_link: Option<String>,
    uid: Option<String>,
}

impl From<Told> for LeanPod {
    fn from(Told { metadata, spec, status }: Told) -> Self {
        Self(Pod { metadata: metadata.into(), spec, status })
    }
}

impl From<Metadata> for ObjectMeta {
    fn from(told: Metadata) -> Self {
        Self {
            annotations: told.annotations,
            creation_timestamp: told.creation_timestamp,
            deletion_grace_period_seconds: told.deletion_grace_period_seconds,
            deletion_timestamp: told.deletion_timestamp,
            finalizers: told.finalizers,
            generate_name: told.generate_name,
            generation: told.generation,
            labels: told.labels,
            managed_fields: None,
            name: told.name,
            namespace: told.namespace,
            owner_references: told.owner_references,
            resource_version: told.resource_version,
            self_link: told.self_link,
            uid: told.uid,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lean_pod_lacks_managed_fields_and_nothing_else() {
        let mut told = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "annotations": {"a": "b"}, "creationTimestamp": "2026-11-27T20:00:00Z", "deletionGracePeriodSeconds": 30,
                "deletionTimestamp": "2026-11-27T20:01:00Z", "finalizers": ["example.com/held"], "generateName": "web-",
                "generation": 2, "labels": {"app": "web"}, "name": "web-0", "namespace": "default",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}],
                "resourceVersion": "7", "selfLink": "/api/v1/pods/web-0", "uid": "u-0",
                "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}}]},
            "spec": {"nodeName": "n", "containers": [{"name": "web", "image": "web:v1"}]},
            "status": {"phase": "Running"}});
        let pod: Pod = serde_json::from_value::<LeanPod>(told.clone()).unwrap().into();
        told["metadata"].as_object_mut().unwrap().remove("managedFields").unwrap();
        assert_eq!(serde_json::to_value(pod).unwrap(), told);
    }
}
