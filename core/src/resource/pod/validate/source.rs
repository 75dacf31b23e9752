//! Rules for each source a volume may have.

use std::collections::BTreeSet;

use super::env::{self, Whose};
use crate::object::names;
use crate::resource::check::{Faults, Field};
use crate::resource::volume::claim::validate_claim_spec;

/// A kind of source: its field, its texts that must be there, and what else is checked.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) required: &'static [&'static str],
    pub(super) check: fn(&Field<'_>, &mut Faults),
}

const fn source(name: &'static str, required: &'static [&'static str]) -> Source {
    Source { name, required, check: |_, _| () }
}

const fn checked(name: &'static str, required: &'static [&'static str], check: fn(&Field<'_>, &mut Faults)) -> Source {
    Source { name, required, check }
}

/// Every kind of source, in the order in which the first one counts.
pub(super) const SOURCES: [Source; 31] = [
    checked("emptyDir", &[], empty_dir),
    checked("hostPath", &["path"], host_path),
    source("gitRepo", &["repository"]),
    source("gcePersistentDisk", &["pdName"]),
    source("awsElasticBlockStore", &["volumeID"]),
    checked("secret", &["secretName"], files),
    checked("nfs", &["server", "path"], nfs),
    source("iscsi", &["targetPortal", "iqn"]),
    source("glusterfs", &["endpoints", "path"]),
    source("flocker", &[]),
    source("persistentVolumeClaim", &["claimName"]),
    source("rbd", &["image"]),
    source("cinder", &["volumeID"]),
    source("cephfs", &[]),
    source("quobyte", &["registry", "volume"]),
    checked("downwardAPI", &[], downward),
    source("fc", &[]),
    source("flexVolume", &["driver"]),
    checked("configMap", &["name"], files),
    source("azureFile", &["secretName", "shareName"]),
    source("vsphereVolume", &["volumePath"]),
    source("photonPersistentDisk", &["pdID"]),
    source("portworxVolume", &["volumeID"]),
    source("azureDisk", &["diskName", "diskURI"]),
    source("storageos", &[]),
    checked("projected", &[], projected),
    source("scaleIO", &["gateway", "system", "volumeName"]),
    source("csi", &["driver"]),
    checked("ephemeral", &[], ephemeral),
    checked("image", &["reference"], image),
    source("local", &["path"]),
];

/// What `fieldRef` may name in a file.
const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// A token is valid at least this long, in seconds.
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

fn empty_dir(source: &Field<'_>, faults: &mut Faults) {
    let limit = source.at("sizeLimit");
    if limit.quantity().is_some_and(|size| size.is_negative()) {
        faults.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
    }
}

fn host_path(source: &Field<'_>, faults: &mut Faults) {
    faults.rule(&source.at("path"), names::path_without_backsteps);
    faults.one_of_if_set(&source.at("type"), &HOST_PATH_TYPES);
}

fn nfs(source: &Field<'_>, faults: &mut Faults) {
    faults.optional_rule(&source.at("path"), names::absolute_path);
}

fn image(source: &Field<'_>, faults: &mut Faults) {
    faults.one_of_if_set(&source.at("pullPolicy"), &["Always", "IfNotPresent", "Never"]);
}

fn ephemeral(source: &Field<'_>, faults: &mut Faults) {
    let template = source.at("volumeClaimTemplate");
    if !template.is_set() {
        return faults.required(&template, "");
    }
    validate_claim_spec(&template.at("spec"), faults);
}

fn mode(mode: &Field<'_>, faults: &mut Faults) {
    if mode.number().is_some_and(|bits| !(0..=0o777).contains(&bits)) {
        faults.invalid(mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// A secret's or a config map's keys as files.
fn files(source: &Field<'_>, faults: &mut Faults) {
    mode(&source.at("defaultMode"), faults);
    keys_to_paths(source, faults);
}

fn keys_to_paths(source: &Field<'_>, faults: &mut Faults) {
    for item in source.at("items").items() {
        faults.required_text(&item.at("key"));
        file_path(&item.at("path"), faults);
        mode(&item.at("mode"), faults);
    }
}

/// A path below the volume, of a name the volume does not use itself.
fn file_path(path: &Field<'_>, faults: &mut Faults) {
    faults.required_rule(path, names::descending_path);
    let reserved = path.text().starts_with("..") && !path.text().starts_with("../");
    if reserved && path.text() != ".." {
        faults.invalid(path, "must not start with '..'");
    }
}

fn downward(source: &Field<'_>, faults: &mut Faults) {
    mode(&source.at("defaultMode"), faults);
    downward_items(source, faults);
}

fn downward_items(source: &Field<'_>, faults: &mut Faults) {
    for item in source.at("items").items() {
        file_path(&item.at("path"), faults);
        let (field, resource) = (item.at("fieldRef"), item.at("resourceFieldRef"));
        match (field.is_set(), resource.is_set()) {
            (true, true) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                faults.errors.push(crate::object::FieldError::invalid(item.path.clone(), "resource", why));
            }
            (true, false) => env::field_reference(&field, &FILE_FIELDS, faults),
            (false, true) => env::resource_reference(&resource, Whose::Named, faults),
            (false, false) => faults.required(&item, "one of fieldRef and resourceFieldRef is required"),
        }
        mode(&item.at("mode"), faults);
    }
}

fn projected(source: &Field<'_>, faults: &mut Faults) {
    mode(&source.at("defaultMode"), faults);
    let mut paths = BTreeSet::new();
    for projection in source.at("sources").items() {
        let found = projection.which([
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ]);
        let Some((first, others)) = found.split_first() else { continue };
        one_projection(&projection, first, faults);
        for other in others {
            faults.forbidden(other, "may not specify more than 1 volume type");
        }
        let items = first.at("items").items().map(|item| item.at("path"));
        for path in items.chain(std::iter::once(first.at("path"))).filter(|path| !path.text().is_empty()) {
            if !paths.insert(path.text()) {
                let at = crate::object::FieldPath::clone(&source.path);
                let error = crate::object::FieldError::invalid(at, path.text(), "conflicting duplicate paths");
                faults.errors.push(error);
            }
        }
    }
}

fn one_projection(projection: &Field<'_>, source: &Field<'_>, faults: &mut Faults) {
    if source.path == projection.path.child("serviceAccountToken") {
        return token(source, faults);
    }
    if source.path == projection.path.child("downwardAPI") {
        return downward_items(source, faults);
    }
    if source.path == projection.path.child("secret") || source.path == projection.path.child("configMap") {
        faults.required_text(&source.at("name"));
        keys_to_paths(source, faults);
    }
}

fn token(source: &Field<'_>, faults: &mut Faults) {
    let seconds = source.at("expirationSeconds");
    match seconds.number() {
        Some(..TOKEN_SECONDS_MIN) => faults.invalid(&seconds, "may not specify a duration less than 10 minutes"),
        Some(number) if number > TOKEN_SECONDS_MAX => {
            faults.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
        }
        _ => {}
    }
    file_path(&source.at("path"), faults);
}
