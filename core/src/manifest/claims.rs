//! Which document of which file speaks for which object.

use std::collections::BTreeMap;

use super::document::Identity;
use super::file::{File, Summary};
use super::inventory::{self, Inventory};
use super::kinds;
use super::position::Position;
use super::problem::Problem;
use super::setting::Drift;
use crate::object::{Name, ObjectKey};
use crate::resource::{Registry, Served};

/// The document that speaks for an object.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) file: Name,
    pub(super) index: usize,
    pub(super) line: u32,
    pub(super) hash: u64,
    pub(super) drift: Drift,
    pub(super) identity: Identity,
    pub(super) served: Served,
}

/// Every claim, and the documents that have none.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) owners: BTreeMap<ObjectKey, Claim>,
    /// Documents that name an object another one speaks for, or a kind nobody serves.
    pub(super) refused: Vec<(Name, Refused)>,
    by_file: BTreeMap<Name, Vec<ObjectKey>>,
}

/// A document without a claim.
pub(super) struct Refused {
    pub(super) problem: Problem,
    /// Whether it may be applied later without a change of any file.
    pub(super) waits: bool,
}

impl Claims {
    /// Sorts out who speaks for what. An object stays with the file that holds it already, so that a second file naming it
    /// changes nothing; a new one goes to the first file by path.
    pub(super) fn of(files: &BTreeMap<Name, File>, inventory: &Inventory, registry: &Registry) -> Self {
        let mut claims = Self::default();
        for (path, file) in files {
            for (index, summary) in file.documents.iter().enumerate() {
                claims.add(path, index, summary, inventory, registry);
            }
        }
        for (key, claim) in &claims.owners {
            claims.by_file.entry(claim.file.clone()).or_default().push(key.clone());
        }
        claims
    }

    /// The claims of a file.
    pub(super) fn of_file(&self, file: &str) -> impl Iterator<Item = (&ObjectKey, &Claim)> {
        let keys = self.by_file.get(file).map(Vec::as_slice).unwrap_or_default();
        keys.iter().filter_map(|key| self.owners.get_key_value(key))
    }

    fn add(&mut self, path: &Name, index: usize, summary: &Summary, inventory: &Inventory, registry: &Registry) {
        let identity = &summary.identity;
        let Some(served) = inventory::served(registry, &identity.api_version(), &identity.kind) else {
            let (message, waits) = kinds::unserved(registry, identity);
            self.refuse(path, summary, message, waits);
            return;
        };
        let key = inventory::key(&served, identity.namespace.as_deref(), &identity.name);
        let claim = Claim {
            file: path.clone(),
            index,
            line: summary.line,
            hash: summary.hash,
            drift: summary.drift,
            identity: identity.clone(),
            served,
        };
        let held_here = inventory.objects.get(&key).is_some_and(|entry| entry.file == *path);
        match self.owners.get(&key) {
            None => {
                self.owners.insert(key, claim);
            }
            Some(first) if held_here && first.file != *path => {
                let second = self.owners.insert(key, claim.clone());
                if let Some(second) = second {
                    self.refuse_second(&second, &claim);
                }
            }
            Some(first) => {
                let first = first.clone();
                self.refuse_second(&claim, &first);
            }
        }
    }

    fn refuse_second(&mut self, second: &Claim, first: &Claim) {
        let message = format!(
            "{} is in {}:{} already, which keeps it: take it out of one of the two",
            second.identity, first.file, first.line
        );
        let at = Position { line: second.line, column: 1 };
        let problem = Problem::new(at, message).of(second.identity.to_string());
        self.refused.push((second.file.clone(), Refused { problem, waits: false }));
    }

    fn refuse(&mut self, path: &Name, summary: &Summary, message: String, waits: bool) {
        let at = Position { line: summary.line, column: 1 };
        let problem = Problem::new(at, message).of(summary.identity.to_string());
        self.refused.push((path.clone(), Refused { problem, waits }));
    }
}

/// The order of application: definitions of kinds, namespaces, then the rest.
pub(super) fn rank(key: &ObjectKey) -> u8 {
    match (key.resource.group, key.resource.plural) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => 0,
        ("", "namespaces") => 1,
        _ => 2,
    }
}
