//! What the kernel's table should hold, kept up one Service at a time; each change of it is a batch.
//!
//! Every fact of every Service is an element of a few flat maps, so a connection costs the same however many Services there
//! are. A Service's endpoints have *slots*, 0 to n-1, and its door leads to the chain that draws one of n. When an endpoint
//! goes, the last takes its slot: whatever the size of a Service, one endpoint touches a handful of elements.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::frontend::{Backend, Door, Fate, Frontend};
use crate::services::ServiceKey;

/// A map or set of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Map {
    /// Address and port → the chain that draws an endpoint.
    Services,
    /// Port of the node → the chain that draws an endpoint.
    NodePorts,
    /// Address, port and slot → mark of an endpoint.
    Slots,
    /// Port of the node and slot → mark of an endpoint.
    NodePortSlots,
    /// Mark → endpoint.
    Marks,
    /// Address and port nobody answers at.
    Refused,
    /// Port of the node nobody answers at.
    RefusedNodePorts,
    /// Endpoint twice: who is led to itself.
    Hairpins,
    /// Endpoints on other nodes.
    Remote,
}

impl Map {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Services,
        Self::NodePorts,
        Self::Slots,
        Self::NodePortSlots,
        Self::Marks,
        Self::Refused,
        Self::RefusedNodePorts,
        Self::Hairpins,
        Self::Remote,
    ];

    /// Its name in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::NodePorts => "node_ports",
            Self::Slots => "slots",
            Self::NodePortSlots => "node_port_slots",
            Self::Marks => "marks",
            Self::Refused => "refused",
            Self::RefusedNodePorts => "refused_node_ports",
            Self::Hairpins => "hairpins",
            Self::Remote => "remote",
        }
    }
}

/// A chain that draws one of `count` endpoints. Services of the same size share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Draw {
    /// How many there are.
    pub count: usize,
    /// Whether the door is a port of the node.
    pub by_node_port: bool,
    /// For how long clients stay with what was drawn for them, in seconds.
    pub sticky_seconds: Option<u32>,
}

impl fmt::Display for Draw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let door = if self.by_node_port { "port" } else { "address" };
        match self.sticky_seconds {
            None => write!(out, "draw_{door}_{}", self.count),
            Some(seconds) => write!(out, "draw_{door}_{}_sticky_{seconds}", self.count),
        }
    }
}

/// An element, without its value.
pub type Element = (Map, String);

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
    /// Chains that must be there first; one that is there already does no harm.
    pub draws: BTreeSet<Draw>,
    /// Elements to take away.
    pub removed: BTreeSet<Element>,
    /// Elements to put in after that, with their values; sets have empty ones.
    pub added: BTreeMap<Element, String>,
    /// Where datagrams are to be led anew, once that is done.
    pub left: BTreeSet<Left>,
}

impl Batch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

type Elements = BTreeMap<Element, String>;

/// The table as it should be.
#[derive(Debug, Default)]
pub struct Table {
    services: BTreeMap<ServiceKey, Served>,
    /// Who wants an element, and with which value. Services may want the same one, some rightly (hairpins of a pod both lead
    /// to), some by mistake (an external address given twice): the first by name has it.
    wanted: BTreeMap<Element, BTreeMap<ServiceKey, String>>,
    draws: BTreeSet<Draw>,
}

#[derive(Debug, Default)]
struct Served {
    slots: BTreeMap<Door, Vec<Backend>>,
    elements: Elements,
}

impl Table {
    /// Takes in what a Service is now; no frontends where it is gone. What must change in the kernel.
    pub fn set(&mut self, key: &ServiceKey, frontends: &[Frontend]) -> Batch {
        let before = self.services.remove(key).unwrap_or_default();
        let led = before.leads_datagrams();
        let after = Served::follow(before.slots, frontends);
        let mut batch = Batch { left: led.difference(&after.leads_datagrams()).copied().collect(), ..Batch::default() };
        for frontend in frontends {
            batch.draws.extend(draw(frontend));
        }
        batch.draws = batch.draws.difference(&self.draws).copied().collect();
        self.draws.extend(&batch.draws);
        for element in before.elements.keys().filter(|element| !after.elements.contains_key(*element)) {
            self.want(key, element, None, &mut batch);
        }
        for (element, value) in &after.elements {
            if before.elements.get(element) != Some(value) {
                self.want(key, element, Some(value), &mut batch);
            }
        }
        if !after.elements.is_empty() {
            self.services.insert(key.clone(), after);
        }
        batch
    }

