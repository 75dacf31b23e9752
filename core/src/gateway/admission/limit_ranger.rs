//! Limit ranges: what containers get that name no resources, and what containers, pods and claims must stay within.

use serde_json::{Value, json};

use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::gateway::Unprepared;
use crate::object::{Quantity, ResourceType};
use crate::resource::fill::{items_mut, object_at, set};
use crate::resource::pod::resources::{Amounts, List, amounts, of_container, of_pod};
use crate::resource::read::{items, text};
use crate::resource::{PERSISTENT_VOLUME_CLAIMS as CLAIMS, PODS};
use crate::status::Status;

const LIMIT_RANGES: ResourceType = ResourceType::new("", "limitranges");
/// Under which a pod says what it was given.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives containers the resources their namespace's limit ranges name, and keeps containers, pods and claims within them.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitRanger;

impl Admission for LimitRanger {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PODS)
            || request.resizes()
            || request.is_whole(CLAIMS) && matches!(request.operation, Operation::Create | Operation::Update)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        if request.creates(PODS) {
            for range in ranges(request) {
                give_defaults(object, &range);
            }
        }
        Ok(())
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        for range in ranges(request) {
            let limits = items(&range, "/spec/limits");
            let broken: Vec<String> = match request.mutation.target.resource() == PODS {
                true => limits.flat_map(|limit| broken_by_pod(limit, object)).collect(),
                false => limits.flat_map(|limit| broken_by_claim(limit, object)).collect(),
            };
            match broken.as_slice() {
                [] => {}
                [only] => return Err(request.forbidden(object, only).into()),
                several => return Err(request.forbidden(object, format_args!("[{}]", several.join(", "))).into()),
            }
        }
        Ok(Verdict::default())
    }
}

fn ranges(request: &AdmissionRequest<'_>) -> impl Iterator<Item = Value> {
    let found = request.namespace().map(|namespace| request.snapshot.list(LIMIT_RANGES, Some(namespace), None));
    found.into_iter().flatten().map(|range| range.value())
}

