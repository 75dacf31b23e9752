//! Rules for a pod's volumes: each has a name of its own and exactly one source.

use std::collections::BTreeSet;

use super::mount::Volumes;
use super::source;
use crate::object::names;
use crate::resource::check::{Faults, Field};

/// Checks the volumes, and tells those that containers may mount.
pub(super) fn volumes<'v>(volumes: &Field<'v>, faults: &mut Faults) -> Volumes<'v> {
    let mut known = Volumes::new();
    let mut names = BTreeSet::new();
    for volume in volumes.items() {
        let name = volume.at("name");
        faults.required_rule(&name, names::dns_1123_label);
        if !name.text().is_empty() && !names.insert(name.text()) {
            faults.duplicate(&name);
        }
        only_source(&volume, faults);
        known.entry(name.text()).or_insert(volume);
    }
    known
}

fn only_source(volume: &Field<'_>, faults: &mut Faults) {
    let found: Vec<(source::Source, Field<'_>)> =
        source::SOURCES.iter().map(|source| (*source, volume.at(source.name))).filter(|(_, it)| it.is_set()).collect();
    let Some(((source, first), others)) = found.split_first() else {
        return faults.required(volume, "must specify a volume type");
    };
    one_source(*source, first, faults);
    for (_, other) in others {
        faults.forbidden(other, "may not specify more than 1 volume type");
    }
}

/// A source of a known kind, wherever it stands.
pub(in crate::resource::pod) fn known_source(name: &str, found: &Field<'_>, faults: &mut Faults) {
    if let Some(source) = source::SOURCES.iter().find(|source| source.name == name) {
        one_source(*source, found, faults);
    }
}

fn one_source(source: source::Source, found: &Field<'_>, faults: &mut Faults) {
    for name in source.required {
        faults.required_text(&found.at(name));
    }
    (source.check)(found, faults);
}
