//! How a pod finds the API server and shows who it is: a volume with a token, the authority's certificate and the namespace.

use serde_json::{Value, json};

use super::node_restriction::MIRROR;
use super::{Admission, AdmissionRequest};
use crate::object::ObjectKey;
use crate::resource::fill::items_mut;
use crate::resource::read::{at, items, text, texts};
use crate::resource::{PODS, SERVICE_ACCOUNTS};
use crate::status::Status;
use crate::store::Snapshot;

/// Where every client library looks.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the volume's name begins with.
pub(crate) const TOKEN_VOLUME_PREFIX: &str = "kube-api-access-";
/// How many characters of the pod's uid end the name.
const SUFFIX_CHARS: usize = 5;
/// How long a token lasts. The odd number tells tokens that nobody wished for.
const LIFETIME_SECONDS: i64 = 3607;

/// Gives the containers of a new pod a token of its service account, unless the pod or the account declines.
///
/// It comes after [`ServiceAccountAdmission`](super::ServiceAccountAdmission), which names the account.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceAccountTokenVolume;

impl Admission for ServiceAccountTokenVolume {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PODS)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        if wants_token(request.snapshot, request.namespace().unwrap_or_default(), object) {
            mount(object);
        }
        Ok(())
    }
}

fn wants_token(snapshot: &Snapshot, namespace: &str, pod: &Value) -> bool {
    if texts(pod, "/metadata/annotations").any(|(name, _)| name == MIRROR) {
        return false;
    }
    let own = at(pod, "/spec/automountServiceAccountToken").and_then(Value::as_bool);
    let of_account = || {
        let key = ObjectKey::namespaced(SERVICE_ACCOUNTS, namespace, text(pod, "/spec/serviceAccountName"));
        snapshot.get(&key)?.value().get("automountServiceAccountToken").and_then(Value::as_bool)
    };
    own.or_else(of_account).unwrap_or(true)
}

fn mount(pod: &mut Value) {
    let present = items(pod, "/spec/volumes")
        .map(|volume| text(volume, "/name"))
        .find(|name| name.starts_with(TOKEN_VOLUME_PREFIX));
    let (has_volume, name) = (present.is_some(), present.map_or_else(|| volume_name(pod), str::to_owned));
    let Some(spec) = pod.get_mut("spec") else { return };
    let mut mounted = 0;
    for list in ["initContainers", "containers"] {
        for container in items_mut(spec, list) {
            let is_taken = items(container, "/volumeMounts").any(|mount| text(mount, "/mountPath") == MOUNT_PATH);
            if !is_taken {
                push(container, "volumeMounts", json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
                mounted += 1;
            }
        }
    }
    if mounted > 0 && !has_volume {
        push(spec, "volumes", volume(&name));
    }
}

fn volume_name(pod: &Value) -> String {
    let uid = text(pod, "/metadata/uid");
    let start = uid.len().saturating_sub(SUFFIX_CHARS);
    format!("{TOKEN_VOLUME_PREFIX}{}", uid.get(start..).unwrap_or_default())
}

fn volume(name: &str) -> Value {
    let namespace = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": LIFETIME_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]}})
}

fn push(object: &mut Value, list: &str, item: Value) {
    let Some(fields) = object.as_object_mut() else { return };
    if let Some(items) = fields.entry(list).or_insert_with(|| json!([])).as_array_mut() {
        items.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Draft;

    fn mounted(account: Value, spec: Value) -> (Vec<usize>, usize) {
        let mut account = json!({"metadata": {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}, "automountServiceAccountToken": account});
        if account["automountServiceAccountToken"].is_null() {
            account.as_object_mut().unwrap().remove("automountServiceAccountToken");
        }
        let key = ObjectKey::namespaced(SERVICE_ACCOUNTS, "default", "a");
        let snapshot = Snapshot::of([Draft::new(key, account, Vec::new()).unwrap()]);
        let mut pod =
            json!({"metadata": {"uid": "0123456789"}, "spec": {"serviceAccountName": "a", "containers": [{}, {}]}});
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        if wants_token(&snapshot, "default", &pod) {
            mount(&mut pod);
        }
        let mounts = items(&pod, "/spec/containers").map(|container| items(container, "/volumeMounts").len());
        (mounts.collect(), items(&pod, "/spec/volumes").len())
    }

    #[test]
    fn a_pod_gets_a_token_unless_it_or_its_account_declines() {
        let declines = json!({"automountServiceAccountToken": false});
        let wants = json!({"automountServiceAccountToken": true});
        let cases = [
            (Value::Null, json!({}), (vec![1, 1], 1)),
            (Value::Null, declines.clone(), (vec![0, 0], 0)),
            (json!(false), json!({}), (vec![0, 0], 0)),
            (json!(false), wants, (vec![1, 1], 1)),
            (json!(true), declines, (vec![0, 0], 0)),
        ];
        for (account, spec, expect) in cases {
            assert_eq!(mounted(account.clone(), spec.clone()), expect, "{account} {spec}");
        }
    }

    #[test]
    fn what_a_container_has_mounted_there_stays() {
        let own = json!({"volumeMounts": [{"name": "mine", "mountPath": MOUNT_PATH}]});
        let volumes = json!([{"name": "mine", "emptyDir": {}}]);
        assert_eq!(mounted(Value::Null, json!({"containers": [own, {}], "volumes": volumes})), (vec![1, 1], 2));
        assert_eq!(mounted(Value::Null, json!({"containers": [own, own], "volumes": volumes})), (vec![1, 1], 1));
    }
}
