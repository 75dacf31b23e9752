//! Pods: containers that share a network and volumes, on one node.

mod columns;
pub mod company;
mod condition;
pub mod default;
mod label_keys;
mod marked;
mod proxy;
mod qos;
mod resize;
pub(crate) mod resources;
mod share;
mod subresource;
pub(crate) use subresource::mark_evicted;
mod validate;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{fill, object_at, set};
use super::read::{at, is_true, size, text};
use super::{
    Cell, Column, Destination, FieldGetter, ProxyName, ResourceDefinition, ServedVersion, Strategy, ValuesGetter,
    WriteContext,
};
use crate::object::{Object, ResourceType};
use crate::status::{Status, StatusCause};
use crate::store::Snapshot;

pub use condition::with_condition;
pub use marked::{DISRUPTION_TARGET, is_marked};
pub use qos::QosClass;
pub use share::{SHUNNING, has_lower, is_kept_after_end, kept_after_end, siblings, was_evicted};

/// The resource type.
pub const PODS: ResourceType = ResourceType::new("", "pods");

/// The subresource at which the resources of containers that run are changed.
pub const RESIZE: &str = "resize";

/// Seconds a pod has to end where it does not say.
pub const DEFAULT_GRACE_SECONDS: i64 = 30;

const SELECTABLE: &[(&str, FieldGetter)] = &[
    ("spec.nodeName", |pod| text(pod, "/spec/nodeName").to_owned()),
    ("spec.restartPolicy", |pod| text(pod, "/spec/restartPolicy").to_owned()),
    ("spec.schedulerName", |pod| text(pod, "/spec/schedulerName").to_owned()),
    ("spec.serviceAccountName", |pod| text(pod, "/spec/serviceAccountName").to_owned()),
    ("spec.hostNetwork", |pod| is_true(pod, "/spec/hostNetwork").to_string()),
    ("status.phase", |pod| text(pod, "/status/phase").to_owned()),
    ("status.podIP", |pod| text(pod, "/status/podIP").to_owned()),
    ("status.podIPs", |pod| text(pod, "/status/podIP").to_owned()),
    ("status.nominatedNodeName", |pod| text(pod, "/status/nominatedNodeName").to_owned()),
];

/// See [`is_indexed`](super::is_indexed).
pub(super) const NOT_INDEXED: &[&str] = &[
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.podIP",
    "status.podIPs",
];

/// What a taint may do to pods.
pub const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

const INDEXED: &[(&str, ValuesGetter)] = &[
    (company::REPELS, company::repels),
    (company::LEANS, company::leans),
    (company::SEEKS_COMPANY, company::seeks_company),
    (marked::MARKED, marked::marked),
];

struct PodStrategy;

/// What a Pod is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.Pod");
    ResourceDefinition {
        short_names: &["po"],
        categories: &["all"],
        has_status: true,
        subresources: subresource::ALL,
        selectable: SELECTABLE,
        indexed: INDEXED,
        share: Some(share::of),
        has_generation: true,
        ..ResourceDefinition::plain(PODS, "Pod", "pod", version, PodStrategy)
    }
}

impl Strategy for PodStrategy {
    fn is_blind_to_names(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        default::pod(object);
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        label_keys::write_out(object);
        let mut status = json!({"phase": "Pending", "qosClass": QosClass::of(object).as_str()});
        if size(object, "/spec/schedulingGates") > 0 {
            set(&mut status, "conditions", json!([scheduling_gated()]));
        }
        set(object, "status", status);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value, _cx: &WriteContext<'_>) {
        let class = QosClass::of(object).as_str();
        if let Some(status) = object_at(object, "status") {
            fill(status, "qosClass", class);
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        validate::pod(object).errors.causes()
    }

    fn validate_create(&self, object: &Value, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        validate::creation(object).errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        validate::update(object, old).errors.causes()
    }

    fn validate_status(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        validate::status_update(object, old).errors.causes()
    }

    /// Nobody has to end a pod that runs nowhere or has ended: it goes at once.
    fn default_grace_seconds(&self, object: &Object) -> i64 {
        let ended = matches!(object.field("status.phase"), Some("Succeeded" | "Failed"));
        if ended || object.field("spec.nodeName").is_none_or(str::is_empty) {
            return 0;
        }
        let pod = object.value();
        let grace = at(&pod, "/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
        grace.unwrap_or(DEFAULT_GRACE_SECONDS)
    }

    fn write_subresource(
        &self,
        name: &str,
        body: &Value,
        object: &mut Value,
        cx: &WriteContext<'_>,
    ) -> Result<(), Status> {
        match name {
            "binding" => subresource::bind(body, object, cx.now),
            "ephemeralcontainers" => subresource::debug(body, object),
            RESIZE => resize::resize(body, object),
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn destination(&self, pod: &Object, asked: &ProxyName<'_>, _snapshot: &Snapshot) -> Result<Destination, Status> {
        proxy::destination(&pod.value(), asked)
    }

    fn columns(&self) -> Vec<Column> {
        columns::columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        columns::cells(object, now)
    }
}

/// Checks a pod template, as workloads hold one.
pub fn validate_template(template: &Field<'_>, faults: &mut Faults) {
    validate::template(template, faults);
}

/// Checks a selection of nodes, as a volume has one that is not everywhere.
pub fn validate_node_selector(selector: &Field<'_>, faults: &mut Faults) {
    validate::node_selector(selector, faults);
}

/// Checks amounts of resources a container may have.
pub fn validate_amounts(amounts: &Field<'_>, faults: &mut Faults) {
    validate::container_amounts(amounts, faults);
}

/// Checks a list of tolerations.
pub fn validate_tolerations(tolerations: &Field<'_>, faults: &mut Faults) {
    validate::tolerations(tolerations, faults);
}

/// Checks a source of data, such as `hostPath`, that a volume of a pod and a persistent volume may both have.
pub fn validate_volume_source(name: &str, source: &Field<'_>, faults: &mut Faults) {
    validate::known_source(name, source, faults);
}

fn scheduling_gated() -> Value {
    json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates"})
}
