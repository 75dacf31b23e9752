//! Rules for what a Job makes of pods that fail, and for when it is done early.

use std::collections::BTreeSet;

use super::indexes;
use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
/// The longest list of indexes in a rule for success, in bytes.
const INDEXES_MAX_BYTES: usize = 64 * 1024;

pub(super) fn failure(spec: &Field<'_>, faults: &mut Faults) {
    let rules = spec.at("podFailurePolicy").at("rules");
    faults.at_most(&rules, RULES_MAX);
    for rule in rules.items() {
        action(spec, &rule.at("action"), faults);
        let (codes, conditions) = (rule.at("onExitCodes"), rule.at("onPodConditions"));
        if codes.is_set() {
            exit_codes(spec, &codes, faults);
        }
        pod_conditions(&conditions, faults);
        match (codes.is_set(), conditions.count() > 0) {
            (true, true) => {
                faults.invalid_omitted(&rule, "specifying both OnExitCodes and OnPodConditions is not supported")
            }
            (false, false) => {
                faults.invalid_omitted(&rule, "specifying one of OnExitCodes and OnPodConditions is required")
            }
            _ => {}
        }
    }
}

fn action(spec: &Field<'_>, action: &Field<'_>, faults: &mut Faults) {
    match action.text() {
        "" => faults.required(action, "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
        "FailIndex" if !spec.at("backoffLimitPerIndex").is_set() => {
            faults.invalid(action, "requires the backoffLimitPerIndex to be set");
        }
        _ => faults.one_of_if_set(action, &["Count", "FailIndex", "FailJob", "Ignore"]),
    }
}

fn exit_codes(spec: &Field<'_>, codes: &Field<'_>, faults: &mut Faults) {
    let (operator, values, container) = (codes.at("operator"), codes.at("values"), codes.at("containerName"));
    match operator.text() {
        "" => faults.required(&operator, "valid values: [\"In\" \"NotIn\"]"),
        _ => faults.one_of_if_set(&operator, &["In", "NotIn"]),
    }
    let template = spec.at("template").at("spec");
    let lists = ["containers", "initContainers"].map(|list| template.at(list));
    let known = lists.iter().flat_map(Field::items).any(|it| it.at("name").text() == container.text());
    if container.is_set() && !known {
        faults.invalid(&container, "must be one of the container or initContainer names in the pod template");
    }
    if values.count() == 0 {
        faults.invalid(&values, "at least one value is required");
    }
    faults.at_most(&values, EXIT_CODES_MAX);
    let mut seen = BTreeSet::new();
    for value in values.items() {
        let number = value.number().unwrap_or_default();
        if operator.text() == "In" && number == 0 {
            faults.invalid(&value, "must not be 0 for the In operator");
        }
        if !seen.insert(number) {
            faults.duplicate(&value);
        }
    }
    if !values.items().filter_map(|value| value.number()).is_sorted() {
        faults.invalid(&values, "must be ordered");
    }
}

fn pod_conditions(conditions: &Field<'_>, faults: &mut Faults) {
    faults.at_most(conditions, CONDITIONS_MAX);
    for pattern in conditions.items() {
        let (kind, status) = (pattern.at("type"), pattern.at("status"));
        faults.rule(&kind, names::qualified_name);
        match status.text() {
            "" => faults.required(&status, "valid values: [\"False\" \"True\" \"Unknown\"]"),
            _ => faults.one_of_if_set(&status, &["False", "True", "Unknown"]),
        }
    }
}

pub(super) fn success(spec: &Field<'_>, faults: &mut Faults) {
    let policy = spec.at("successPolicy");
    if !policy.is_set() || spec.at("completionMode").text() != "Indexed" {
        return;
    }
    let rules = policy.at("rules");
    if rules.count() == 0 {
        faults.required(&rules, "at least one rules must be specified when the successPolicy is specified");
    }
    faults.at_most(&rules, RULES_MAX);
    let completions = spec.at("completions").number().unwrap_or_default();
    for rule in rules.items() {
        success_rule(&rule, completions, faults);
    }
}

fn success_rule(rule: &Field<'_>, completions: i64, faults: &mut Faults) {
    let (count, listed) = (rule.at("succeededCount"), rule.at("succeededIndexes"));
    if !count.is_set() && !listed.is_set() {
        faults.required(rule, "at least one of succeededCount or succeededIndexes must be specified");
    }
    if listed.text().len() > INDEXES_MAX_BYTES {
        faults.errors.push(FieldError::too_long(listed.path.clone(), INDEXES_MAX_BYTES));
    }
    let number = indexes::count(listed.text(), completions).unwrap_or_else(|why| {
        faults.invalid(&listed, format!("error parsing succeededIndexes: {why}"));
        0
    });
    faults.nonnegative(&count);
    let wanted = count.number().unwrap_or_default();
    if wanted > completions {
        let why = format!("must be less than or equal to {completions} (the number of specified completions)");
        faults.invalid(&count, why);
    }
    if listed.is_set() && wanted > number {
        let why = format!(
            "must be less than or equal to {number} (the number of indexes in the specified succeededIndexes field)"
        );
        faults.invalid(&count, why);
    }
}

/// Where failures are looked at one by one, a pod is replaced once it has failed.
pub(super) fn replacement(spec: &Field<'_>, faults: &mut Faults) {
    let known: &[&str] =
        if spec.at("podFailurePolicy").is_set() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    faults.one_of_if_set(&spec.at("podReplacementPolicy"), known);
}
