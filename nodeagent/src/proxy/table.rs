//! What the kernel's table should hold, kept up one Service at a time; each change of it is a batch.
//!
//! Every fact of every Service is an element of a few flat maps, so a connection costs the same however many Services there
//! are. A Service's endpoints have *slots*, 0 to n-1, and its door leads to the chain that draws one of n. When an endpoint
//! goes, the last takes its slot: whatever the size of a Service, one endpoint touches a handful of elements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::element::{Draw, Element, Key, Map, Value};
use super::frontend::{Backend, Door, Fate, Frontend};
use super::marks::{Led, Marks};
use crate::services::ServiceKey;

/// An endpoint that a door leads to no more. Connections end with their endpoint; datagrams would go on being sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// The door.
    pub door: Door,
    /// The endpoint.
    pub backend: Backend,
}

/// What to do to the table, as one transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Chains that must be there first, with their numbers; one that is there already does no harm.
    pub draws: BTreeMap<Draw, u32>,
    /// Elements to take away.
    pub removed: BTreeSet<Element>,
    /// Elements to put in after that, with their values.
    pub added: BTreeMap<Element, Value>,
    /// Where datagrams are to be led anew, once that is done.
    pub left: BTreeSet<Left>,
}

impl Batch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.draws.is_empty() && self.removed.is_empty() && self.added.is_empty()
    }
}

type Elements = BTreeMap<Element, Value>;
type Doors = BTreeMap<Door, Arc<Opened>>;

/// Who wants a door. Those whose own it is come first, then the first by name: Services may want the same one by mistake (an
/// external address given twice) or on purpose (another Service's address), and one alone has all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    is_foreign: bool,
    key: ServiceKey,
}

/// The table as it should be.
#[derive(Debug, Default)]
pub struct Table {
    services: BTreeMap<ServiceKey, Doors>,
    claims: BTreeMap<Door, BTreeSet<Claim>>,
    /// What each door's first claimant has put there.
    shown: Doors,
    /// Which doors want an element, and with which value: hairpins of a pod that several lead to are wanted by each.
    wanted: BTreeMap<Element, BTreeMap<Door, Value>>,
    /// The chains there are, by their numbers.
    draws: BTreeMap<Draw, u32>,
    marks: Marks,
}

/// What a Service has behind a door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Opened {
    slots: Vec<Backend>,
    elements: Elements,
}

impl Table {
    /// Takes in what a Service is now; no frontends where it is gone. What must change in the kernel.
    pub fn set(&mut self, key: &ServiceKey, frontends: &[Frontend]) -> Batch {
        let before = self.services.remove(key).unwrap_or_default();
        let mut batch = Batch::default();
        for draw in frontends.iter().filter_map(draw) {
            if !self.draws.contains_key(&draw) {
                let number = u32::try_from(self.draws.len()).unwrap_or(u32::MAX);
                self.draws.insert(draw, number);
                batch.draws.insert(draw, number);
            }
        }
        let mut after = Doors::new();
        for frontend in frontends {
            let slots = before.get(&frontend.door).map(|opened| opened.slots.clone()).unwrap_or_default();
            let number = draw(frontend).and_then(|draw| self.draws.get(&draw)).copied();
            let opened = || Arc::new(Opened::new(key, frontend, number, slots, &mut self.marks));
            after.entry(frontend.door).or_insert_with(opened);
        }
        self.release_marks(key, &before, &after);
        let doors: BTreeSet<Door> = before.keys().chain(after.keys()).copied().collect();
        for is_foreign in [false, true] {
            let claim = Claim { is_foreign, key: key.clone() };
            let claimed = frontends.iter().filter(|frontend| frontend.is_own != is_foreign);
            let claimed: BTreeSet<Door> = claimed.map(|frontend| frontend.door).collect();
            doors.iter().for_each(|door| self.claim(*door, &claim, claimed.contains(door)));
        }
        if !after.is_empty() {
            self.services.insert(key.clone(), after);
        }
        doors.into_iter().for_each(|door| self.show(door, &mut batch));
        batch
    }

