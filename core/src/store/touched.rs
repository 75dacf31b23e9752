//! When what can be read was last changed: what guards are checked against.

use std::collections::HashMap;

use super::index::{self, PLACE, digest};
use super::{Guard, ReadKey};
use crate::object::{Metadata, Name, Object, ObjectKey, ResourceType, Revision, Share};

/// How many reads one generation remembers: about 2 MB. A guard older than both generations is refused, which costs
/// its step one more round; at full write load they reach back some seconds.
const GENERATION_MAX: usize = 1 << 16;

/// The last revision that touched each read, by digest. Two reads that share a digest cost a needless refusal, never a
/// missed one.
pub(super) struct Touched {
    recent: HashMap<u64, Revision>,
    older: HashMap<u64, Revision>,
    /// The last revision the recent generation does not hold.
    recent_from: Revision,
    /// Every change after this one is remembered.
    floor: Revision,
    generation_max: usize,
}

impl Touched {
    /// A table that knows nothing of the history up to `floor`.
    pub(super) fn new(floor: Revision) -> Self {
        Self {
            recent: HashMap::new(),
            older: HashMap::new(),
            recent_from: floor,
            floor,
            generation_max: GENERATION_MAX,
        }
    }

    /// Notes that a change at `revision` touched these reads.
    pub(super) fn mark(&mut self, revision: Revision, touched: &[u64]) {
        if self.recent.len() + touched.len() > self.generation_max {
            self.older = std::mem::take(&mut self.recent);
            self.floor = self.recent_from;
            self.recent_from = Revision(revision.0.saturating_sub(1));
        }
        self.recent.extend(touched.iter().map(|digest| (*digest, revision)));
    }

    /// The first read of the guard that has changed since, and when.
    pub(super) fn broken<'g>(&self, guard: &'g Guard) -> Option<(&'g ReadKey, Revision)> {
        if guard.at < self.floor {
            return guard.reads.first().map(|read| (read, self.floor));
        }
        guard.reads.iter().find_map(|read| {
            let changed_at = self.last(read_digest(read))?;
            (changed_at > guard.at).then_some((read, changed_at))
        })
    }

    fn last(&self, digest: u64) -> Option<Revision> {
        self.recent.get(&digest).or_else(|| self.older.get(&digest)).copied()
    }
}

/// A number that stands for a read.
pub(super) fn read_digest(read: &ReadKey) -> u64 {
    match read {
        ReadKey::Object(key) => object_digest(key),
        ReadKey::Collection(resource, namespace) => collection_digest(*resource, namespace.as_ref()),
        ReadKey::Index(key) => key.digest(),
        ReadKey::Members(key) => members_digest(key.digest()),
        ReadKey::Placed(key) => placed_digest(key.digest()),
        ReadKey::Taken(resource, of) => taken_digest(*resource, of),
    }
}

/// An object after a change, as far as reads go.
pub(super) struct After {
    /// The index keys it is found under.
    pub(super) found_under: Vec<u64>,
    /// Whether it is being deleted.
    pub(super) is_terminating: bool,
    /// Where it stands; nowhere is an empty text.
    place: String,
    /// What it has a share in, as it is written.
    share: Option<String>,
}

