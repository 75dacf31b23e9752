//! What is gone from the files: what is deleted for it, what waits for a confirmation, and what is kept for others.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Directory, Retry, Scan};
use crate::manifest::guard::Removal;
use crate::manifest::inventory::Entry;
use crate::object::{Name, ObjectKey};
use crate::resource::NAMESPACES;
use crate::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;

/// The most files named that keep a namespace or a definition.
const KEEPERS_NAMED_MAX: usize = 3;

/// How long nothing more may go before what is gone is taken for gone: tools that stash, sync or save bring files back within it.
const GRACE: SignedDuration = SignedDuration::from_secs(2);
/// After how long each is taken for gone although something goes all the time.
const GRACE_MAX: SignedDuration = SignedDuration::from_secs(10);

/// The time in which what went may come back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grace {
    pub(super) ends: Timestamp,
    latest: Timestamp,
}

impl Grace {
    fn from(went: Timestamp) -> Self {
        Self { ends: went + GRACE, latest: went + GRACE_MAX }
    }

    /// Something more went.
    pub(super) fn renew(&mut self, now: Timestamp) {
        self.ends = (now + GRACE).min(self.latest);
    }
}

impl Directory {
    /// Which of the objects no document speaks for are taken for gone now. Those nobody told of have their time too, but not at
    /// start: what went before has had it.
    fn taken_for_gone(&mut self, unclaimed: &[ObjectKey], now: Timestamp) -> Vec<ObjectKey> {
        let went = self.vanished_at.take().unwrap_or(now);
        if !self.was_scanned {
            return unclaimed.to_vec();
        }
        let known = std::mem::take(&mut self.gone);
        let grace = |key: &ObjectKey| known.get(key).copied().unwrap_or_else(|| Grace::from(went));
        self.gone = unclaimed.iter().map(|key| (key.clone(), grace(key))).collect();
        self.gone.extract_if(.., |_, grace| grace.ends <= now).map(|(key, _)| key).collect()
    }

    /// Lets every deletion happen that waits for a confirmation; the files they came from. What is kept for other files stays.
    pub fn confirm_all(&mut self) -> Vec<Name> {
        self.confirm(|entry| entry.held.is_some())
    }

    /// Lets what a file held be deleted, were it kept for other files; the file, where there was something.
    pub fn confirm_file(&mut self, path: &str) -> Vec<Name> {
        self.confirm(|entry| &*entry.file == path)
    }

    /// The objects whose deletion waits, for a confirmation or for other files, and why it does.
    pub fn held(&self) -> impl Iterator<Item = (&ObjectKey, &Entry, String)> {
        let objects = self.inventory.objects.iter();
        objects.filter_map(|(key, entry)| Some((key, entry, self.held_because(key, entry)?)))
    }

    pub(super) fn held_because(&self, key: &ObjectKey, entry: &Entry) -> Option<String> {
        entry.held.clone().or_else(|| Some(kept_because(key, self.kept.get(key)?)))
    }

    fn confirm(&mut self, is_meant: impl Fn(&Entry) -> bool) -> Vec<Name> {
        let confirmed = self.held().filter(|(_, entry, _)| is_meant(entry));
        let confirmed: Vec<ObjectKey> = confirmed.map(|(key, _, _)| key.clone()).collect();
        let mut files = BTreeSet::new();
        for key in confirmed {
            let mut was_held = false;
            if let Some(entry) = self.inventory.objects.get_mut(&key) {
                was_held = entry.held.take().is_some();
                files.insert(entry.file.clone());
            }
            // Nobody was told yet that files which stay need it: who confirmed a burst meant what had gone.
            if was_held && holds_others(&key) {
                self.kept.insert(key, BTreeSet::new());
            } else {
                self.kept.remove(&key);
                self.prunes.insert(key, Retry::default());
            }
        }
        self.stale.extend(files.iter().cloned());
        self.release_kept();
        files.into_iter().collect()
    }