    /// All there is, as it is written into an empty table.
    pub fn whole(&self) -> Batch {
        let all = self.wanted.iter();
        let added = all.filter_map(|(element, by)| Some((*element, *by.values().next()?))).collect();
        Batch { draws: self.draws.clone(), added, ..Batch::default() }
    }

    fn release_marks(&mut self, key: &ServiceKey, before: &Doors, after: &Doors) {
        for (door, opened) in before {
            let kept = after.get(door).map(|opened| opened.slots.as_slice()).unwrap_or_default();
            let gone = opened.slots.iter().filter(|backend| !kept.contains(backend));
            gone.for_each(|backend| self.marks.release(&led(key, door, backend)));
        }
    }

    fn claim(&mut self, door: Door, claim: &Claim, holds: bool) {
        let claims = self.claims.entry(door).or_default();
        match holds {
            true => drop(claims.insert(claim.clone())),
            false => drop(claims.remove(claim)),
        }
        if claims.is_empty() {
            self.claims.remove(&door);
        }
    }

    /// Has the door show what its first claimant has behind it.
    fn show(&mut self, door: Door, batch: &mut Batch) {
        let first = self.claims.get(&door).and_then(BTreeSet::first);
        let after = first.and_then(|claim| self.services.get(&claim.key)?.get(&door)).cloned().unwrap_or_default();
        let before = self.shown.remove(&door).unwrap_or_default();
        if door.protocol == "udp" {
            let left = before.slots.iter().filter(|backend| !after.slots.contains(backend));
            batch.left.extend(left.map(|backend| Left { door, backend: *backend }));
        }
        for element in before.elements.keys().filter(|element| !after.elements.contains_key(*element)) {
            self.want(door, *element, None, batch);
        }
        for (element, value) in &after.elements {
            if before.elements.get(element) != Some(value) {
                self.want(door, *element, Some(*value), batch);
            }
        }
        if !after.elements.is_empty() {
            self.shown.insert(door, after);
        }
    }

    fn want(&mut self, door: Door, element: Element, value: Option<Value>, batch: &mut Batch) {
        let by = self.wanted.entry(element).or_default();
        let before = by.values().next().copied();
        match value {
            Some(value) => by.insert(door, value),
            None => by.remove(&door),
        };
        let after = by.values().next().copied();
        if by.is_empty() {
            self.wanted.remove(&element);
        }
        batch.replace(element, before, after);
    }
}

impl Batch {
    /// Another value in the place of an element's, which this batch may have put there or taken away before.
    fn replace(&mut self, element: Element, before: Option<Value>, after: Option<Value>) {
        if before == after {
            return;
        }
        // What this batch added was not in the kernel.
        if before.is_some() && self.added.remove(&element).is_none() {
            self.removed.insert(element);
        }
        if let Some(value) = after {
            self.added.insert(element, value);
        }
    }
}