impl After {
    /// An object that is there.
    pub(super) fn of(key: &ObjectKey, metadata: &Metadata, fields: &[(&'static str, String)]) -> Self {
        let found_under = index::digests(key, metadata, fields).collect();
        let share = Share::read(fields).map(|share| share.text().to_owned());
        Self { found_under, is_terminating: metadata.is_terminating(), place: place(fields).to_owned(), share }
    }

    /// An object that is gone.
    pub(super) fn gone() -> Self {
        Self { found_under: Vec::new(), is_terminating: true, place: String::new(), share: None }
    }
}

/// The digests of every read that a change of the object touches: both where it was found and where it is.
pub(super) fn touched_by(key: &ObjectKey, old: Option<&Object>, new: &After) -> Vec<u64> {
    let mut touched = vec![object_digest(key), collection_digest(key.resource, None)];
    if key.namespace.is_some() {
        touched.push(collection_digest(key.resource, key.namespace.as_ref()));
    }
    let old_under: Vec<u64> = old.into_iter().flat_map(index::object_digests).collect();
    let was_terminating = old.is_none_or(|old| old.metadata().is_terminating());
    let turned = was_terminating != new.is_terminating;
    let left = old_under.iter().filter(|digest| turned || !new.found_under.contains(digest));
    let entered = new.found_under.iter().filter(|digest| turned || !old_under.contains(digest));
    touched.extend(left.chain(entered).map(|digest| members_digest(*digest)));
    if !new.place.is_empty() && old.is_none_or(|old| place(old.fields()) != new.place) {
        touched.extend(old_under.iter().chain(&new.found_under).map(|digest| placed_digest(*digest)));
    }
    if let Some(share) = grown(old, new) {
        touched.push(taken_digest(key.resource, share.of()));
    }
    touched.extend(old_under.iter().chain(&new.found_under));
    touched
}

/// The share in something that the object takes more of than it did.
fn grown<'n>(old: Option<&Object>, new: &'n After) -> Option<Share<'n>> {
    let share = Share::written(new.share.as_deref()?);
    let before = old.and_then(Object::share);
    before.is_none_or(|before| share.exceeds(before)).then_some(share)
}