    /// Objects in the inventory that no document speaks for, and whose file says so by being gone or by parsing.
    pub(super) fn unclaimed(&self) -> Vec<ObjectKey> {
        let spoken = |file: &str| self.files.get(file).is_none_or(|file| file.gone || file.problem.is_none());
        let waits = |key| self.prunes.contains_key(key) || self.kept.contains_key(key);
        let unclaimed = self.inventory.objects.iter().filter(|(key, entry)| {
            !self.claims.owners.contains_key(key) && entry.held.is_none() && spoken(&entry.file) && !waits(key)
        });
        unclaimed.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn conclude_removals(&mut self, scan: &Scan, now: Timestamp) {
        let unclaimed = self.unclaimed();
        let mut removed = self.taken_for_gone(&unclaimed, now);
        // What went since is of the same burst, which is held as a whole.
        let held = (!removed.is_empty()).then(|| self.removal(&unclaimed, scan).held_because()).flatten();
        if held.is_some() {
            removed = unclaimed;
            self.gone.clear();
        }
        for key in removed {
            match (&held, self.inventory.objects.get_mut(&key)) {
                (Some(reason), Some(entry)) => {
                    self.stale.insert(entry.file.clone());
                    entry.held = Some(reason.clone());
                }
                _ if holds_others(&key) => {
                    self.kept.insert(key, BTreeSet::new());
                }
                _ => {
                    self.prunes.insert(key, Retry::default());
                }
            }
        }
        self.release_kept();
    }

    fn removal(&self, removed: &[ObjectKey], scan: &Scan) -> Removal {
        let entries = removed.iter().filter_map(|key| self.inventory.objects.get(key));
        let files: BTreeSet<&Name> = entries.map(|entry| &entry.file).collect();
        let lost = |file: &&Name| file.rsplit_once('/').is_some_and(|(folder, _)| !scan.directories.contains(folder));
        Removal {
            objects: removed.len(),
            of: self.inventory.objects.len(),
            files: files.len(),
            found_at_start: self.found_at_start,
            directory_lost: files.iter().any(lost),
            root_is_empty: scan.files.is_empty(),
        }
    }

    /// Lets the namespaces and definitions go that no file needs any more; of the rest, notes who needs them.
    pub(super) fn release_kept(&mut self) {
        let kept: Vec<ObjectKey> = self.kept.keys().cloned().collect();
        for key in kept {
            let holders = self.holders(&key);
            if holders.is_empty() {
                self.kept.remove(&key);
                self.prunes.insert(key, Retry::default());
            } else if self.kept.get(&key) != Some(&holders) {
                self.stale.extend(self.inventory.objects.get(&key).map(|entry| entry.file.clone()));
                self.kept.insert(key, holders);
            }
        }
    }

    /// The files with objects that would go with this one: those their documents speak for, and those that are not to go.
    fn holders(&self, of: &ObjectKey) -> BTreeSet<Name> {
        let claimed = self.claims.owners.iter().map(|(key, claim)| (key, &claim.file));
        let left = self.inventory.objects.iter().filter(|(key, _)| !self.prunes.contains_key(key));
        let all = claimed.chain(left.map(|(key, entry)| (key, &entry.file)));
        all.filter(|(key, _)| goes_with(key, of)).map(|(_, file)| file.clone()).collect()
    }
}

/// Whether deleting an object deletes others that nobody named.
fn holds_others(key: &ObjectKey) -> bool {
    [NAMESPACES, CUSTOM_RESOURCE_DEFINITIONS].contains(&key.resource)
}

/// Whether an object is in the namespace, or of the definition, `of`.
fn goes_with(key: &ObjectKey, of: &ObjectKey) -> bool {
    if of.resource == NAMESPACES {
        return key.namespace.as_ref() == Some(&of.name);
    }
    let defined = of.name.strip_prefix(key.resource.plural).and_then(|rest| rest.strip_prefix('.'));
    of.resource == CUSTOM_RESOURCE_DEFINITIONS && defined == Some(key.resource.group)
}

/// `namespaces/demo is kept: app.yaml holds objects in it`
fn kept_because(key: &ObjectKey, files: &BTreeSet<Name>) -> String {
    let named: Vec<&str> = files.iter().take(KEEPERS_NAMED_MAX).map(|file| &**file).collect();
    let more = files.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let holds = if files.len() == 1 { "holds" } else { "hold" };
    let inside = if key.resource == NAMESPACES { "in" } else { "of" };
    format!("{}/{} is kept: {}{more} {holds} objects {inside} it", key.resource.plural, key.name, named.join(", "))
}