impl Opened {
    fn new(
        key: &ServiceKey,
        frontend: &Frontend,
        draw: Option<u32>,
        mut slots: Vec<Backend>,
        marks: &mut Marks,
    ) -> Self {
        let (door, by_node_port) = (frontend.door, frontend.door.address.is_none());
        let at = Key::Door(door);
        let mut opened = Self::default();
        for network in frontend.admitted.iter().flatten() {
            opened.put(Map::Admitted, Key::From(door, *network), Value::Nothing);
        }
        if frontend.admitted.is_some() {
            opened.put(Map::Guarded, at, Value::Nothing);
        }
        if let Some(address) = door.address.filter(|_| frontend.is_own) {
            opened.put(Map::Owned, Key::Address(address), Value::Nothing);
        }
        let (refused, dropped) = match by_node_port {
            true => (Map::RefusedNodePorts, Map::DroppedNodePorts),
            false => (Map::Refused, Map::Dropped),
        };
        let backends = match &frontend.fate {
            Fate::Led(backends) => backends,
            Fate::Refused => return opened.with(refused, at, Value::Nothing),
            Fate::Dropped => return opened.with(dropped, at, Value::Nothing),
        };
        settle(&mut slots, backends);
        let (services, slot_map) =
            if by_node_port { (Map::NodePorts, Map::NodePortSlots) } else { (Map::Services, Map::Slots) };
        for (slot, backend) in (0..).zip(&slots) {
            let Backend { address, port, is_remote } = *backend;
            opened.put(Map::Hairpins, Key::Twice(address), Value::Nothing);
            if is_remote {
                opened.put(Map::Remote, Key::Address(address), Value::Nothing);
            }
            let mark = marks.of(&led(key, &door, backend));
            opened.put(slot_map, Key::Slot(door, slot), Value::Mark(mark));
            opened.put(Map::Marks, Key::Mark(mark), Value::Endpoint(address, port));
        }
        if let Some(draw) = draw {
            opened.put(services, at, Value::Mark(draw));
        }
        Self { slots, ..opened }
    }

    fn put(&mut self, map: Map, key: Key, value: Value) {
        self.elements.insert((map, key), value);
    }

    fn with(mut self, map: Map, key: Key, value: Value) -> Self {
        self.put(map, key, value);
        self
    }
}

fn led((namespace, name): &ServiceKey, door: &Door, backend: &Backend) -> Led {
    format!("{namespace}/{name} {door} {} {}", backend.address, backend.port)
}

/// The chain a door leads to.
fn draw(frontend: &Frontend) -> Option<Draw> {
    let Fate::Led(backends) = &frontend.fate else { return None };
    let by_node_port = frontend.door.address.is_none();
    Some(Draw { count: backends.len(), by_node_port, sticky_seconds: frontend.sticky_seconds })
}

