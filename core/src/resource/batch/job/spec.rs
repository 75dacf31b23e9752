//! Rules for the spec of a Job, and of the Jobs a CronJob makes.

use super::policy;
use crate::object::selector::Selector;
use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};
use crate::resource::label_selector::validate_label_selector;
use crate::resource::pod::validate_template;
use crate::resource::workload::validate_selects;

/// The longest name of who manages a Job, in bytes.
const MANAGED_BY_MAX_BYTES: usize = 63;
/// The most pods of an indexed Job at once, and the most indexes of one that may fail: their lists must stay short.
const INDEXED_MAX: i64 = 100_000;
/// From so many completions on, a Job with limits for each index has tighter limits.
const MANY_COMPLETIONS: i64 = 100_000;
const MAX_WITH_MANY_COMPLETIONS: i64 = 10_000;
/// The numbers that may not be negative.
const COUNTS: [&str; 7] = [
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
];

/// The spec of a Job, selector included.
pub(super) fn validate_job_spec(spec: &Field<'_>, faults: &mut Faults) {
    validate_work(spec, faults);
    let selector = spec.at("selector");
    if !selector.is_set() {
        return faults.required(&selector, "");
    }
    validate_label_selector(&selector, faults);
    if Selector::from_value(selector.value).is_some() {
        validate_selects(&selector, &spec.at("template"), faults);
    }
}

/// The spec of a Job but for its selector.
pub(in crate::resource::batch) fn validate_work(spec: &Field<'_>, faults: &mut Faults) {
    for count in COUNTS {
        faults.nonnegative(&spec.at(count));
    }
    if spec.at("maxFailedIndexes").is_set() && !spec.at("backoffLimitPerIndex").is_set() {
        faults.required(&spec.at("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    managed_by(&spec.at("managedBy"), faults);
    faults.one_of_if_set(&spec.at("completionMode"), &["NonIndexed", "Indexed"]);
    match spec.at("completionMode").text() {
        "Indexed" => indexed(spec, faults),
        _ => not_indexed(spec, faults),
    }
    policy::failure(spec, faults);
    policy::success(spec, faults);
    policy::replacement(spec, faults);
    validate_template(&spec.at("template"), faults);
    restart_policy(spec, faults);
}

fn managed_by(manager: &Field<'_>, faults: &mut Faults) {
    if !manager.is_set() {
        return;
    }
    faults.required_rule(manager, names::domain_prefixed_path);
    if manager.text().len() > MANAGED_BY_MAX_BYTES {
        faults.errors.push(FieldError::too_long(manager.path.clone(), MANAGED_BY_MAX_BYTES));
    }
}

fn indexed(spec: &Field<'_>, faults: &mut Faults) {
    let [completions, parallelism, failed] =
        ["completions", "parallelism", "maxFailedIndexes"].map(|name| spec.at(name));
    let at_most = |field: &Field<'_>, most: i64| field.number().is_some_and(|number| number > most);
    if !completions.is_set() {
        faults.required(&completions, "when completion mode is Indexed");
    }
    if at_most(&parallelism, INDEXED_MAX) {
        faults.invalid(
            &parallelism,
            format!("must be less than or equal to {INDEXED_MAX} when completion mode is Indexed"),
        );
    }
    if completions.number().is_some_and(|completions| at_most(&failed, completions)) {
        faults.invalid(&failed, "must be less than or equal to completions");
    }
    if at_most(&failed, INDEXED_MAX) {
        faults.invalid(&failed, format!("must be less than or equal to {INDEXED_MAX}"));
    }
    if !at_most(&completions, MANY_COMPLETIONS) || !spec.at("backoffLimitPerIndex").is_set() {
        return;
    }
    if !failed.is_set() {
        faults.required(&failed, format!("must be specified when completions is above {MANY_COMPLETIONS}"));
    }
    for field in [&parallelism, &failed] {
        if at_most(field, MAX_WITH_MANY_COMPLETIONS) {
            let why = format!(
                "must be less than or equal to {MAX_WITH_MANY_COMPLETIONS} when completions are above {MANY_COMPLETIONS} \
                 and used with backoff limit per index"
            );
            faults.invalid(field, why);
        }
    }
}

fn not_indexed(spec: &Field<'_>, faults: &mut Faults) {
    for field in spec.which(["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"]) {
        faults.invalid(&field, "requires indexed completion mode");
    }
}

/// Pods that always restart never finish.
fn restart_policy(spec: &Field<'_>, faults: &mut Faults) {
    let policy = spec.at("template").at("spec").at("restartPolicy");
    match policy.text() {
        "Always" | "" => faults.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.at("podFailurePolicy").is_set() => {
            faults.invalid(&policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        _ => faults.one_of_if_set(&policy, &["OnFailure", "Never"]),
    }
}
