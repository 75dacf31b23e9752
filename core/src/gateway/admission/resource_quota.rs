//! Resource quotas: what the objects of a namespace may come to in all.
//!
//! A quota is charged at the commit. The gateway says what an object counts for; the sequencer, which knows every write
//! before this one, decides whether it still fits. Nothing is written to the quota for it: what is used is the sum over the
//! objects, so that a crash, a lost race or a deletion by whatever path can neither lose a charge nor leave one behind. The
//! quota's `status.used` is that sum written down for people, by an operator, and nothing rests on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::gateway::Unprepared;
use crate::object::{Name, Object, ObjectKey, Quantity, ResourceType, Uid};
use crate::resource::pod::QosClass;
use crate::resource::pod::resources::{Amounts, List, amounts, of_container, of_pod};
use crate::resource::read::{items, size, text};
use crate::resource::{PERSISTENT_VOLUME_CLAIMS as CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES};
use crate::store::{CommitCondition, Counter, Excess};

/// The kinds that are counted by their plain plural name.
const COUNTED: [&str; 7] =
    ["configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services", "pods"];
/// What every container must name where a quota limits it.
const TO_BE_NAMED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
/// What stands between the name of a storage class and what is limited of its claims.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";

/// Keeps the objects of a namespace within its quotas.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceQuota;

impl Admission for ResourceQuota {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let resource = request.mutation.target.resource();
        let counts = match request.operation {
            Operation::Create => true,
            Operation::Update => [PODS, SERVICES, CLAIMS].contains(&resource),
            Operation::Delete | Operation::Connect => false,
        };
        counts
            && request.namespace().is_some()
            && (request.is_whole(resource) || request.resizes())
            && request.snapshot.count(RESOURCE_QUOTAS) > 0
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        let resource = request.mutation.target.resource();
        let quotas = request.snapshot.list(RESOURCE_QUOTAS, request.namespace(), None).map(|quota| Quota::of(quota));
        let mut verdict = Verdict::default();
        for quota in quotas.filter(|quota| quota.matches(resource, object)) {
            if let Some(why) = quota.left_unnamed(request, object) {
                return Err(request.forbidden(object, format_args!("failed quota: {}: {why}", quota.key.name)).into());
            }
            verdict.conditions.extend(quota.charges(resource, object));
        }
        Ok(verdict)
    }
}

/// One quota.
#[derive(Clone)]
pub struct Quota {
    key: ObjectKey,
    uid: Uid,
    hard: Amounts,
    scopes: Arc<[Scope]>,
}

/// Which pods a quota is about.
#[derive(Debug)]
struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

/// What an object counts for under a name of a quota's `hard`.
type Weigh = fn(&str, &Value) -> i64;
/// A resource type as a quota names it, by group and plural. What people write in quotas is not kept beyond them.
type Counted<'q> = (&'q str, &'q str);

fn is(counted: Counted<'_>, resource: ResourceType) -> bool {
    counted == (resource.group, resource.plural)
}

impl Quota {
    /// The quota of a stored object.
    pub fn of(object: &Object) -> Self {
        let value = object.value();
        let plain = items(&value, "/spec/scopes").filter_map(Value::as_str).map(|name| Scope {
            name: name.to_owned(),
            operator: "Exists".to_owned(),
            values: Vec::new(),
        });
        let selected = items(&value, "/spec/scopeSelector/matchExpressions").map(|expression| Scope {
            name: text(expression, "/scopeName").to_owned(),
            operator: text(expression, "/operator").to_owned(),
            values: items(expression, "/values").filter_map(Value::as_str).map(str::to_owned).collect(),
        });
        Self {
            key: object.key().clone(),
            uid: object.metadata().uid.clone(),
            hard: amounts(&value, "/spec/hard"),
            scopes: plain.chain(selected).collect(),
        }
    }

    /// What each name of `hard` comes to, as it stands in the status. `objects` tells those of a group and plural in the
    /// quota's namespace.
    pub fn used(&self, mut objects: impl FnMut(&str, &str) -> Vec<Arc<Object>>) -> BTreeMap<String, Quantity> {
        let used = self.hard.keys().map(|of| {
            let sum = weigher(of).map_or(0, |((group, plural), _)| {
                let weigh = |object: &Arc<Object>| self.weigh(of, object.key().resource, &object.value());
                objects(group, plural).iter().map(weigh).fold(0, i64::saturating_add)
            });
            (of.clone(), quantity(of, sum))
        });
        used.collect()
    }