/// Gives each container what it does not name itself, and notes that on the pod.
fn give_defaults(pod: &mut Value, range: &Value) {
    let of_containers = || items(range, "/spec/limits").filter(|limit| text(limit, "/type") == "Container");
    let defaults = |pointer: &str| -> Amounts { of_containers().flat_map(|limit| amounts(limit, pointer)).collect() };
    let given = [(List::Requests, defaults("/defaultRequest")), (List::Limits, defaults("/default"))];
    let mut notes = Vec::new();
    let Some(spec) = object_at(pod, "spec") else { return };
    for (field, what) in [("containers", "container"), ("initContainers", "init container")] {
        for container in items_mut(spec, field) {
            for (list, defaults) in &given {
                let names = give(container, *list, defaults);
                if !names.is_empty() {
                    let (list, name) = (list.field().trim_end_matches('s'), text(container, "/name"));
                    notes.push(format!("{} {list} for {what} {name}", names.join(", ")));
                }
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    if let Some(annotations) = object_at(pod, "metadata").and_then(|metadata| object_at(metadata, "annotations")) {
        set(annotations, ANNOTATION, format!("LimitRanger plugin set: {}", notes.join("; ")));
    }
}

/// The names of what the container was given.
fn give<'d>(container: &mut Value, list: List, defaults: &'d Amounts) -> Vec<&'d str> {
    let own = of_container(container, list);
    let missing: Vec<(&String, &Quantity)> = defaults.iter().filter(|(name, _)| !own.contains_key(*name)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let resources = object_at(container, "resources").and_then(|resources| object_at(resources, list.field()));
    let Some(resources) = resources else { return Vec::new() };
    for (name, amount) in &missing {
        set(resources, name, json!(amount.to_string()));
    }
    missing.into_iter().map(|(name, _)| name.as_str()).collect()
}

fn broken_by_pod(limit: &Value, pod: &Value) -> Vec<String> {
    match text(limit, "/type") {
        "Container" => {
            let containers = items(pod, "/spec/containers").chain(items(pod, "/spec/initContainers"));
            containers
                .flat_map(|container| {
                    broken(limit, &of_container(container, List::Requests), &of_container(container, List::Limits))
                })
                .collect()
        }
        "Pod" => broken(limit, &of_pod(pod, List::Requests), &of_pod(pod, List::Limits)),
        _ => Vec::new(),
    }
}

fn broken(limit: &Value, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let kind = text(limit, "/type");
    let least = amounts(limit, "/min").into_iter().filter_map(|(name, bound)| {
        below(&bound, requests.get(&name), limits.get(&name))
            .map(|why| format!("minimum {name} usage per {kind} is {bound}{why}"))
    });
    let most = amounts(limit, "/max").into_iter().filter_map(|(name, bound)| {
        above(&bound, requests.get(&name), limits.get(&name))
            .map(|why| format!("maximum {name} usage per {kind} is {bound}{why}"))
    });
    let ratio = amounts(limit, "/maxLimitRequestRatio").into_iter().filter_map(|(name, bound)| {
        wider(&bound, requests.get(&name), limits.get(&name))
            .map(|why| format!("{name} max limit to request ratio per {kind} is {bound}, but {why}"))
    });
    least.chain(most).chain(ratio).collect()
}

fn below(bound: &Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    match (request, limit) {
        (None, _) => Some(".  No request is specified".to_owned()),
        (Some(request), _) if request < bound => Some(format!(", but request is {request}")),
        (_, Some(limit)) if limit < bound => Some(format!(", but limit is {limit}")),
        _ => None,
    }
}

fn above(bound: &Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    match (request, limit) {
        (_, None) => Some(".  No limit is specified".to_owned()),
        (_, Some(limit)) if limit > bound => Some(format!(", but limit is {limit}")),
        (Some(request), _) if request > bound => Some(format!(", but request is {request}")),
        _ => None,
    }
}

fn wider(bound: &Quantity, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some("no request is specified or request is 0".to_owned());
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some("no limit is specified or limit is 0".to_owned());
    };
    let ratio = limit.milli_value() as f64 / request.milli_value() as f64;
    (ratio > bound.milli_value() as f64 / 1000.0).then(|| format!("provided ratio is {ratio:.6}"))
}

fn broken_by_claim(limit: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    if text(limit, "/type") != KIND {
        return Vec::new();
    }
    let requests = amounts(claim, "/spec/resources/requests");
    let least = amounts(limit, "/min").into_iter().filter_map(|(name, bound)| {
        below(&bound, requests.get(&name), None).map(|why| format!("minimum {name} usage per {KIND} is {bound}{why}"))
    });
    let most = amounts(limit, "/max").into_iter().filter_map(|(name, bound)| match requests.get(&name) {
        None => Some(format!("maximum {name} usage per {KIND} is {bound}.  No request is specified")),
        Some(request) if *request > bound => {
            Some(format!("maximum {name} usage per {KIND} is {bound}, but request is {request}"))
        }
        Some(_) => None,
    });
    least.chain(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(requests: Value, limits: Value) -> Value {
        let container = json!({"name": "c", "resources": {"requests": requests, "limits": limits}});
        json!({"metadata": {"name": "web"}, "spec": {"containers": [container]}})
    }

    #[test]
    fn a_container_is_given_what_it_does_not_name_and_the_pod_says_so() {
        let limit =
            json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}});
        let range = json!({"spec": {"limits": [limit]}});
        let mut object = pod(json!({}), json!({"memory": "2Gi"}));
        give_defaults(&mut object, &range);
        let resources = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "2Gi"}});
        assert_eq!(object["spec"]["containers"][0]["resources"], resources);
        let note = "LimitRanger plugin set: cpu request for container c; cpu limit for container c";
        assert_eq!(object["metadata"]["annotations"][ANNOTATION], note);
        let before = object.clone();
        give_defaults(&mut object, &range);
        assert_eq!(object, before, "a second time it has nothing to give");
    }

    #[test]
    fn what_breaks_a_bound_is_named_as_kubernetes_does() {
        let bounds = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "2"}});
        let cases = [
            (json!({"cpu": "100m"}), json!({"cpu": "200m", "memory": "1Gi"}), vec![]),
            (
                json!({"cpu": "10m"}),
                json!({"cpu": "20m", "memory": "2Gi"}),
                vec![
                    "minimum cpu usage per Container is 100m, but request is 10m",
                    "maximum memory usage per Container is 1Gi, but limit is 2Gi",
                ],
            ),
            (
                json!({"cpu": "100m"}),
                json!({"cpu": "300m"}),
                vec![
                    "maximum memory usage per Container is 1Gi.  No limit is specified",
                    "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
                ],
            ),
            (
                json!({}),
                json!({"memory": "1Gi"}),
                vec![
                    "minimum cpu usage per Container is 100m.  No request is specified",
                    "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
                ],
            ),
        ];
        for (requests, limits, expect) in cases {
            assert_eq!(broken_by_pod(&bounds, &pod(requests, limits)), expect);
        }
    }

    #[test]
    fn a_claim_stays_within_its_bounds() {
        let bounds = json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}});
        for (asks, expect) in [
            ("1Gi", vec![]),
            ("3Gi", vec!["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]),
            ("1Mi", vec!["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]),
        ] {
            let claim = json!({"spec": {"resources": {"requests": {"storage": asks}}}});
            assert_eq!(broken_by_claim(&bounds, &claim), expect, "{asks}");
        }
    }
}
