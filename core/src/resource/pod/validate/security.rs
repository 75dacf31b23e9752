//! Rules for security contexts.

use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};

/// The longest name of an AppArmor profile: a path.
const PROFILE_MAX_BYTES: usize = 4095;
/// The longest name of a kernel parameter.
const SYSCTL_MAX_BYTES: usize = 253;
const PROFILE_TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

pub(super) fn of_container(context: &Field<'_>, faults: &mut Faults) {
    if !context.is_set() {
        return;
    }
    ids(context, faults);
    faults.one_of_if_set(&context.at("procMount"), &["Default", "Unmasked"]);
    seccomp(&context.at("seccompProfile"), faults);
    app_armor(&context.at("appArmorProfile"), faults);
    let escalation = context.at("allowPrivilegeEscalation");
    if escalation.is_set() && !escalation.is_true() {
        if context.at("privileged").is_true() {
            faults.invalid(context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        if context.at("capabilities").at("add").items().any(|capability| capability.text() == "CAP_SYS_ADMIN") {
            faults.invalid(
                context,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
}

pub(super) fn of_pod(context: &Field<'_>, spec: &Field<'_>, faults: &mut Faults) {
    faults.number_rule(&context.at("fsGroup"), names::user_id);
    ids(context, faults);
    for group in context.at("supplementalGroups").items() {
        faults.number_rule(&group, names::user_id);
    }
    let shares = spec.at("shareProcessNamespace");
    if shares.is_true() && spec.at("hostPID").is_true() {
        let path = context.path.child("shareProcessNamespace");
        faults.invalid(&Field { path, ..shares }, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    sysctls(&context.at("sysctls"), spec, faults);
    faults.one_of_if_set(&context.at("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    seccomp(&context.at("seccompProfile"), faults);
    app_armor(&context.at("appArmorProfile"), faults);
    faults.one_of_if_set(&context.at("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    faults.one_of_if_set(&context.at("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
}

/// A user namespace of its own cannot be combined with namespaces of the host.
pub(super) fn host_users(spec: &Field<'_>, faults: &mut Faults) {
    let users = spec.at("hostUsers");
    if !users.is_set() || users.is_true() {
        return;
    }
    for (field, name) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        let shared = spec.at(field);
        if shared.is_true() {
            faults.forbidden(&Field { path: spec.path.child(name), ..shared }, "when `pod.Spec.HostUsers` is false");
        }
    }
}

fn ids(context: &Field<'_>, faults: &mut Faults) {
    faults.number_rule(&context.at("runAsUser"), names::user_id);
    faults.number_rule(&context.at("runAsGroup"), names::user_id);
}

fn seccomp(profile: &Field<'_>, faults: &mut Faults) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.at("type"), profile.at("localhostProfile"));
    if kind.text().is_empty() {
        faults.required(&kind, "type is required when seccompProfile is set");
    } else {
        faults.one_of_if_set(&kind, &PROFILE_TYPES);
    }
    match (kind.text(), local.is_set()) {
        ("Localhost", false) => faults.required(&local, "must be set when seccomp type is Localhost"),
        ("Localhost", true) => faults.rule(&local, names::descending_path),
        (_, true) => faults.invalid(
            &Field { value: profile.value, path: local.path },
            "can only be set when seccomp type is Localhost",
        ),
        (_, false) => {}
    }
}

fn app_armor(profile: &Field<'_>, faults: &mut Faults) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.at("type"), profile.at("localhostProfile"));
    match kind.text() {
        "" => faults.required(&kind, "type is required when appArmorProfile is set"),
        "Localhost" if local.text().is_empty() => {
            faults.required(&local, "must be set when AppArmor type is Localhost");
        }
        "Localhost" if local.text().trim() != local.text() => {
            faults.invalid(&local, "must not be padded with whitespace");
        }
        "Localhost" if local.text().len() > PROFILE_MAX_BYTES => {
            faults.errors.push(FieldError::too_long(local.path, PROFILE_MAX_BYTES));
        }
        "Localhost" => {}
        "RuntimeDefault" | "Unconfined" if local.is_set() => {
            faults.invalid(&local, "can only be set when AppArmor type is Localhost");
        }
        _ => faults.one_of_if_set(&kind, &PROFILE_TYPES),
    }
}

fn sysctls(sysctls: &Field<'_>, spec: &Field<'_>, faults: &mut Faults) {
    const FORMAT: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let mut seen = std::collections::BTreeSet::new();
    for sysctl in sysctls.items() {
        let name = sysctl.at("name");
        if name.text().is_empty() {
            faults.required(&name, "");
        } else if !is_sysctl(name.text()) {
            faults.invalid(&name, format!("must have at most {SYSCTL_MAX_BYTES} characters and match regex {FORMAT}"));
        } else if !seen.insert(name.text()) {
            faults.duplicate(&name);
        }
        let dotted = name.text().replace('/', ".");
        if dotted.starts_with("net.") && spec.at("hostNetwork").is_true() {
            faults.invalid(&name, "may not be specified when 'hostNetwork' is true");
        }
        let ipc = ["kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."].iter().any(|part| dotted.starts_with(part));
        if ipc && spec.at("hostIPC").is_true() {
            faults.invalid(&name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
    let end = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= SYSCTL_MAX_BYTES
        && name.split(['.', '/']).all(|part| {
            let bytes = part.as_bytes();
            end(bytes.first()) && end(bytes.last()) && bytes.iter().all(|c| inner(*c))
        })
}