    /// Whether it counts objects of a resource type.
    pub fn counts(&self, resource: ResourceType) -> bool {
        self.hard.keys().filter_map(|of| weigher(of)).any(|(counted, _)| is(counted, resource))
    }

    /// What limits it sets.
    pub fn hard(&self) -> &BTreeMap<String, Quantity> {
        &self.hard
    }

    /// Whether it is about the object at all: scopes choose among pods.
    fn matches(&self, resource: ResourceType, object: &Value) -> bool {
        self.scopes.is_empty() || resource == PODS && self.scopes.iter().all(|scope| scope.matches(object))
    }

    fn weigh(&self, of: &str, resource: ResourceType, object: &Value) -> i64 {
        match weigher(of) {
            Some((counted, weigh)) if is(counted, resource) && self.matches(resource, object) => weigh(of, object),
            _ => 0,
        }
    }

    fn charges(&self, resource: ResourceType, object: &Value) -> Vec<CommitCondition> {
        let limited = self.hard.iter().filter(|(of, _)| weigher(of).is_some_and(|(counted, _)| is(counted, resource)));
        let charge = |(of, limit): (&String, &Quantity)| {
            let amount = self.weigh(of, resource, object);
            (amount > 0).then(|| CommitCondition::Charge {
                counter: self.counter(of, resource),
                amount,
                limit: whole(of, limit),
            })
        };
        limited.filter_map(charge).collect()
    }

    fn counter(&self, of: &str, resource: ResourceType) -> Counter {
        let (quota, name) = (self.clone(), of.to_owned());
        Counter {
            owner: (self.key.clone(), self.uid.clone()),
            of: Name::from(of),
            resource,
            namespace: self.key.namespace.clone(),
            scope: format!("{:?}", self.scopes).as_str().into(),
            measure: Arc::new(move |object| quota.weigh(&name, resource, &object.value())),
        }
    }

    /// What containers must name because it is limited, and do not.
    fn left_unnamed(&self, request: &AdmissionRequest<'_>, pod: &Value) -> Option<String> {
        if !request.creates(PODS) {
            return None;
        }
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for of in TO_BE_NAMED.into_iter().filter(|of| self.hard.contains_key(*of)) {
            let (list, name) = list_of(of);
            let named = |container: &&Value| !of_container(container, list).contains_key(name);
            let containers = items(pod, "/spec/containers").chain(items(pod, "/spec/initContainers")).filter(named);
            for container in containers {
                missing.entry(of).or_default().insert(text(container, "/name"));
            }
        }
        let told = missing.into_iter().map(|(of, containers)| {
            let containers: Vec<&str> = containers.into_iter().collect();
            format!("{of} for: {}", containers.join(","))
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| format!("must specify {}", told.join("; ")))
    }
}

impl Scope {
    fn matches(&self, pod: &Value) -> bool {
        let has_deadline = pod.pointer("/spec/activeDeadlineSeconds").is_some_and(|deadline| !deadline.is_null());
        let is_best_effort = || QosClass::of(pod) == QosClass::BestEffort;
        match self.name.as_str() {
            "Terminating" => has_deadline,
            "NotTerminating" => !has_deadline,
            "BestEffort" => is_best_effort(),
            "NotBestEffort" => !is_best_effort(),
            "PriorityClass" => self.selects(text(pod, "/spec/priorityClassName")),
            "CrossNamespacePodAffinity" => crosses_namespaces(pod),
            _ => false,
        }
    }

