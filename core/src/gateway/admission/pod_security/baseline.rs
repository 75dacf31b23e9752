//! What leads out of a container.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::{Finding, containers, named, plural, quoted};
use crate::resource::read::{is_true, items, text};

/// A rule: what of a pod breaks it.
pub(super) type Check = fn(&Value) -> Option<Finding>;

/// The rules of the baseline, which the restricted level holds too.
pub(super) const CHECKS: &[Check] = &[
    app_armor,
    host_namespaces,
    host_paths,
    host_ports,
    privileged,
    proc_mount,
    se_linux,
    sysctls,
    windows_host_process,
];
/// Those the restricted level has stricter ones for.
pub(super) const RELAXED: &[Check] = &[capabilities, seccomp];

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SE_LINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const SYSCTLS: [&str; 11] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
];

fn host_namespaces(pod: &Value) -> Option<Finding> {
    let fields =
        ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| is_true(pod, &format!("/spec/{field}")));
    let set: Vec<String> = fields.map(|field| format!("{field}=true")).collect();
    (!set.is_empty()).then(|| Finding::new("host namespaces", set.join(", ")))
}

fn privileged(pod: &Value) -> Option<Finding> {
    let found: Vec<&Value> = containers(pod).filter(|it| is_true(it, "/securityContext/privileged")).collect();
    Finding::of_containers("privileged", &found, "must not set securityContext.privileged=true")
}

fn capabilities(pod: &Value) -> Option<Finding> {
    let mut added = BTreeSet::new();
    let found = containers(pod).filter(|container| {
        let names = items(container, "/securityContext/capabilities/add").filter_map(Value::as_str);
        let odd: Vec<&str> = names.filter(|name| !CAPABILITIES.contains(name)).collect();
        added.extend(odd.iter().copied());
        !odd.is_empty()
    });
    let found: Vec<&Value> = found.collect();
    let what = format!("must not include {} in securityContext.capabilities.add", quoted(added));
    Finding::of_containers("non-default capabilities", &found, &what)
}

fn host_paths(pod: &Value) -> Option<Finding> {
    let volumes: Vec<&Value> = items(pod, "/spec/volumes").filter(|volume| volume.get("hostPath").is_some()).collect();
    (!volumes.is_empty()).then(|| Finding::new("hostPath volumes", named("volume", &volumes)))
}

fn host_ports(pod: &Value) -> Option<Finding> {
    let mut ports = BTreeSet::new();
    let found = containers(pod).filter(|container| {
        let own = items(container, "/ports").filter_map(|port| port.get("hostPort").and_then(Value::as_i64));
        let own: Vec<i64> = own.filter(|port| *port != 0).collect();
        ports.extend(own.iter().copied());
        !own.is_empty()
    });
    let found: Vec<&Value> = found.collect();
    let uses = if found.len() == 1 { "uses" } else { "use" };
    let list = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Finding::of_containers("hostPort", &found, &format!("{uses} {} {list}", plural("hostPort", ports.len())))
}

fn proc_mount(pod: &Value) -> Option<Finding> {
    let mut mounts = BTreeSet::new();
    let found = containers(pod).filter(|container| {
        let mount = text(container, "/securityContext/procMount");
        let is_odd = !matches!(mount, "" | "Default");
        mounts.extend(is_odd.then_some(mount));
        is_odd
    });
    let found: Vec<&Value> = found.collect();
    Finding::of_containers(
        "procMount",
        &found,
        &format!("must not set securityContext.procMount to {}", quoted(mounts)),
    )
}

fn seccomp(pod: &Value) -> Option<Finding> {
    unconfined(pod, "seccompProfile", "seccompProfile", "securityContext.seccompProfile.type")
}

fn app_armor(pod: &Value) -> Option<Finding> {
    let field = "appArmorProfile";
    unconfined(pod, field, "forbidden AppArmor profile", "securityContext.appArmorProfile.type")
}

fn unconfined(pod: &Value, profile: &str, reason: &'static str, field: &str) -> Option<Finding> {
    let is_unconfined =
        |object: &Value, context: &str| text(object, &format!("{context}/{profile}/type")) == "Unconfined";
    let found: Vec<&Value> = containers(pod).filter(|it| is_unconfined(it, "/securityContext")).collect();
    setters(pod, &found, |pod| is_unconfined(pod, "/spec/securityContext"))
        .map(|who| Finding::new(reason, format!("{who} must not set {field} to \"Unconfined\"")))
}

/// `pod`, `container "a"`, `pod and containers "a", "b"`: who of them does something; `None` where nobody.
fn setters(pod: &Value, containers: &[&Value], pod_does: impl Fn(&Value) -> bool) -> Option<String> {
    match (pod_does(pod), containers) {
        (false, []) => None,
        (true, []) => Some("pod".to_owned()),
        (false, several) => Some(named("container", several)),
        (true, several) => Some(format!("pod and {}", named("container", several))),
    }
}

fn se_linux(pod: &Value) -> Option<Finding> {
    let mut told = BTreeSet::new();
    let mut is_odd = |object: &Value, context: &str| {
        let options = format!("{context}/seLinuxOptions");
        let kind = text(object, &format!("{options}/type"));
        let mut odd = Vec::new();
        if !SE_LINUX_TYPES.contains(&kind) {
            odd.push(format!("type {kind:?}"));
        }
        for field in ["user", "role"] {
            if !text(object, &format!("{options}/{field}")).is_empty() {
                odd.push(format!("{field} may not be set"));
            }
        }
        told.extend(odd.iter().cloned());
        !odd.is_empty()
    };
    let of_pod = is_odd(pod, "/spec/securityContext");
    let found: Vec<&Value> = containers(pod).filter(|it| is_odd(it, "/securityContext")).collect();
    let told: Vec<String> = told.into_iter().collect();
    setters(pod, &found, |_| of_pod).map(|who| {
        Finding::new(
            "seLinuxOptions",
            format!("{who} set forbidden securityContext.seLinuxOptions: {}", told.join("; ")),
        )
    })
}

fn sysctls(pod: &Value) -> Option<Finding> {
    let names = items(pod, "/spec/securityContext/sysctls").map(|sysctl| text(sysctl, "/name"));
    let odd: Vec<&str> = names.filter(|name| !SYSCTLS.contains(name) && *name != "net.ipv4.tcp_wmem").collect();
    (!odd.is_empty()).then(|| Finding::new("forbidden sysctls", odd.join(", ")))
}

fn windows_host_process(pod: &Value) -> Option<Finding> {
    const FIELD: &str = "windowsOptions/hostProcess";
    let sets = |object: &Value, context: &str| is_true(object, &format!("{context}/{FIELD}"));
    let found: Vec<&Value> = containers(pod).filter(|it| sets(it, "/securityContext")).collect();
    setters(pod, &found, |pod| sets(pod, "/spec/securityContext")).map(|who| {
        Finding::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
    })
}
