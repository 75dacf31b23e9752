//! StatefulSets: pods that keep their names and their storage.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::equal::same;
use crate::resource::fill::{clear, fill, items_mut, object_at, present, set};
use crate::resource::pod::default::pod_template;
use crate::resource::read::{integer, items, text};
use crate::resource::table::{age, containers_and_images};
use crate::resource::volume::claim::{claim_defaults, validate_claim_spec};
use crate::resource::workload::{
    count_or_percent, require_selector, validate_at_most_all, validate_collisions, validate_count_or_percent,
    validate_counts_of, validate_lasting, validate_selected_template,
};
use crate::resource::{Cell, Column, ResourceDefinition, ScalePaths, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const STATEFUL_SETS: ResourceType = ResourceType::new("apps", "statefulsets");

/// How many old revisions are kept to roll back to.
const REVISION_HISTORY_LIMIT: i64 = 10;
/// The fields of a spec that may change.
const CHANGEABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

struct StatefulSetStrategy;

/// What a StatefulSet is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("apps", "v1", "io.k8s.api.apps.v1.StatefulSet");
    ResourceDefinition {
        short_names: &["sts"],
        categories: &["all"],
        has_status: true,
        scale: Some(ScalePaths {
            spec_replicas: "/spec/replicas",
            status_replicas: "/status/replicas",
            selector: "/spec/selector",
        }),
        has_generation: true,
        ..ResourceDefinition::plain(STATEFUL_SETS, "StatefulSet", "statefulset", version, StatefulSetStrategy)
    }
}

impl Strategy for StatefulSetStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        fill(spec, "podManagementPolicy", "OrderedReady");
        default_strategy(spec);
        if let Some(policy) = object_at(spec, "persistentVolumeClaimRetentionPolicy") {
            fill(policy, "whenDeleted", "Retain");
            fill(policy, "whenScaled", "Retain");
        }
        fill(spec, "replicas", 1);
        fill(spec, "revisionHistoryLimit", REVISION_HISTORY_LIMIT);
        if let Some(template) = present(spec, "template") {
            pod_template(template);
        }
        for claim in items_mut(spec, "volumeClaimTemplates") {
            set(claim, "apiVersion", "v1");
            set(claim, "kind", "PersistentVolumeClaim");
            claim_defaults(claim);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({"replicas": 0, "availableReplicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        validate_policies(&spec, &mut faults);
        for claim in spec.at("volumeClaimTemplates").items() {
            validate_claim_spec(&claim.at("spec"), &mut faults);
        }
        faults.nonnegative(&spec.at("replicas"));
        faults.nonnegative(&spec.at("minReadySeconds"));
        faults.nonnegative(&spec.at("ordinals").at("start"));
        faults.optional_rule(&spec.at("serviceName"), names::dns_1123_label);
        require_selector(&spec.at("selector"), "statefulset", &mut faults);
        let template = template_as_made(object);
        let template = Field { value: &template, path: spec.path.child("template") };
        validate_selected_template(&spec.at("selector"), &template, &mut faults);
        validate_lasting(&template, "StatefulSet", &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let fixed = |object: &Value| {
            let mut spec = object.get("spec").cloned().unwrap_or_default();
            CHANGEABLE.iter().for_each(|field| clear(&mut spec, field));
            spec
        };
        if !same(&fixed(object), &fixed(old)) {
            let (last, first) = CHANGEABLE.split_last().expect("there are some");
            let named = first.iter().map(|field| format!("'{field}'")).collect::<Vec<_>>().join(", ");
            let why = format!("updates to statefulset spec for fields other than {named} and '{last}' are forbidden");
            faults.forbidden(&Field::root(object).at("spec"), why);
        }
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let status = Field::root(object).at("status");
        let counts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        validate_counts_of(&status, &counts, "cannot be greater than status.readyReplicas", &mut faults);
        validate_collisions(&status, &Field::root(old).at("status"), &mut faults);
        faults.errors.causes()
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let keeps_all = integer(object, "/spec/revisionHistoryLimit") < 0;
        let warning =
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
        keeps_all.then(|| warning.to_owned()).into_iter().collect()
    }

    fn name_faults(&self, name: &str) -> Vec<String> {
        names::dns_1123_label(name)
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Ready", "Pods that are ready, of those desired."),
            Column::age(),
            Column::text("Containers", "The names of the template's containers.").wide(),
            Column::text("Images", "The images of the template's containers.").wide(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let [containers, images] = containers_and_images(object, "/spec/template/spec/containers");
        let ready = format!("{}/{}", integer(object, "/status/readyReplicas"), integer(object, "/spec/replicas"));
        vec![ready.into(), age(object, now), containers, images]
    }
}

fn default_strategy(spec: &mut Value) {
    let Some(strategy) = object_at(spec, "updateStrategy") else { return };
    if text(strategy, "/type").is_empty() {
        set(strategy, "type", "RollingUpdate");
        object_at(strategy, "rollingUpdate");
    }
    if text(strategy, "/type") == "RollingUpdate"
        && let Some(rolling) = present(strategy, "rollingUpdate")
    {
        fill(rolling, "partition", 0);
        fill(rolling, "maxUnavailable", 1);
    }
}

fn validate_policies(spec: &Field<'_>, faults: &mut Faults) {
    let (management, strategy) = (spec.at("podManagementPolicy"), spec.at("updateStrategy"));
    if !matches!(management.text(), "OrderedReady" | "Parallel") {
        faults.invalid(&management, "must be 'OrderedReady' or 'Parallel'");
    }
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").text() {
        "RollingUpdate" => validate_rolling(&rolling, faults),
        "OnDelete" if rolling.is_set() => faults.invalid(&rolling, "only allowed for updateStrategy 'RollingUpdate'"),
        "OnDelete" => {}
        _ => faults.invalid(&strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
    for field in ["whenDeleted", "whenScaled"] {
        faults.one_of_if_set(&spec.at("persistentVolumeClaimRetentionPolicy").at(field), &["Retain", "Delete"]);
    }
}

fn validate_rolling(rolling: &Field<'_>, faults: &mut Faults) {
    faults.nonnegative(&rolling.at("partition"));
    let unavailable = rolling.at("maxUnavailable");
    if unavailable.is_set() {
        validate_count_or_percent(&unavailable, faults);
        if count_or_percent(&unavailable) == 0 {
            faults.invalid(&unavailable, "cannot be 0");
        }
        validate_at_most_all(&unavailable, faults);
    }
}

/// The template as its pods will have it: each claim template is a volume, and takes the place of one of its name; host
/// name and subdomain are the pod's own.
fn template_as_made(object: &Value) -> Value {
    let mut template = object.pointer("/spec/template").cloned().unwrap_or_default();
    let Some(spec) = present(&mut template, "spec") else { return template };
    clear(spec, "hostname");
    clear(spec, "subdomain");
    let claims: Vec<&str> = items(object, "/spec/volumeClaimTemplates").map(|it| text(it, "/metadata/name")).collect();
    if claims.is_empty() {
        return template;
    }
    let claimed = claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    let own = items(spec, "/volumes").filter(|volume| !claims.contains(&text(volume, "/name"))).cloned();
    let volumes: Vec<Value> = own.chain(claimed).collect();
    set(spec, "volumes", volumes);
    template
}
