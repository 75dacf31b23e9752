//! CSIDrivers: what a driver of the container storage interface can do.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{FieldPath, ResourceType};
use crate::resource::check::{Faults, Field};
use crate::resource::equal::same;
use crate::resource::fill::{fill, object_at, set};
use crate::resource::read::{is_true, items, size, text};
use crate::resource::table::{age, or_none};
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const CSI_DRIVERS: ResourceType = ResourceType::new("storage.k8s.io", "csidrivers");

/// How long a token lives, in seconds.
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
/// How often a driver may at most tell anew how much a node can hold, in seconds.
const UPDATE_SECONDS_MIN: i64 = 10;

struct CsiDriverStrategy;

/// What a CSIDriver is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("storage.k8s.io", "v1", "io.k8s.api.storage.v1.CSIDriver");
    ResourceDefinition {
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(CSI_DRIVERS, "CSIDriver", "csidriver", version, CsiDriverStrategy)
    }
}

impl Strategy for CsiDriverStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        fill(spec, "attachRequired", true);
        for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            fill(spec, field, false);
        }
        fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if size(spec, "/volumeLifecycleModes") == 0 {
            set(spec, "volumeLifecycleModes", json!(["Persistent"]));
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.one_of_if_set(&spec.at("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
        token_requests(&spec.at("tokenRequests"), &mut faults);
        for mode in spec.at("volumeLifecycleModes").items() {
            let at = Field { path: spec.path.child("volumeLifecycleModes"), ..mode };
            faults.one_of_if_set(&at, &["Ephemeral", "Persistent"]);
        }
        let period = spec.at("nodeAllocatableUpdatePeriodSeconds");
        if period.number().is_some_and(|seconds| seconds < UPDATE_SECONDS_MIN) {
            faults.invalid(&period, "must be greater than or equal to 10 seconds");
        }
        let in_secrets = spec.at("serviceAccountTokenInSecrets");
        if in_secrets.is_set() && spec.at("tokenRequests").count() == 0 {
            faults.invalid(&in_secrets, "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (spec, before) = (Field::root(object).at("spec"), Field::root(old).at("spec"));
        let path = FieldPath::new("spec").child("attachedRequired");
        faults.immutable(&Field { path, ..spec.at("attachRequired") }, &before.at("attachRequired"));
        let modes = spec.at("volumeLifecycleModes");
        if !same(modes.value, before.at("volumeLifecycleModes").value) {
            faults.invalid(&modes, "field is immutable");
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::boolean("AttachRequired", "Whether volumes are attached to nodes first."),
            Column::boolean("PodInfoOnMount", "Whether it is told about the pod."),
            Column::boolean("StorageCapacity", "Whether it tells how much there is left."),
            Column::text("TokenRequests", "The audiences of tokens it is given."),
            Column::boolean("RequiresRepublish", "Whether it is asked again and again."),
            Column::text("Modes", "The lives its volumes may have."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let texts = |pointer: &str| items(object, pointer).filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        let audiences = items(object, "/spec/tokenRequests").map(|request| text(request, "/audience"));
        let asks = object.pointer("/spec/tokenRequests").is_some_and(Value::is_array);
        let audiences = if asks { audiences.collect::<Vec<_>>().join(",") } else { "<unset>".to_owned() };
        vec![
            is_true(object, "/spec/attachRequired").into(),
            is_true(object, "/spec/podInfoOnMount").into(),
            is_true(object, "/spec/storageCapacity").into(),
            audiences.into(),
            is_true(object, "/spec/requiresRepublish").into(),
            or_none(&texts("/spec/volumeLifecycleModes")),
            age(object, now),
        ]
    }
}

fn token_requests(requests: &Field<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for request in requests.items() {
        let (audience, seconds) = (request.at("audience"), request.at("expirationSeconds"));
        if !seen.insert(audience.text()) {
            faults.duplicate(&audience);
        }
        match seconds.number() {
            Some(..TOKEN_SECONDS_MIN) => faults.invalid(&seconds, "may not specify a duration less than 10 minutes"),
            Some(number) if number > TOKEN_SECONDS_MAX => {
                faults.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
}
