//! Rules for what containers mount of their pod's volumes.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::names;
use crate::resource::check::{Faults, Field};

/// The volumes of a pod by name.
pub(super) type Volumes<'f> = BTreeMap<&'f str, Field<'f>>;

pub(super) fn mounts(container: &Field<'_>, volumes: &Volumes<'_>, faults: &mut Faults) {
    let mounts = container.at("volumeMounts");
    let devices = container.at("volumeDevices");
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        let (name, path) = (mount.at("name"), mount.at("mountPath"));
        faults.required_text(&name);
        let volume = volumes.get(name.text());
        if volume.is_none() {
            faults.not_found(&name);
        }
        faults.required_text(&path);
        if !paths.insert(path.text()) {
            faults.invalid(&path, "must be unique");
        }
        if devices.items().any(|device| device.at("name").text() == name.text()) {
            faults.invalid(&name, "must not already exist in volumeDevices");
        }
        if devices.items().any(|device| device.at("devicePath").text() == path.text()) {
            faults.invalid(&path, "must not already exist as a path in volumeDevices");
        }
        sub_paths(&mounts, &mount, faults);
        if volume.is_some_and(|volume| volume.at("image").is_set()) {
            for field in mount.which(["subPath", "subPathExpr"]) {
                faults.invalid(&field, "not allowed in image volume sources");
            }
        }
        propagation(&mounts, &mount, container, faults);
        recursive_read_only(&mounts, &mount, faults);
    }
}

fn sub_paths(mounts: &Field<'_>, mount: &Field<'_>, faults: &mut Faults) {
    let (plain, expression) = (mount.at("subPath"), mount.at("subPathExpr"));
    if !plain.text().is_empty() && !expression.text().is_empty() {
        faults.invalid(&expression, "subPathExpr and subPath are mutually exclusive");
    }
    // Kubernetes names the list here, not its item.
    for (field, name) in [(plain, "subPath"), (expression, "subPathExpr")] {
        faults.optional_rule(&Field { path: mounts.path.child(name), ..field }, names::descending_path);
    }
}

fn propagation(mounts: &Field<'_>, mount: &Field<'_>, container: &Field<'_>, faults: &mut Faults) {
    let propagation = Field { path: mounts.path.child("mountPropagation"), ..mount.at("mountPropagation") };
    faults.one_of_if_set(&propagation, &["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.at("securityContext").at("privileged").is_true();
    if propagation.text() == "Bidirectional" && !privileged {
        faults.forbidden(&propagation, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mounts: &Field<'_>, mount: &Field<'_>, faults: &mut Faults) {
    let field = Field { path: mounts.path.child("recursiveReadOnly"), ..mount.at("recursiveReadOnly") };
    faults.one_of_if_set(&field, &["Disabled", "Enabled", "IfPossible"]);
    if !matches!(field.text(), "Enabled" | "IfPossible") {
        return;
    }
    if !mount.at("readOnly").is_true() {
        faults.forbidden(&field, "may only be specified when readOnly is true");
    }
    if !matches!(mount.at("mountPropagation").text(), "" | "None") {
        faults.forbidden(&field, "may only be specified when mountPropagation is None or not specified");
    }
}

pub(super) fn devices(container: &Field<'_>, volumes: &Volumes<'_>, faults: &mut Faults) {
    let mounts = container.at("volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in container.at("volumeDevices").items() {
        let (name, path) = (device.at("name"), device.at("devicePath"));
        faults.required_text(&name);
        if !name.text().is_empty() && !names.insert(name.text()) {
            faults.invalid(&name, "must be unique");
        }
        match volumes.get(name.text()) {
            None => faults.not_found(&name),
            Some(volume) if volume.which(["persistentVolumeClaim", "ephemeral"]).is_empty() => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                faults.invalid(&name, why);
            }
            Some(_) => {}
        }
        faults.required_text(&path);
        if !names::path_without_backsteps(path.text()).is_empty() {
            faults.invalid(&path, "can not contain backsteps ('..')");
        } else if !paths.insert(path.text()) {
            faults.invalid(&path, "must be unique");
        }
        if mounts.items().any(|mount| mount.at("name").text() == name.text()) {
            faults.invalid(&name, "must not already exist in volumeMounts");
        }
        if mounts.items().any(|mount| mount.at("mountPath").text() == path.text()) {
            faults.invalid(&path, "must not already exist as a path in volumeMounts");
        }
    }
}