fn place<'f>(fields: &'f [(&'static str, String)]) -> &'f str {
    fields.iter().find(|(name, _)| *name == PLACE).map_or("", |(_, place)| place)
}

/// Stands for who is under an index key, as the key's own digest stands for all that is known of them.
fn members_digest(index: u64) -> u64 {
    digest(&(5_u8, index))
}

/// Stands for where those under an index key stand.
fn placed_digest(index: u64) -> u64 {
    digest(&(6_u8, index))
}

/// Stands for what is taken of something.
fn taken_digest(resource: ResourceType, of: &str) -> u64 {
    digest(&(7_u8, resource, of))
}

fn object_digest(key: &ObjectKey) -> u64 {
    digest(&(3_u8, key))
}

fn collection_digest(resource: ResourceType, namespace: Option<&Name>) -> u64 {
    digest(&(4_u8, resource, namespace))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::IndexKey;
    use super::super::fixture::{PODS, draft};
    use super::*;
    use crate::object::{SHARE, written_share};

    fn read(name: &str) -> ReadKey {
        ReadKey::Object(ObjectKey::cluster(ResourceType::new("", "nodes"), name))
    }

    fn guard(at: u64, name: &str) -> Guard {
        Guard { at: Revision(at), reads: vec![read(name)] }
    }

    fn pod(name: &str, label: &str, phase: &str, deleted: bool) -> Object {
        let mut metadata = json!({"labels": {"app": label}});
        if deleted {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let fields = vec![("status.phase", phase.to_owned())];
        draft(PODS, &format!("default/{name}"), metadata, json!({"status": {"phase": phase}}), fields).at(Revision(1))
    }

    #[test]
    fn members_are_touched_by_who_enters_leaves_or_begins_to_go_and_by_nothing_else() {
        let label = |value: &str| IndexKey::Label {
            resource: PODS,
            namespace: Some("default".into()),
            label: "app".into(),
            value: value.into(),
        };
        let touches = |old: Option<&Object>, new: Option<&Object>, read: &ReadKey| {
            let after = new.map_or_else(After::gone, |new| After::of(new.key(), new.metadata(), new.fields()));
            let key = old.or(new).unwrap().key();
            touched_by(key, old, &after).contains(&read_digest(read))
        };
        let (content, members) = (ReadKey::Index(label("web")), ReadKey::Members(label("web")));
        let starting = || pod("a", "web", "Pending", false);
        let cases = [
            ("created", None, Some(starting()), true),
            ("running", Some(starting()), Some(pod("a", "web", "Running", false)), false),
            ("let go", Some(starting()), Some(pod("a", "web", "Pending", true)), true),
            ("relabelled", Some(starting()), Some(pod("a", "other", "Pending", false)), true),
            ("removed", Some(starting()), None, true),
        ];
        for (what, old, new, expected) in cases {
            assert_eq!(touches(old.as_ref(), new.as_ref(), &members), expected, "members, {what}");
            assert!(touches(old.as_ref(), new.as_ref(), &content), "content, {what}");
        }
    }

    #[test]
    fn places_are_touched_by_whoever_gets_one_and_by_nobody_who_leaves() {
        let standing = |node: &str| {
            let fields = vec![(PLACE, node.to_owned())];
            draft(PODS, "default/a", json!({"labels": {"app": "web"}}), json!({}), fields).at(Revision(1))
        };
        let web = IndexKey::Label {
            resource: PODS,
            namespace: Some("default".into()),
            label: "app".into(),
            value: "web".into(),
        };
        let nowhere = IndexKey::Field { resource: PODS, field: PLACE, value: "".into() };
        let touches = |old: Option<&Object>, new: Option<&Object>, key: &IndexKey| {
            let after = new.map_or_else(After::gone, |new| After::of(new.key(), new.metadata(), new.fields()));
            let touched = touched_by(old.or(new).unwrap().key(), old, &after);
            touched.contains(&read_digest(&ReadKey::Placed(key.clone())))
        };
        let (waits, stands) = (standing(""), standing("n1"));
        for key in [&web, &nowhere] {
            assert!(touches(Some(&waits), Some(&stands), key), "it gets a place");
            assert!(!touches(None, Some(&waits), key), "it has none yet");
            assert!(!touches(Some(&stands), Some(&stands), key), "it stays");
            assert!(!touches(Some(&stands), None, key), "it leaves");
        }
        assert!(touches(None, Some(&stands), &web), "it comes with its place");
    }

    #[test]
    fn what_is_taken_is_touched_by_whoever_takes_more_and_by_nobody_who_takes_less() {
        let taking = |of: &str, cpu: i64| {
            let fields = vec![(SHARE, written_share(of, [("cpu", cpu), ("pods", 1)]))];
            draft(PODS, "default/a", json!({}), json!({}), fields).at(Revision(1))
        };
        let free = || draft(PODS, "default/a", json!({}), json!({}), vec![]).at(Revision(1));
        let cases = [
            ("it is placed", Some(&free()), taking("n1", 1), true),
            ("it comes", None, taking("n1", 1), true),
            ("it grows", Some(&taking("n1", 1)), taking("n1", 2), true),
            ("it moves", Some(&taking("n2", 5)), taking("n1", 1), true),
            ("it stays", Some(&taking("n1", 1)), taking("n1", 1), false),
            ("it shrinks", Some(&taking("n1", 2)), taking("n1", 1), false),
            ("it leaves", Some(&taking("n1", 1)), free(), false),
        ];
        for (what, old, new, expected) in cases {
            let after = After::of(new.key(), new.metadata(), new.fields());
            let touched = touched_by(new.key(), old, &after);
            assert_eq!(touched.contains(&read_digest(&ReadKey::Taken(PODS, "n1".into()))), expected, "{what}");
        }
    }

    #[test]
    fn a_read_is_broken_by_a_later_change_only() {
        let mut touched = Touched::new(Revision(0));
        touched.mark(Revision(5), &[read_digest(&read("a"))]);
        assert_eq!(touched.broken(&guard(4, "a")).map(|(_, at)| at), Some(Revision(5)));
        assert!(touched.broken(&guard(5, "a")).is_none());
        assert!(touched.broken(&guard(0, "b")).is_none());
    }

    #[test]
    fn what_is_no_longer_remembered_is_refused_and_never_missed() {
        let mut touched = Touched::new(Revision(0));
        touched.generation_max = 4;
        touched.mark(Revision(1), &[read_digest(&read("a"))]);
        for revision in 2..=20 {
            touched.mark(Revision(revision), &[read_digest(&read(&format!("n{revision}")))]);
            assert!(touched.broken(&guard(0, "a")).is_some(), "at {revision}");
            assert!(touched.broken(&guard(revision, "a")).is_none(), "at {revision}");
        }
        assert!(touched.recent.len() + touched.older.len() <= 8);
    }
}
