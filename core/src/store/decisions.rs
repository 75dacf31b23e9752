//! Which decisions are kept: the last of each object, and of all objects as many as the budget holds. An object that is
//! gone keeps its decisions within the budget, because `why` must answer for it too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sampan_machine::Decision;

use super::backend::{Archive, BackendError, Keyspace, Row};
use crate::object::{ObjectKey, Revision};

/// How many decisions are kept of one object.
pub const DECISIONS_PER_OBJECT: usize = 64;

/// How many decisions are kept of all objects: some 50 MB on disk and 3 MB of memory to account for them.
pub const DECISIONS_MAX: usize = 50_000;

/// What is on the shelf: numbers only, the decisions themselves are on disk.
#[derive(Clone, Default)]
pub(super) struct Shelf {
    next: u64,
    kept: usize,
    of_object: BTreeMap<Arc<str>, VecDeque<u64>>,
    /// All in the order they came; entries whose object has let go of them meanwhile are skipped.
    in_order: VecDeque<(u64, Arc<str>)>,
}

impl Shelf {
    /// Reads what is on the shelf.
    pub(super) fn recover(archive: &dyn Archive) -> Result<Self, BackendError> {
        let mut found: BTreeMap<u64, Arc<str>> = BTreeMap::new();
        archive.scan(Keyspace::Decisions, &[], &[u8::MAX], &mut |key, _| {
            if let Some((object, number)) = parse_key(key) {
                found.insert(number, object.into());
            }
            std::ops::ControlFlow::Continue(())
        })?;
        let mut shelf = Self::default();
        for (number, object) in found {
            shelf.add(number, object);
        }
        Ok(shelf)
    }

    /// The rows that put a decision on the shelf and take those off that it displaces.
    pub(super) fn put(&mut self, decision: &Decision) -> Vec<Row> {
        let object: Arc<str> = decision.object.as_str().into();
        let number = self.next;
        let value = serde_json::to_vec(decision).expect("writing JSON to memory cannot fail");
        let mut rows = vec![Row { keyspace: Keyspace::Decisions, key: row_key(&object, number), value: Some(value) }];
        self.add(number, object.clone());
        let displaced = self.displace_own(&object).into_iter().chain(self.displace_oldest());
        rows.extend(displaced.map(|key| Row { keyspace: Keyspace::Decisions, key, value: None }));
        rows
    }

    fn add(&mut self, number: u64, object: Arc<str>) {
        self.next = number + 1;
        self.kept += 1;
        self.of_object.entry(object.clone()).or_default().push_back(number);
        self.in_order.push_back((number, object));
        if self.in_order.len() > 2 * self.kept + DECISIONS_PER_OBJECT {
            let of_object = &self.of_object;
            self.in_order.retain(|(number, object)| {
                of_object.get(object).and_then(VecDeque::front).is_some_and(|oldest| oldest <= number)
            });
        }
    }

    fn displace_own(&mut self, object: &str) -> Option<Vec<u8>> {
        let own = self.of_object.get_mut(object)?;
        if own.len() <= DECISIONS_PER_OBJECT {
            return None;
        }
        self.kept -= 1;
        own.pop_front().map(|number| row_key(object, number))
    }

    fn displace_oldest(&mut self) -> Option<Vec<u8>> {
        while self.kept > DECISIONS_MAX {
            let (number, object) = self.in_order.pop_front()?;
            let Some(own) = self.of_object.get_mut(&object) else { continue };
            if own.front() != Some(&number) {
                continue;
            }
            own.pop_front();
            if own.is_empty() {
                self.of_object.remove(&object);
            }
            self.kept -= 1;
            return Some(row_key(&object, number));
        }
        None
    }
}

/// The decisions kept about an object, newest last.
pub(super) fn read(archive: &dyn Archive, object: &ObjectKey) -> Result<Vec<Decision>, BackendError> {
    let object = object.to_string();
    let mut found = Vec::new();
    archive.scan(Keyspace::Decisions, &row_key(&object, 0), &row_key(&object, u64::MAX), &mut |_, value| {
        match serde_json::from_slice(value) {
            Ok(decision) => found.push(decision),
            Err(error) => tracing::warn!(%object, %error, "a decision cannot be read"),
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Notes in the decision which revision each of its commands became. `changes` are the keys in the order of the commands.
pub(super) fn fill_revisions(decision: &mut Decision, changes: &[(ObjectKey, Revision)]) {
    let mut left: Vec<(String, u64)> = changes.iter().map(|(key, revision)| (key.to_string(), revision.0)).collect();
    for command in &mut decision.commands {
        if let Some(at) = left.iter().position(|(object, _)| *object == command.object) {
            command.revision = Some(left.remove(at).1);
        }
    }
}

/// No object's name holds a zero byte, so the decisions of one object are never among another's.
fn row_key(object: &str, number: u64) -> Vec<u8> {
    [object.as_bytes(), &[0], &number.to_be_bytes()].concat()
}

fn parse_key(key: &[u8]) -> Option<(&str, u64)> {
    let (rest, number) = key.split_last_chunk::<8>()?;
    let object = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((object, u64::from_be_bytes(*number)))
}
