//! Rules for a pod's status: what a node may report after what it has reported.

use serde_json::Value;

use crate::object::names;
use crate::resource::check::{Faults, Field};

pub(in crate::resource::pod) fn status_update(pod: &Value, old: &Value) -> Faults {
    let mut faults = Faults::default();
    let (pod, old) = (Field::root(pod), Field::root(old));
    let (status, before) = (pod.at("status"), old.at("status"));
    let nominated = status.at("nominatedNodeName");
    if nominated.value != before.at("nominatedNodeName").value {
        faults.optional_rule(&nominated, names::dns_1123_subdomain);
    }
    if before.at("qosClass").is_set() {
        faults.immutable(&status.at("qosClass"), &before.at("qosClass"));
    }
    for condition in status.at("conditions").items() {
        faults.rule(&condition.at("type"), names::qualified_name);
    }
    let spec = old.at("spec");
    let policy = spec.at("restartPolicy").text();
    let is_sidecar = |name: &str| {
        let mut containers = spec.at("initContainers").items();
        containers.any(|it| it.at("name").text() == name && it.at("restartPolicy").text() == "Always")
    };
    for list in ["containerStatuses", "initContainerStatuses"] {
        transitions(&status.at(list), &before.at(list), policy, &is_sidecar, &mut faults);
    }
    transitions(
        &status.at("ephemeralContainerStatuses"),
        &before.at("ephemeralContainerStatuses"),
        "Never",
        &is_sidecar,
        &mut faults,
    );
    for list in ["podIPs", "hostIPs"] {
        for entry in status.at(list).items() {
            faults.optional_rule(&entry.at("ip"), names::ip_address);
        }
    }
    faults
}

/// A container that has ended and is not to be restarted stays ended.
fn transitions(
    statuses: &Field<'_>,
    before: &Field<'_>,
    policy: &str,
    is_sidecar: &dyn Fn(&str) -> bool,
    faults: &mut Faults,
) {
    if policy == "Always" {
        return;
    }
    for earlier in before.items() {
        let (name, ended) = (earlier.at("name").text(), earlier.at("state").at("terminated"));
        let may_restart = policy == "OnFailure" && ended.at("exitCode").number().unwrap_or_default() != 0;
        if !ended.is_set() || may_restart || is_sidecar(name) {
            continue;
        }
        let now = statuses.items().find(|status| status.at("name").text() == name);
        if now.is_some_and(|status| !status.at("state").at("terminated").is_set()) {
            let state = Field { value: earlier.value, path: rebased(&earlier, before, statuses) };
            faults.forbidden(&state, "may not be transitioned to non-terminated state");
        }
    }
}

fn rebased(earlier: &Field<'_>, before: &Field<'_>, statuses: &Field<'_>) -> crate::object::FieldPath {
    let index = before.items().position(|status| std::ptr::eq(status.value, earlier.value)).unwrap_or_default();
    statuses.path.index(index).child("state")
}
