//! ResourceQuotas: what the objects of a namespace may use together.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{is_huge_pages, nonnegative_amount, resource_name};
use crate::object::{FieldError, ResourceType};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::set;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const RESOURCE_QUOTAS: ResourceType = ResourceType::new("", "resourcequotas");

/// What can be counted or summed, by a name without a domain.
const COUNTABLE: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// Those of them that are counted.
const WHOLE: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const OF_PODS: [&str; 7] = ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];

/// Which pods count: a scope, and the resources it goes with.
const SCOPES: [(&str, &[&str]); 7] = [
    ("Terminating", &OF_PODS),
    ("NotTerminating", &OF_PODS),
    ("BestEffort", &["pods"]),
    ("NotBestEffort", &OF_PODS),
    ("PriorityClass", &OF_PODS),
    ("CrossNamespacePodAffinity", &OF_PODS),
    ("VolumeAttributesClass", &OF_CLAIMS),
];
/// Scopes that no pod has both of.
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

struct QuotaStrategy;

/// What a ResourceQuota is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ResourceQuota");
    ResourceDefinition {
        short_names: &["quota"],
        has_status: true,
        ..ResourceDefinition::plain(RESOURCE_QUOTAS, "ResourceQuota", "resourcequota", version, QuotaStrategy)
    }
}

impl Strategy for QuotaStrategy {
    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        amounts(&spec.at("hard"), &mut faults);
        scopes(&spec, &mut faults);
        selected_scopes(&spec, &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let scopes = |object| Field::root(object).at("spec").at("scopes");
        let names = |object| scopes(object).items().map(|scope| scope.text()).collect::<BTreeSet<_>>();
        if names(object) != names(old) {
            faults.invalid(&scopes(object), "field is immutable");
        }
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for list in ["hard", "used"] {
            amounts(&Field::root(object).at("status").at(list), &mut faults);
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Request", "What is used of what may be asked for."),
            Column::text("Limit", "What is used of what may be set as limit."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let status = Field::root(object).at("status");
        let used = status.at("used");
        let shown = |limits: bool| {
            let hard = status.at("hard");
            let of_kind = hard.texts().filter(|(name, _)| name.starts_with("limits.") == limits).collect::<Vec<_>>();
            let lines = of_kind.into_iter().map(|(name, hard)| {
                let used = used.texts().find(|(known, _)| *known == name).map_or("0", |(_, used)| used);
                format!("{name}: {used}/{hard}")
            });
            lines.collect::<Vec<_>>().join(", ")
        };
        vec![shown(false).into(), shown(true).into(), age(object, now)]
    }
}

fn amounts(amounts: &Field<'_>, faults: &mut Faults) {
    for (name, amount) in amounts.entries() {
        faults.errors.push_messages(&amount.path, name, resource_name(name));
        if !name.contains('/') && !COUNTABLE.contains(&name) && !is_huge_pages(name) {
            faults.errors.push(FieldError::invalid(amount.path.clone(), name, "must be a standard resource for quota"));
        }
        nonnegative_amount(&amount, faults);
        if WHOLE.contains(&name) && amount.quantity().is_some_and(|quantity| !quantity.is_whole()) {
            faults.invalid(&amount, "must be an integer");
        }
    }
}

fn scopes(spec: &Field<'_>, faults: &mut Faults) {
    let scopes = spec.at("scopes");
    for scope in scopes.items() {
        check_scope(scope.text(), spec, &scopes, &scopes, faults);
    }
    opposites(scopes.items().map(|scope| scope.text()).collect(), &scopes, spec, faults);
}

fn selected_scopes(spec: &Field<'_>, faults: &mut Faults) {
    let selector = spec.at("scopeSelector");
    let expressions = selector.at("matchExpressions");
    for expression in expressions.items() {
        let at = |name| Field { path: expressions.path.child(name), ..expression.at(name) };
        let (scope, operator, values) = (at("scopeName"), at("operator"), at("values"));
        let whole = Field { path: expressions.path.clone(), ..selector.clone() };
        check_scope(scope.text(), spec, &scope, &whole, faults);
        let only_exists = !matches!(scope.text(), "PriorityClass" | "VolumeAttributesClass");
        if only_exists && SCOPES.iter().any(|(known, _)| *known == scope.text()) && operator.text() != "Exists" {
            let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                       ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                       ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            faults.invalid(&operator, why);
        }
        match (operator.text(), values.count()) {
            ("In" | "NotIn", 0) => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                faults.required(&values, why);
            }
            ("Exists" | "DoesNotExist", 1..) => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                faults.invalid(&values, why);
            }
            ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
            _ => faults.invalid(&operator, "not a valid selector operator"),
        }
    }
    let named = expressions.items().map(|expression| expression.at("scopeName").text()).collect();
    opposites(named, &expressions, spec, faults);
}

/// A known scope, which goes with every resource of the quota.
fn check_scope(scope: &str, spec: &Field<'_>, at: &Field<'_>, whole: &Field<'_>, faults: &mut Faults) {
    let Some((_, of)) = SCOPES.iter().find(|(known, _)| *known == scope) else {
        return faults.invalid(at, "unsupported scope");
    };
    for (resource, _) in spec.at("hard").entries() {
        if COUNTABLE.contains(&resource) && !of.contains(&resource) {
            faults.invalid(whole, "unsupported scope applied to resource");
        }
    }
}

fn opposites(named: BTreeSet<&str>, at: &Field<'_>, spec: &Field<'_>, faults: &mut Faults) {
    if OPPOSITES.iter().any(|pair| pair.iter().all(|scope| named.contains(scope))) {
        faults.invalid(&Field { path: at.path.clone(), ..spec.at("scopes") }, "conflicting scopes");
    }
}