/// Has the slots hold exactly these, with as few moves as there can be.
fn settle(slots: &mut Vec<Backend>, backends: &BTreeSet<Backend>) {
    let mut slot = 0;
    while let Some(backend) = slots.get(slot) {
        if backends.contains(backend) {
            slot += 1;
        } else {
            slots.swap_remove(slot);
        }
    }
    let held: BTreeSet<Backend> = slots.iter().copied().collect();
    slots.extend(backends.difference(&held));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ServiceKey {
        ("demo".to_owned(), name.to_owned())
    }

    fn backend(last: u8) -> Backend {
        Backend { address: [10, 1, 0, last].into(), port: 8080, is_remote: false }
    }

    fn led(to: &[u8], sticky_seconds: Option<u32>) -> Frontend {
        let door = Door { address: Some([10, 96, 0, 7].into()), protocol: "tcp", port: 80 };
        let fate = if to.is_empty() { Fate::Refused } else { Fate::Led(to.iter().copied().map(backend).collect()) };
        Frontend { door, is_own: true, fate, sticky_seconds, admitted: None }
    }

    /// Applies a batch to what the kernel holds, as strictly as the kernel does.
    fn apply(kernel: &mut Elements, batch: &Batch) {
        for element in &batch.removed {
            assert!(kernel.remove(element).is_some(), "{element:?} is taken away and was not there");
        }
        for (element, value) in &batch.added {
            let earlier = kernel.insert(*element, *value);
            assert_eq!(earlier, None, "{element:?} is put in and was there");
        }
    }

    /// The endpoints slots lead to.
    fn slots(kernel: &Elements) -> Vec<String> {
        let marks = kernel.iter().filter(|((map, _), _)| *map == Map::Slots).map(|(_, mark)| *mark);
        let endpoint = |mark| match mark {
            Value::Mark(mark) => kernel[&(Map::Marks, Key::Mark(mark))].to_string(),
            other => panic!("{other} is no mark"),
        };
        marks.map(endpoint).collect()
    }

    #[test]
    fn one_endpoint_touches_a_handful_of_elements_whatever_the_size() {
        let many: Vec<u8> = (1..=200).collect();
        let mut table = Table::default();
        let mut kernel = Elements::new();
        apply(&mut kernel, &table.set(&key("web"), &[led(&many, None)]));
        let without: Vec<u8> = many.iter().copied().filter(|last| *last != 50).collect();
        let batch = table.set(&key("web"), &[led(&without, None)]);
        assert!(batch.removed.len() + batch.added.len() <= 8, "{batch:?}");
        apply(&mut kernel, &batch);
        let mut expect: Vec<String> = without.iter().map(|last| format!("10.1.0.{last} . 8080")).collect();
        let mut found = slots(&kernel);
        expect.sort();
        found.sort();
        assert_eq!(found, expect);
        assert_eq!(kernel, table.whole().added);
    }

    #[test]
    fn slots_are_dense_through_any_history_and_a_batch_is_what_the_whole_becomes() {
        let mut table = Table::default();
        let mut kernel = Elements::new();
        let mut state: u64 = 7;
        for _ in 0..500 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = if state >> 60 & 1 == 0 { "web" } else { "api" };
            let to: Vec<u8> = (1..10).filter(|bit| state >> (20 + bit) & 1 == 1).collect();
            let sticky = (state >> 50).is_multiple_of(4).then_some(60);
            let frontends = if (state >> 45).is_multiple_of(8) { Vec::new() } else { vec![led(&to, sticky)] };
            apply(&mut kernel, &table.set(&key(name), &frontends));
            assert_eq!(kernel, table.whole().added);
        }
        apply(&mut kernel, &table.set(&key("web"), &[]));
        apply(&mut kernel, &table.set(&key("api"), &[]));
        assert_eq!(kernel, Elements::new());
    }

    #[test]
    fn who_wants_what_another_has_gets_it_when_that_is_gone() {
        let mut table = Table::default();
        let mut kernel = Elements::new();
        apply(&mut kernel, &table.set(&key("a"), &[led(&[1], None)]));
        apply(&mut kernel, &table.set(&key("b"), &[led(&[2], None)]));
        assert_eq!(slots(&kernel), ["10.1.0.1 . 8080"]);
        apply(&mut kernel, &table.set(&key("a"), &[]));
        assert_eq!(slots(&kernel), ["10.1.0.2 . 8080"]);
    }

    #[test]
    fn whose_own_a_door_is_keeps_all_of_it() {
        let foreign = |to: &[u8]| Frontend { is_own: false, ..led(to, None) };
        for own in [led(&[2], None), led(&[], None)] {
            let mut expected = Table::default();
            // Chains keep their numbers, by the order they were wanted in.
            expected.set(&key("a"), &[foreign(&[7, 8, 9])]);
            expected.set(&key("a"), &[]);
            expected.set(&key("owner"), std::slice::from_ref(&own));
            let mut table = Table::default();
            let mut kernel = Elements::new();
            apply(&mut kernel, &table.set(&key("a"), &[foreign(&[7, 8, 9])]));
            assert_eq!(slots(&kernel).len(), 3, "nobody else is there");
            apply(&mut kernel, &table.set(&key("owner"), std::slice::from_ref(&own)));
            assert_eq!(kernel, expected.whole().added);
            apply(&mut kernel, &table.set(&key("a"), &[foreign(&[7])]));
            assert_eq!(kernel, expected.whole().added);
            apply(&mut kernel, &table.set(&key("owner"), &[]));
            assert_eq!(slots(&kernel), ["10.1.0.7 . 8080"]);
        }
    }

    #[test]
    fn nothing_changes_where_nothing_changed() {
        let mut table = Table::default();
        assert!(!table.set(&key("web"), &[led(&[1, 2], Some(60))]).is_empty());
        assert!(table.set(&key("web"), &[led(&[2, 1], Some(60))]).is_empty());
    }
}
