//! Rules for a Service's own addresses and their families.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{HEADLESS, is_headless};
use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

pub(super) fn validate(spec: &Field<'_>, faults: &mut Faults) {
    let (address, list) = (spec.at("clusterIP"), spec.at("clusterIPs"));
    let first = list.items().next();
    match (&first, address.text()) {
        (None, "") => {}
        (None, _) => faults.required(&list, ""),
        (Some(_), "") => faults.invalid(&list, "must be empty when `clusterIP` is not specified"),
        (Some(first), address) if first.text() != address => {
            faults.invalid(&list, "first value must match `clusterIP`")
        }
        _ => {}
    }
    families(spec, faults);
    let before = faults.errors.len();
    for (index, ip) in list.items().enumerate() {
        match (index, ip.text()) {
            (0, HEADLESS) if list.count() > 1 => faults.invalid(&list, "'None' must be the first and only value"),
            (0, HEADLESS) => {}
            _ => faults.rule(&ip, names::ip_address),
        }
    }
    if list.count() > 2 {
        faults.invalid(&list, "may only hold up to 2 values");
    }
    if faults.errors.len() == before {
        fitting(spec, faults);
    }
}

fn families(spec: &Field<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    let (families, policy) = (spec.at("ipFamilies"), spec.at("ipFamilyPolicy"));
    for family in families.items() {
        faults.one_of_if_set(&family, &FAMILIES);
        if !seen.insert(family.text()) {
            faults.duplicate(&family);
        }
    }
    faults.one_of_if_set(&policy, &POLICIES);
    if is_headless(spec) && spec.at("selector").count() == 0 {
        return;
    }
    for family in families.items().filter(|family| family.text() == "IPv6") {
        faults.invalid(&family, "not configured on this cluster");
    }
    if policy.text() == "RequireDualStack" {
        faults.invalid(&policy, "this cluster is not configured for dual-stack services");
    }
}

/// Each address is of the family at its place, and there are not two of one.
fn fitting(spec: &Field<'_>, faults: &mut Faults) {
    let list = spec.at("clusterIPs");
    let versions: Vec<bool> = list.items().map(|ip| ip.text().contains(':')).collect();
    if let [one, other] = versions.as_slice()
        && one == other
    {
        faults.invalid(&list, "may specify no more than one IP for each IP family");
    }
    if is_headless(spec) {
        return;
    }
    let pairs = list.items().zip(spec.at("ipFamilies").items()).enumerate();
    for (index, (ip, family)) in pairs {
        if FAMILIES.contains(&family.text()) && ip.text().contains(':') != (family.text() == "IPv6") {
            let why = format!("expected an {} value as indicated by `ipFamilies[{index}]`", family.text());
            faults.invalid(&ip, why);
        }
    }
}

/// What a Service was given it keeps.
pub(super) fn update(spec: &Field<'_>, before: &Field<'_>, faults: &mut Faults) {
    let named = |spec: &Field<'_>| spec.at("type").text() == "ExternalName";
    if named(spec) || named(before) || (is_headless(spec) && is_headless(before)) {
        return;
    }
    kept(spec, before, "clusterIPs", "primary clusterIP can not be unset", faults);
    if is_headless(spec) == is_headless(before) {
        kept(spec, before, "ipFamilies", "primary ipFamily can not be unset", faults);
    }
}

fn kept(spec: &Field<'_>, before: &Field<'_>, list: &'static str, unset: &'static str, faults: &mut Faults) {
    let (new, old) = (spec.at(list), before.at(list));
    let values = |list: &Field<'_>| -> Vec<Value> { list.items().map(|item| item.value.clone()).collect() };
    let (given, had) = (values(&new), values(&old));
    if given.is_empty() && !had.is_empty() {
        faults.errors.push(FieldError::invalid(new.path.index(0), new.value.clone(), unset));
    }
    for (index, _) in given.iter().zip(&had).enumerate().filter(|(_, (given, had))| given != had) {
        faults.errors.push(FieldError::invalid(new.path.index(index), new.value.clone(), "may not change once set"));
    }
    let policy = spec.at("ipFamilyPolicy");
    if given.len() == 1 && had.len() > 1 && policy.text() != "SingleStack" {
        let what = if list == "clusterIPs" { "clusterIP" } else { "ipFamily" };
        faults.invalid(&policy, format!("must be set to 'SingleStack' when releasing the secondary {what}"));
    }
}