    fn selects(&self, class: &str) -> bool {
        let is_named = self.values.iter().any(|value| value == class);
        match self.operator.as_str() {
            "In" => is_named,
            "NotIn" => !is_named,
            "DoesNotExist" => class.is_empty(),
            _ => !class.is_empty(),
        }
    }
}

/// Whether a pod's affinity looks at pods of other namespaces.
fn crosses_namespaces(pod: &Value) -> bool {
    let terms = ["podAffinity", "podAntiAffinity"].into_iter().flat_map(|kind| {
        let of = move |list: &str| format!("/spec/affinity/{kind}/{list}DuringSchedulingIgnoredDuringExecution");
        let (required, preferred) = (of("required"), of("preferred"));
        let required = items(pod, &required);
        let preferred = items(pod, &preferred).filter_map(|term| term.pointer("/podAffinityTerm"));
        required.chain(preferred).collect::<Vec<_>>()
    });
    let crosses =
        |term: &Value| size(term, "/namespaces") > 0 || term.get("namespaceSelector").is_some_and(Value::is_object);
    terms.into_iter().any(crosses)
}

/// Whose objects count under a name of `hard`, and for how much.
fn weigher(of: &str) -> Option<(Counted<'_>, Weigh)> {
    const PODS: Counted<'_> = ("", "pods");
    const CLAIMS: Counted<'_> = ("", "persistentvolumeclaims");
    const SERVICES: Counted<'_> = ("", "services");
    let one: Weigh = |_, _| 1;
    if let Some(counted) = of.strip_prefix("count/") {
        let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
        return Some(((group, plural), one));
    }
    if let Some((_, limited)) = of.split_once(OF_CLASS) {
        return match limited {
            "requests.storage" => Some((CLAIMS, |of, claim| if is_of_class(of, claim) { storage(claim) } else { 0 })),
            "persistentvolumeclaims" => Some((CLAIMS, |of, claim| i64::from(is_of_class(of, claim)))),
            _ => None,
        };
    }
    match of {
        "pods" => Some((PODS, |_, pod| i64::from(is_live(pod)))),
        "requests.storage" => Some((CLAIMS, |_, claim| storage(claim))),
        "services.loadbalancers" => Some((SERVICES, |_, it| i64::from(text(it, "/spec/type") == "LoadBalancer"))),
        "services.nodeports" => Some((SERVICES, |_, service| node_ports(service))),
        of if COUNTED.contains(&of) => Some((("", of), one)),
        _ => Some((PODS, |of, pod| if is_live(pod) { asked_by_pod(of, pod) } else { 0 })),
    }
}

fn is_live(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn asked_by_pod(of: &str, pod: &Value) -> i64 {
    let (list, name) = list_of(of);
    of_pod(pod, list).get(name).map_or(0, |amount| whole(of, amount))
}

/// The list a name of `hard` is about, and the resource: a bare name is a request.
fn list_of(of: &str) -> (List, &str) {
    match of.split_once('.') {
        Some(("limits", name)) => (List::Limits, name),
        Some(("requests", name)) => (List::Requests, name),
        _ => (List::Requests, of),
    }
}

fn storage(claim: &Value) -> i64 {
    let asked = amounts(claim, "/spec/resources/requests");
    asked.get("storage").map_or(0, Quantity::value)
}

fn is_of_class(of: &str, claim: &Value) -> bool {
    of.split_once(OF_CLASS).is_some_and(|(class, _)| class == text(claim, "/spec/storageClassName"))
}

fn node_ports(service: &Value) -> i64 {
    match text(service, "/spec/type") {
        "NodePort" => size(service, "/spec/ports") as i64,
        "LoadBalancer" if service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false)) => {
            size(service, "/spec/ports") as i64
        }
        "LoadBalancer" => items(service, "/spec/ports").filter(|port| port.get("nodePort").is_some()).count() as i64,
        _ => 0,
    }
}

/// An amount in the unit it is summed in: thousandths of a CPU, and whole units of all else.
fn whole(of: &str, amount: &Quantity) -> i64 {
    if list_of(of).1 == "cpu" { amount.milli_value() } else { amount.value() }
}

/// A sum as people read it.
fn quantity(of: &str, amount: i64) -> Quantity {
    let name = list_of(of.rsplit_once('/').map_or(of, |(_, limited)| limited)).1;
    match name {
        "cpu" => Quantity::from_milli(amount),
        "memory" | "storage" | "ephemeral-storage" => Quantity::from_bytes(amount),
        name if name.starts_with("hugepages-") => Quantity::from_bytes(amount),
        _ => Quantity::from_units(amount),
    }
}

