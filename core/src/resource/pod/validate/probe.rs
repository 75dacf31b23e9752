//! Rules for probes and hooks.

use crate::object::names;
use crate::resource::check::{Faults, Field};

pub(super) fn probes(container: &Field<'_>, grace_seconds: Option<i64>, faults: &mut Faults) {
    for field in container.which(["livenessProbe", "readinessProbe", "startupProbe"]) {
        probe(&field, grace_seconds, faults);
        let is_readiness = field.path == container.path.child("readinessProbe");
        let threshold = field.at("successThreshold");
        let grace = field.at("terminationGracePeriodSeconds");
        if is_readiness && grace.is_set() {
            faults.invalid(&grace, "must not be set for readinessProbes");
        }
        if !is_readiness && threshold.number() != Some(1) {
            faults.invalid(&threshold, "must be 1");
        }
    }
}

fn probe(probe: &Field<'_>, grace_seconds: Option<i64>, faults: &mut Faults) {
    handler(probe, ["exec", "httpGet", "tcpSocket", "grpc"], grace_seconds, faults);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        faults.nonnegative(&probe.at(field));
    }
    let grace = probe.at("terminationGracePeriodSeconds");
    if grace.number().is_some_and(|seconds| seconds <= 0) {
        faults.invalid(&grace, "must be greater than 0");
    }
}

pub(super) fn lifecycle(container: &Field<'_>, grace_seconds: Option<i64>, faults: &mut Faults) {
    let lifecycle = container.at("lifecycle");
    for hook in lifecycle.which(["postStart", "preStop"]) {
        handler(&hook, ["exec", "httpGet", "tcpSocket", "sleep"], grace_seconds, faults);
    }
}

/// Exactly one way to ask.
fn handler<const N: usize>(
    holder: &Field<'_>,
    ways: [&'static str; N],
    grace_seconds: Option<i64>,
    faults: &mut Faults,
) {
    let found: Vec<(&str, Field<'_>)> =
        ways.into_iter().map(|way| (way, holder.at(way))).filter(|(_, field)| field.is_set()).collect();
    let Some(((way, first), others)) = found.split_first() else {
        return faults.required(holder, "must specify a handler type");
    };
    match *way {
        "exec" if first.at("command").count() == 0 => faults.required(&first.at("command"), ""),
        "httpGet" => http_get(first, faults),
        "tcpSocket" | "grpc" => port(&first.at("port"), faults),
        "sleep" => sleep(first, grace_seconds, faults),
        _ => {}
    }
    for (_, other) in others {
        faults.forbidden(other, "may not specify more than 1 handler type");
    }
}

fn http_get(get: &Field<'_>, faults: &mut Faults) {
    faults.required_text(&get.at("path"));
    port(&get.at("port"), faults);
    let scheme = get.at("scheme");
    faults.one_of_if_set(&scheme, &["HTTP", "HTTPS"]);
    let headers = get.at("httpHeaders");
    for header in headers.items() {
        let name = header.at("name").text();
        faults.errors.push_messages(&headers.path, name, names::http_header_name(name));
    }
}

fn port(port: &Field<'_>, faults: &mut Faults) {
    if port.value.is_string() {
        return faults.rule(port, names::port_name);
    }
    let number = port.number().unwrap_or_default();
    let fault = |why| crate::object::FieldError::invalid(port.path.clone(), number, why);
    faults.errors.extend(names::port_number(number).into_iter().map(fault));
}

fn sleep(sleep: &Field<'_>, grace_seconds: Option<i64>, faults: &mut Faults) {
    let seconds = sleep.at("seconds").number().unwrap_or_default();
    if let Some(grace) = grace_seconds.filter(|grace| seconds < 0 || seconds > *grace) {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        faults.errors.push(crate::object::FieldError::invalid(sleep.path.clone(), seconds, why));
    }
}
