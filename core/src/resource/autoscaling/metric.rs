//! Rules for what an autoscaler looks at.

use super::reference;
use crate::object::names;
use crate::resource::check::{Faults, Field};

/// The kinds of metrics, each with the field that describes it.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

pub(super) fn validate(spec: &Field<'_>, faults: &mut Faults) {
    for metric in spec.at("metrics").items() {
        let kind = metric.at("type");
        if kind.text().is_empty() {
            faults.required(&kind, "must specify a metric source type");
        }
        faults.one_of_if_set(&kind, &TYPES);
        let found: Vec<(&str, Field<'_>)> = SOURCES
            .iter()
            .map(|(kind, field)| (*kind, metric.at(field)))
            .filter(|(_, source)| source.is_set())
            .collect();
        if let Some((kind, first)) = found.first() {
            source(kind, first, faults);
        }
        let expected = SOURCES.iter().find(|(known, _)| *known == kind.text()).map(|(_, field)| metric.at(field));
        if let Some(expected) = expected.filter(|expected| !expected.is_set()) {
            faults.required(&expected, "must populate information for the given metric source");
        }
        for (_, other) in found.iter().filter(|(found, _)| *found != kind.text()) {
            faults.forbidden(other, "must populate the given metric source only");
        }
    }
}

fn source(kind: &str, source: &Field<'_>, faults: &mut Faults) {
    let aim = source.at("target");
    target(&aim, faults);
    let [value, average, utilization] = ["value", "averageValue", "averageUtilization"].map(|field| aim.at(field));
    match kind {
        "Object" => {
            reference(&source.at("describedObject"), faults);
            identifier(&source.at("metric"), faults);
            if !value.is_set() && !average.is_set() {
                faults.required(&average, "must set either a target value or averageValue");
            }
        }
        "External" => {
            identifier(&source.at("metric"), faults);
            match (value.is_set(), average.is_set()) {
                (false, false) => {
                    faults.required(&average, "must set either a target value for metric or a per-pod target");
                }
                (true, true) => {
                    faults.forbidden(&value, "may not set both a target value for metric and a per-pod target");
                }
                _ => {}
            }
        }
        "Pods" => {
            identifier(&source.at("metric"), faults);
            if !average.is_set() {
                faults.required(&average, "must specify a positive target averageValue");
            }
        }
        _ => resource(kind, source, &average, &utilization, faults),
    }
}

fn resource(kind: &str, source: &Field<'_>, average: &Field<'_>, utilization: &Field<'_>, faults: &mut Faults) {
    let (name, container) = (source.at("name"), source.at("container"));
    if name.text().is_empty() {
        faults.required(&name, "must specify a resource name");
    }
    if kind == "ContainerResource" {
        if container.text().is_empty() {
            faults.required(&container, "must specify a container");
        }
        faults.optional_rule(&container, names::dns_1123_label);
    }
    match (average.is_set(), utilization.is_set()) {
        (false, false) => faults.required(utilization, "must set either a target raw value or a target utilization"),
        (true, true) => faults.forbidden(average, "may not set both a target raw value and a target utilization"),
        _ => {}
    }
}

fn target(target: &Field<'_>, faults: &mut Faults) {
    let kind = target.at("type");
    if kind.text().is_empty() {
        faults.required(&kind, "must specify a metric target type");
    } else if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        faults.invalid(&kind, "must be either Utilization, Value, or AverageValue");
    }
    for amount in target.which(["value", "averageValue"]) {
        if amount.quantity().is_some_and(|amount| amount.is_zero() || amount.is_negative()) {
            faults.invalid(&amount, "must be positive");
        }
    }
    let utilization = target.at("averageUtilization");
    if utilization.number().is_some_and(|percent| percent < 1) {
        faults.invalid(&utilization, "must be greater than 0");
    }
}

fn identifier(metric: &Field<'_>, faults: &mut Faults) {
    let name = metric.at("name");
    if name.text().is_empty() {
        faults.required(&name, "must specify a metric name");
    }
    faults.optional_rule(&name, names::path_segment);
}