/// Why a write does not fit into a quota, as Kubernetes words it.
pub(in crate::gateway) fn exceeded(quota: &ObjectKey, excesses: &[Excess]) -> String {
    let told = |amount: fn(&Excess) -> i64| -> String {
        let told = excesses.iter().map(|excess| format!("{}={}", excess.of, quantity(&excess.of, amount(excess))));
        told.collect::<Vec<_>>().join(",")
    };
    format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.name,
        told(|excess| excess.requested),
        told(|excess| excess.used),
        told(|excess| excess.limit)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Draft;
    use crate::store::Snapshot;

    fn weight(of: &str, object: &Value) -> i64 {
        weigher(of).unwrap().1(of, object)
    }

    #[test]
    fn what_an_object_counts_for() {
        let resources =
            json!({"requests": {"cpu": "250m", "memory": "1Gi", "example.com/gpu": "2"}, "limits": {"cpu": "1"}});
        let pod =
            json!({"spec": {"containers": [{"name": "c", "resources": resources}]}, "status": {"phase": "Running"}});
        let mut ended = pod.clone();
        ended["status"]["phase"] = json!("Succeeded");
        let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}});
        let service = json!({"spec": {"type": "NodePort", "ports": [{}, {}]}});
        let cases = [
            ("pods", &pod, 1),
            ("pods", &ended, 0),
            ("count/pods", &ended, 1),
            ("cpu", &pod, 250),
            ("requests.cpu", &pod, 250),
            ("limits.cpu", &pod, 1000),
            ("requests.memory", &pod, 1 << 30),
            ("requests.example.com/gpu", &pod, 2),
            ("requests.memory", &ended, 0),
            ("requests.storage", &claim, 2 << 30),
            ("fast.storageclass.storage.k8s.io/requests.storage", &claim, 2 << 30),
            ("slow.storageclass.storage.k8s.io/persistentvolumeclaims", &claim, 0),
            ("services.nodeports", &service, 2),
            ("services.loadbalancers", &service, 0),
            ("configmaps", &json!({}), 1),
            ("count/deployments.apps", &json!({}), 1),
        ];
        for (of, object, expect) in cases {
            assert_eq!(weight(of, object), expect, "{of} of {object}");
        }
        assert_eq!(weigher("count/deployments.apps").unwrap().0, ("apps", "deployments"));
    }

    #[test]
    fn scopes_choose_among_pods() {
        let scope = |name: &str, operator: &str, values: &[&str]| Scope {
            name: name.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let bare = json!({"spec": {"containers": [{"name": "c"}]}});
        let classed = json!({"spec": {"priorityClassName": "high", "activeDeadlineSeconds": 5, "containers": [
            {"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
        for (scope, of_bare, of_classed) in [
            (scope("BestEffort", "Exists", &[]), true, false),
            (scope("NotBestEffort", "Exists", &[]), false, true),
            (scope("Terminating", "Exists", &[]), false, true),
            (scope("NotTerminating", "Exists", &[]), true, false),
            (scope("PriorityClass", "In", &["high"]), false, true),
            (scope("PriorityClass", "NotIn", &["high"]), true, false),
            (scope("PriorityClass", "Exists", &[]), false, true),
        ] {
            assert_eq!((scope.matches(&bare), scope.matches(&classed)), (of_bare, of_classed), "{}", scope.name);
        }
    }

    #[test]
    fn another_choice_of_pods_is_another_count() {
        let counter = |class: &str| {
            let chosen = json!({"scopeName": "PriorityClass", "operator": "In", "values": [class]});
            let spec = json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [chosen]}});
            let quota = json!({"metadata": {"name": "q", "namespace": "team", "uid": "u",
                "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec});
            let key = ObjectKey::namespaced(RESOURCE_QUOTAS, "team", "q");
            let stored = Snapshot::of([Draft::new(key.clone(), quota, Vec::new()).unwrap()]);
            Quota::of(stored.get(&key).unwrap()).counter("pods", PODS)
        };
        assert_eq!(counter("low").id(), counter("low").id());
        assert_ne!(counter("low").id(), counter("high").id());
    }

    #[test]
    fn an_excess_reads_as_kubernetes_words_it() {
        let quota = ObjectKey::namespaced(RESOURCE_QUOTAS, "team", "small");
        let excess = |of: &str, used, requested, limit| Excess { of: of.into(), used, requested, limit };
        let excesses = [excess("limits.cpu", 1500, 1000, 2000), excess("requests.memory", 1 << 30, 1 << 30, 1 << 30)];
        let expect = "exceeded quota: small, requested: limits.cpu=1,requests.memory=1Gi, used: limits.cpu=1500m,requests.memory=1Gi, limited: limits.cpu=2,requests.memory=1Gi";
        assert_eq!(exceeded(&quota, &excesses), expect);
    }
}