    /// All there is, as it is written into an empty table.
    pub fn whole(&self) -> Batch {
        let all = self.wanted.iter();
        let added = all.filter_map(|(element, by)| Some((element.clone(), by.values().next()?.clone()))).collect();
        Batch { draws: self.draws.clone(), added, ..Batch::default() }
    }

    fn want(&mut self, key: &ServiceKey, element: &Element, value: Option<&String>, batch: &mut Batch) {
        let by = self.wanted.entry(element.clone()).or_default();
        let before = by.values().next().cloned();
        match value {
            Some(value) => by.insert(key.clone(), value.clone()),
            None => by.remove(key),
        };
        let after = by.values().next().cloned();
        if by.is_empty() {
            self.wanted.remove(element);
        }
        if before == after {
            return;
        }
        if before.is_some() {
            batch.removed.insert(element.clone());
        }
        if let Some(value) = after {
            batch.added.insert(element.clone(), value);
        }
    }
}

impl Served {
    fn follow(mut slots: BTreeMap<Door, Vec<Backend>>, frontends: &[Frontend]) -> Self {
        let mut served = Self::default();
        for frontend in frontends {
            let slots = slots.remove(&frontend.door).unwrap_or_default();
            served.open(frontend, slots);
        }
        served
    }

    /// Where datagrams are led.
    fn leads_datagrams(&self) -> BTreeSet<Left> {
        let doors = self.slots.iter().filter(|(door, _)| door.protocol == "udp");
        doors.flat_map(|(door, slots)| slots.iter().map(|backend| Left { door: *door, backend: *backend })).collect()
    }

    fn open(&mut self, frontend: &Frontend, mut slots: Vec<Backend>) {
        let (door, by_node_port) = (frontend.door, frontend.door.address.is_none());
        let at = match door.address {
            Some(address) => format!("{address} . {} . {}", door.protocol, door.port),
            None => format!("{} . {}", door.protocol, door.port),
        };
        let refused = if by_node_port { Map::RefusedNodePorts } else { Map::Refused };
        let backends = match &frontend.fate {
            Fate::Led(backends) => backends,
            Fate::Refused => return self.put(refused, at, "goto refuse"),
            Fate::Dropped => return self.put(refused, at, "drop"),
        };
        settle(&mut slots, backends);
        let (services, slot_map) =
            if by_node_port { (Map::NodePorts, Map::NodePortSlots) } else { (Map::Services, Map::Slots) };
        for (slot, backend) in slots.iter().enumerate() {
            let endpoint = format!("{} . {}", backend.address, backend.port);
            let address = backend.address.to_string();
            self.put(Map::Hairpins, format!("{address} . {address}"), "");
            if backend.is_remote {
                self.put(Map::Remote, address, "");
            }
            let mark = mark(&at, backend);
            self.put(slot_map, format!("{at} . {slot}"), &mark);
            self.put(Map::Marks, mark, &endpoint);
        }
        if let Some(draw) = draw(frontend) {
            self.put(services, at, &format!("goto {draw}"));
        }
        self.slots.insert(door, slots);
    }

    fn put(&mut self, map: Map, key: String, value: &str) {
        self.elements.insert((map, key), value.to_owned());
    }
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

/// The mark that stands for an endpoint behind a door. A function of both, so that clients stay where they are when the agent
/// starts again; 0 is no mark.
fn mark(at: &str, backend: &Backend) -> String {
    let name = format!("{at} {} {}", backend.address, backend.port);
    format!("0x{:08x}", (xxh3_64(name.as_bytes()) as u32).max(1))
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
        Frontend { door, fate, sticky_seconds }
    }

    /// Applies a batch to what the kernel holds, as strictly as the kernel does.
    fn apply(kernel: &mut Elements, batch: &Batch) {
        for element in &batch.removed {
            assert!(kernel.remove(element).is_some(), "{element:?} is taken away and was not there");
        }
        for (element, value) in &batch.added {
            let earlier = kernel.insert(element.clone(), value.clone());
            assert_eq!(earlier, None, "{element:?} is put in and was there");
        }
    }

    /// The endpoints slots lead to.
    fn slots(kernel: &Elements) -> Vec<String> {
        let marks = kernel.iter().filter(|((map, _), _)| *map == Map::Slots).map(|(_, mark)| mark.clone());
        marks.map(|mark| kernel[&(Map::Marks, mark)].clone()).collect()
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
    fn nothing_changes_where_nothing_changed() {
        let mut table = Table::default();
        assert!(!table.set(&key("web"), &[led(&[1, 2], Some(60))]).is_empty());
        assert!(table.set(&key("web"), &[led(&[2, 1], Some(60))]).is_empty());
    }
}
