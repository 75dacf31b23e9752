//! Rules for label selectors.

use crate::object::names;

use super::check::{Faults, Field};

/// A `LabelSelector`; a missing one is fine.
pub fn validate_label_selector(selector: &Field<'_>, faults: &mut Faults) {
    let equal = selector.at("matchLabels");
    names::labels(equal.texts(), &equal.path, &mut faults.errors);
    for requirement in selector.at("matchExpressions").items() {
        let values = requirement.at("values");
        match requirement.at("operator").text() {
            "In" | "NotIn" if values.count() == 0 => {
                faults.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if values.count() > 0 => {
                faults.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => faults.invalid(&requirement.at("operator"), "not a valid selector operator"),
        }
        let key = requirement.at("key");
        names::label_key(key.text(), &key.path, &mut faults.errors);
        for value in values.items() {
            faults.rule(&value, names::label_value);
        }
    }
}
