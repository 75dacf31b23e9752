//! Rules for containers of every sort.

use std::collections::BTreeSet;

use super::{Holder, env, mount, probe, resources, security};
use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};

/// What the rules for a container need to know of its pod.
pub(super) struct Surroundings<'f> {
    pub(super) spec: &'f Field<'f>,
    pub(super) volumes: mount::Volumes<'f>,
    pub(super) holder: Holder,
}

impl Surroundings<'_> {
    fn grace_seconds(&self) -> Option<i64> {
        self.spec.at("terminationGracePeriodSeconds").number()
    }
}

pub(super) fn containers(around: &Surroundings<'_>, faults: &mut Faults) {
    let containers = around.spec.at("containers");
    if containers.count() == 0 {
        return faults.required(&containers, "");
    }
    let mut names = BTreeSet::new();
    for container in containers.items() {
        common(&container, around, faults);
        let name = container.at("name");
        if !names.insert(name.text()) {
            faults.duplicate(&name);
        }
        probe::lifecycle(&container, around.grace_seconds(), faults);
        probe::probes(&container, around.grace_seconds(), faults);
        if container.at("restartPolicy").is_set() {
            faults.forbidden(&container.at("restartPolicy"), "may not be set for non-init containers");
        }
    }
    host_port_conflicts(containers.items(), faults);
}

pub(super) fn init_containers(around: &Surroundings<'_>, faults: &mut Faults) {
    let containers = around.spec.at("containers");
    let mut names: BTreeSet<&str> = containers.items().map(|container| container.at("name").text()).collect();
    for container in around.spec.at("initContainers").items() {
        common(&container, around, faults);
        let policy = container.at("restartPolicy");
        faults.one_of_if_set(&policy, &["Always"]);
        let name = container.at("name");
        if !name.text().is_empty() && !names.insert(name.text()) {
            faults.duplicate(&name);
        }
        host_port_conflicts(std::iter::once(container.clone()), faults);
        if policy.text() == "Always" {
            probe::lifecycle(&container, around.grace_seconds(), faults);
            probe::probes(&container, around.grace_seconds(), faults);
        } else {
            for field in container.which(["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"]) {
                faults.forbidden(&field, "may not be set for init containers without restartPolicy=Always");
            }
        }
    }
}

/// Ephemeral containers serve debugging: nothing a pod relies on may be asked of them.
pub(super) fn ephemeral_containers(around: &Surroundings<'_>, faults: &mut Faults) {
    const FORBIDDEN: [&str; 7] =
        ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy", "restartPolicy"];
    let lists = [around.spec.at("containers"), around.spec.at("initContainers")];
    let others: BTreeSet<&str> =
        lists.iter().flat_map(|list| list.items().map(|container| container.at("name").text())).collect();
    let mut names = others.clone();
    for container in around.spec.at("ephemeralContainers").items() {
        common(&container, around, faults);
        let (name, target) = (container.at("name"), container.at("targetContainerName"));
        if !names.insert(name.text()) {
            faults.duplicate(&name);
        }
        if !target.text().is_empty() && !others.contains(target.text()) {
            faults.not_found(&target);
        }
        let resources = Some(container.at("resources")).filter(|resources| resources.count() > 0);
        for field in container.which(FORBIDDEN).into_iter().chain(resources) {
            faults.forbidden(&field, "cannot be set for an Ephemeral Container");
        }
        for mount in container.at("volumeMounts").items() {
            for field in mount.which(["subPath", "subPathExpr"]) {
                faults.forbidden(&field, "cannot be set for an Ephemeral Container");
            }
        }
    }
}

fn common(container: &Field<'_>, around: &Surroundings<'_>, faults: &mut Faults) {
    faults.required_rule(&container.at("name"), names::dns_1123_label);
    image(&container.at("image"), around.holder, faults);
    faults.one_of(&container.at("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    ports(&container.at("ports"), faults);
    env::variables(&container.at("env"), faults);
    env::sources(&container.at("envFrom"), faults);
    mount::mounts(container, &around.volumes, faults);
    mount::devices(container, &around.volumes, faults);
    faults.one_of(&container.at("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    resources::of_container(&container.at("resources"), around.spec, faults);
    resize_policy(&container.at("resizePolicy"), around, faults);
    security::of_container(&container.at("securityContext"), faults);
}

fn image(image: &Field<'_>, holder: Holder, faults: &mut Faults) {
    faults.required_text(image);
    if holder == Holder::Pod && image.text().trim().len() != image.text().len() {
        faults.invalid(image, "must not have leading or trailing whitespace");
    }
}

fn ports(ports: &Field<'_>, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for port in ports.items() {
        let name = port.at("name");
        if !name.text().is_empty() {
            let broken = names::port_name(name.text());
            if !broken.is_empty() {
                faults.errors.push_messages(&name.path, name.text(), broken);
            } else if !names.insert(name.text()) {
                faults.duplicate(&name);
            }
        }
        let number = port.at("containerPort");
        if number.number().unwrap_or_default() == 0 {
            faults.required(&number, "");
        } else {
            faults.number_rule(&number, names::port_number);
        }
        let host = port.at("hostPort");
        if host.number().unwrap_or_default() != 0 {
            faults.number_rule(&host, names::port_number);
        }
        faults.one_of(&port.at("protocol"), &["SCTP", "TCP", "UDP"]);
        faults.optional_rule(&port.at("hostIP"), names::ip_address);
    }
}

fn host_port_conflicts<'v>(containers: impl Iterator<Item = Field<'v>>, faults: &mut Faults) {
    let mut taken = BTreeSet::new();
    for port in containers.flat_map(|container| container.at("ports").items()) {
        let host = port.at("hostPort");
        let number = host.number().unwrap_or_default();
        let place = format!("{}/{}/{number}", port.at("protocol").text(), port.at("hostIP").text());
        if number != 0 && !taken.insert(place.clone()) {
            faults.errors.push(FieldError::duplicate(host.path, place));
        }
    }
}

fn resize_policy(policies: &Field<'_>, around: &Surroundings<'_>, faults: &mut Faults) {
    let mut resources = BTreeSet::new();
    for policy in policies.items() {
        let (resource, restart) = (policy.at("resourceName"), policy.at("restartPolicy"));
        if !resources.insert(resource.text()) {
            faults.errors.push(FieldError::duplicate(policy.path.clone(), resource.text()));
        }
        let here = |field: &Field<'_>| Field { value: &serde_json::Value::Null, path: field.path.clone() };
        for (field, known) in [(&resource, ["cpu", "memory"]), (&restart, ["NotRequired", "RestartContainer"])] {
            match field.text() {
                "" => faults.required(&here(policies), ""),
                text if known.contains(&text) => {}
                text => faults.errors.push(FieldError::not_supported(policies.path.clone(), text, &known)),
            }
        }
        if around.spec.at("restartPolicy").text() == "Never" && restart.text() != "NotRequired" {
            let why = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            faults.errors.push(FieldError::invalid(policies.path.clone(), restart.text(), why));
        }
    }
}
