//! What users want of kinds beside Deployments: StatefulSets, DaemonSets, Jobs and Services.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use sampan_core::gateway::{Action, DeleteOptions, PatchKind, Subresource};
use sampan_core::object::{ObjectKey, ResourceType};
use serde_json::{Value, json};

use super::clients::{Desk, Wish};

/// The resource type of StatefulSets.
pub(super) const STATEFUL_SETS: ResourceType = ResourceType::new("apps", "statefulsets");
/// The resource type of DaemonSets.
pub(super) const DAEMON_SETS: ResourceType = ResourceType::new("apps", "daemonsets");
/// The resource type of Jobs.
pub(super) const JOBS: ResourceType = ResourceType::new("batch", "jobs");
/// The resource type of Services.
pub(super) const SERVICES: ResourceType = ResourceType::new("", "services");
/// The resource type of EndpointSlices.
pub(super) const SLICES: ResourceType = ResourceType::new("discovery.k8s.io", "endpointslices");

/// What an image's name begins with whose containers do their work and end.
pub const TASK_IMAGE: &str = "example/task";
/// The image whose containers end with an error.
pub const FAILING_IMAGE: &str = "example/failing:1";

/// One that starts its pods in order, and one that does not.
const SETS: [&str; 2] = ["db", "cache"];
const DAEMON: &str = "agent";
const TASKS: [&str; 3] = ["import", "export", "report"];
/// Each leads to the workload of its name.
const LED_TO: [&str; 4] = ["web", "api", "db", "agent"];
const REPLICAS_MAX: u64 = 4;

/// Every kind of wish of these, for reports.
pub(super) const WISHES: [&str; 11] = [
    "apply a stateful set",
    "scale a stateful set",
    "roll a stateful set",
    "delete a stateful set",
    "apply a daemon set",
    "roll a daemon set",
    "delete a daemon set",
    "apply a job",
    "delete a job",
    "apply a service",
    "delete a service",
];

impl Desk<'_> {
    /// What a user wants next of these kinds.
    pub(super) fn wish_of_other_kinds(&mut self) -> Option<Wish> {
        match self.dice.below(28) {
            0..=4 => self.apply_stateful_set(),
            5..=6 => self.scale_stateful_set(),
            7..=8 => self.roll_kind("roll a stateful set", STATEFUL_SETS),
            9..=10 => self.delete_kind("delete a stateful set", STATEFUL_SETS),
            11..=13 => self.apply_daemon_set(),
            14..=15 => self.roll_kind("roll a daemon set", DAEMON_SETS),
            16..=17 => self.delete_kind("delete a daemon set", DAEMON_SETS),
            18..=20 => self.apply_job(),
            21..=22 => self.delete_kind("delete a job", JOBS),
            23..=25 => self.apply_service(),
            _ => self.delete_kind("delete a service", SERVICES),
        }
    }

    fn apply_stateful_set(&mut self) -> Option<Wish> {
        let (namespace, name) = (self.namespace(), *self.dice.pick(&SETS)?);
        let policy = if name == "db" { "OrderedReady" } else { "Parallel" };
        let unavailable = 1 + self.dice.below(2);
        let body = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "replicas": self.dice.below(REPLICAS_MAX + 1), "serviceName": name, "podManagementPolicy": policy,
                "selector": {"matchLabels": {"app": name}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable}},
                "minReadySeconds": if self.dice.per_mille(700) { 0 } else { 5 },
                "template": self.template(name, "Always"),
            },
        });
        self.apply_kind("apply a stateful set", ObjectKey::namespaced(STATEFUL_SETS, namespace, name), body)
    }

    fn scale_stateful_set(&mut self) -> Option<Wish> {
        let key = self.some(STATEFUL_SETS)?.key().clone();
        let replicas = self.dice.below(REPLICAS_MAX + 1);
        let (body, what) = (json!({"spec": {"replicas": replicas}}), format!("{key} is scaled to {replicas}"));
        self.patch("scale a stateful set", key, Subresource::Scale, PatchKind::Merge, body, what)
    }

    fn apply_daemon_set(&mut self) -> Option<Wish> {
        let namespace = self.namespace();
        let body = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": DAEMON, "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": {"app": DAEMON}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "template": self.template(DAEMON, "Always"),
            },
        });
        self.apply_kind("apply a daemon set", ObjectKey::namespaced(DAEMON_SETS, namespace, DAEMON), body)
    }

    /// What a Job does cannot be changed later: one that is applied otherwise is refused.
    fn apply_job(&mut self) -> Option<Wish> {
        let (namespace, name) = (self.namespace(), *self.dice.pick(&TASKS)?);
        let restart = if self.dice.per_mille(500) { "Never" } else { "OnFailure" };
        let mut template = self.template(name, restart);
        template["spec"]["containers"][0]["image"] = format!("{TASK_IMAGE}:1").into();
        let body = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "completions": 1 + self.dice.below(4), "parallelism": 1 + self.dice.below(3), "backoffLimit": 6,
                "completionMode": if name == "import" { "Indexed" } else { "NonIndexed" }, "template": template,
            },
        });
        self.apply_kind("apply a job", ObjectKey::namespaced(JOBS, namespace, name), body)
    }

    fn apply_service(&mut self) -> Option<Wish> {
        let (namespace, name) = (self.namespace(), *self.dice.pick(&LED_TO)?);
        let mut body = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        if name == "db" {
            body["spec"]["clusterIP"] = "None".into();
        }
        self.apply_kind("apply a service", ObjectKey::namespaced(SERVICES, namespace, name), body)
    }

    /// With a grace: pods without any are removed while they run, as Kubernetes warns.
    fn template(&mut self, app: &str, restart: &str) -> Value {
        let container = json!({"name": "app", "image": format!("example/app:{}", self.dice.below(5))});
        json!({
            "metadata": {"labels": {"app": app}},
            "spec": {
                "containers": [container], "restartPolicy": restart,
                "terminationGracePeriodSeconds": 1 + self.dice.below(10),
            },
        })
    }

    fn apply_kind(&self, kind: &'static str, key: ObjectKey, body: Value) -> Option<Wish> {
        let what = format!("{key} is applied");
        self.patch(kind, key, Subresource::Whole, PatchKind::Apply, body, what)
    }

    fn roll_kind(&mut self, kind: &'static str, resource: ResourceType) -> Option<Wish> {
        let key = self.some(resource)?.key().clone();
        let image = format!("example/app:{}", self.dice.below(5));
        let what = format!("{key} gets image {image}");
        let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}});
        self.patch(kind, key, Subresource::Whole, PatchKind::Strategic, body, what)
    }

    fn delete_kind(&mut self, kind: &'static str, resource: ResourceType) -> Option<Wish> {
        let key = self.some(resource)?.key().clone();
        let what = format!("{key} is deleted");
        Some(self.wish_of(kind, &key, Subresource::Whole, Action::Delete(DeleteOptions::default()), what))
    }
}
