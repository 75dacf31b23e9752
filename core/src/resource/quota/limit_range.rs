//! LimitRanges: what one pod, container or claim of a namespace may use, and what it is given.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::resource_name;
use crate::object::{FieldError, Quantity, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut, object_at, present};
use crate::resource::read::text;
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const LIMIT_RANGES: ResourceType = ResourceType::new("", "limitranges");

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
const CONTAINER_RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// The lists of amounts of a limit.
const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

struct LimitRangeStrategy;

/// What a LimitRange is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.LimitRange");
    ResourceDefinition {
        short_names: &["limits"],
        ..ResourceDefinition::plain(LIMIT_RANGES, "LimitRange", "limitrange", version, LimitRangeStrategy)
    }
}

impl Strategy for LimitRangeStrategy {
    /// A container's limit is the most it may have, and it asks for its limit, else for the least it may have.
    fn default(&self, object: &mut Value) {
        let Some(spec) = present(object, "spec") else { return };
        for limit in items_mut(spec, "limits").filter(|limit| text(limit, "/type") == "Container") {
            copy(limit, "max", "default");
            copy(limit, "default", "defaultRequest");
            copy(limit, "min", "defaultRequest");
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let mut seen = BTreeSet::new();
        for limit in Field::root(object).at("spec").at("limits").items() {
            let kind = limit.at("type");
            check_type(&kind, &mut faults);
            if !seen.insert(kind.text()) {
                faults.duplicate(&kind);
            }
            resources(&limit, &mut faults);
            let names: BTreeSet<&str> =
                LISTS.iter().flat_map(|list| limit.at(list).entries()).map(|(name, _)| name).collect();
            names.into_iter().for_each(|name| Amounts::of(&limit, name).check(&mut faults));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column { name: "Created At".into(), ..Column::age() }]
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/metadata/creationTimestamp").into()]
    }
}

fn copy(limit: &mut Value, from: &str, to: &str) {
    let amounts = limit.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
    let Some(target) = object_at(limit, to) else { return };
    amounts.into_iter().for_each(|(name, amount)| fill(target, &name, amount));
}

fn check_type(kind: &Field<'_>, faults: &mut Faults) {
    faults.rule(kind, |name| match names::qualified_name(name) {
        broken if broken.is_empty() && !name.contains('/') && !TYPES.contains(&name) => {
            vec!["must be a standard limit type or fully qualified".to_owned()]
        }
        broken => broken,
    });
}

fn resources(limit: &Field<'_>, faults: &mut Faults) {
    let kind = limit.at("type").text();
    for list in LISTS {
        let amounts = limit.at(list);
        if kind == "Pod" && matches!(list, "default" | "defaultRequest") {
            if amounts.count() > 0 {
                faults.forbidden(&amounts, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (name, amount) in amounts.entries() {
            let mut broken = resource_name(name);
            let known = name.contains('/') || name.starts_with("hugepages-") || CONTAINER_RESOURCES.contains(&name);
            if matches!(kind, "Pod" | "Container") && !known {
                broken.push("must be a standard resource for containers".to_owned());
            }
            faults.errors.push_messages(&amount.path, name, broken);
        }
    }
    let bounded = ["min", "max"].iter().any(|list| limit.at(list).at("storage").is_set());
    if kind == "PersistentVolumeClaim" && !bounded {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        faults.errors.push(FieldError::required(limit.path.child("limits"), why));
    }
}

/// The amounts of one resource in a limit.
struct Amounts<'v> {
    name: &'v str,
    limit: &'v Field<'v>,
}

impl<'v> Amounts<'v> {
    fn of(limit: &'v Field<'v>, name: &'v str) -> Self {
        Self { name, limit }
    }

    fn amount(&self, list: &'static str) -> Option<Quantity> {
        // A Pod has no defaults; those are refused already.
        if self.limit.at("type").text() == "Pod" && list.starts_with("default") {
            return None;
        }
        let found = self.limit.at(list).entries().find(|(name, _)| *name == self.name)?;
        found.1.quantity()
    }

    fn check(&self, faults: &mut Faults) {
        self.ordered(["min", "max"], "min", "min value {} is greater than max value {}", faults);
        let why = "min value {} is greater than default request value {}";
        self.ordered(["min", "defaultRequest"], "defaultRequest", why, faults);
        let why = "default request value {} is greater than max value {}";
        self.ordered(["defaultRequest", "max"], "defaultRequest", why, faults);
        let why = "default request value {} is greater than default limit value {}";
        self.ordered(["defaultRequest", "default"], "defaultRequest", why, faults);
        self.ordered(["min", "default"], "default", "min value {} is greater than default value {}", faults);
        self.ordered(["default", "max"], "default", "default value {} is greater than max value {}", faults);
        let Some(ratio) = self.amount("maxLimitRequestRatio") else { return };
        let path = self.limit.path.child("maxLimitRequestRatio").key(self.name);
        if ratio < Quantity::from_units(1) {
            let why = format!("ratio {ratio} is less than 1");
            faults.errors.push(FieldError::invalid(path.clone(), ratio.to_string(), why));
        }
        if let (Some(least), Some(most)) = (self.amount("min"), self.amount("max")) {
            #[allow(clippy::cast_precision_loss, reason = "a ratio of amounts, shown to six digits")]
            let [ratio_value, most_ratio] =
                [ratio.milli_value() as f64 / 1000.0, most.milli_value() as f64 / least.milli_value() as f64];
            if ratio_value > most_ratio {
                let why = format!("ratio {ratio} is greater than max/min = {most_ratio:.6}");
                faults.errors.push(FieldError::invalid(path, ratio.to_string(), why));
            }
        }
    }

    /// The first list's amount is no greater than the second's; `at` names the one that is shown, `why` has both amounts.
    fn ordered(&self, [small, large]: [&'static str; 2], at: &'static str, why: &str, faults: &mut Faults) {
        let (Some(smaller), Some(larger)) = (self.amount(small), self.amount(large)) else { return };
        if smaller > larger {
            let shown = if at == large { larger.to_string() } else { smaller.to_string() };
            let why = why.replacen("{}", &smaller.to_string(), 1).replacen("{}", &larger.to_string(), 1);
            let path = self.limit.path.child(at).key(self.name);
            faults.errors.push(FieldError::invalid(path, shown, why));
        }
    }
}
