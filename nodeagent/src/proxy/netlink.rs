//! A change told to the kernel itself, without a program between: nft takes longer to start than the kernel to change.
//!
//! Elements alone are told so, which is what all changes but a few are made of. Chains and rules are left to nft, which knows how
//! the kernel wants them written.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::NETFILTER;

use super::element::{Element, Key, Value};
use super::frontend::Door;
use super::table::Batch;
use crate::netlink::{IS_REQUEST, WANTS_ANSWER, Wire, attribute, nested, text};

/// Elements of one transaction; more are a script for nft. It and the kernel's answers fit into a socket's buffers.
pub(super) const ELEMENTS_MAX: usize = 512;

// As in linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFTABLES: u16 = 10;
const NEW_ELEMENT: u16 = NFTABLES * 256 + 12;
const DELETE_ELEMENT: u16 = NFTABLES * 256 + 14;
const CREATES: u16 = 0x400;
const IPV4: u8 = 2;
/// Attributes of a list of elements.
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
/// Attributes of an element.
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_KEY_END: u16 = 10;
/// Attributes of data.
const DATA_VALUE: u16 = 1;

/// The kernel, spoken to.
#[derive(Debug)]
pub struct Line {
    wire: Wire,
    /// The number of the last message.
    sequence: u32,
}

impl Line {
    /// Opens a line to the kernel of the network namespace of whoever calls.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn open() -> io::Result<Self> {
        Ok(Self { wire: Wire::open(Some(NETFILTER))?, sequence: 0 })
    }

    /// Has the kernel take away and put in the elements of these batches, all or none. The kernel does so while it is told:
    /// this takes some tens of microseconds and waits for nobody.
    ///
    /// # Errors
    /// What the kernel has against it.
    pub fn change(&mut self, table: &str, batches: &[Batch]) -> io::Result<()> {
        let mut transaction = Transaction::begin(table, self.sequence);
        for batch in batches {
            batch.removed.iter().for_each(|element| transaction.element(DELETE_ELEMENT, element, &Value::Nothing));
            batch.added.iter().for_each(|(element, value)| transaction.element(NEW_ELEMENT, element, value));
        }
        let (message, last) = transaction.end();
        self.sequence = last;
        self.wire.tell(&message)
    }
}

/// A transaction as the kernel reads it.
struct Transaction<'t> {
    table: &'t str,
    bytes: Vec<u8>,
    sequence: u32,
    /// Where the last message begins.
    last: usize,
}

impl<'t> Transaction<'t> {
    fn begin(table: &'t str, sequence: u32) -> Self {
        let mut transaction = Self { table, bytes: Vec::new(), sequence, last: 0 };
        transaction.message(BATCH_BEGIN, IS_REQUEST, 0, NFTABLES, |_| ());
        transaction
    }

    fn element(&mut self, kind: u16, (map, key): &Element, value: &Value) {
        let flags = IS_REQUEST | if kind == NEW_ELEMENT { CREATES } else { 0 };
        let table = self.table;
        self.message(kind, flags, IPV4, 0, |bytes| {
            text(bytes, LIST_TABLE, table);
            text(bytes, LIST_SET, map.name());
            nested(bytes, LIST_ELEMENTS, |bytes| {
                nested(bytes, LIST_ELEMENT, |bytes| {
                    nested(bytes, ELEMENT_KEY, |bytes| attribute(bytes, DATA_VALUE, &key_bytes(key)));
                    if let Key::From(door, network) = key {
                        let end = [door_bytes(door), network.last().octets().to_vec()].concat();
                        nested(bytes, ELEMENT_KEY_END, |bytes| attribute(bytes, DATA_VALUE, &end));
                    }
                    data(bytes, value);
                });
            });
        });
    }

    /// The whole, and the number of its last message. The last element's answer stands for all: errors come unasked.
    fn end(mut self) -> (Vec<u8>, u32) {
        // The flags of a message are at its sixth byte; this one is in the lower of the two.
        let low = self.last + if cfg!(target_endian = "little") { 6 } else { 7 };
        if let Some(flags) = self.bytes.get_mut(low) {
            *flags |= WANTS_ANSWER as u8;
        }
        self.message(BATCH_END, IS_REQUEST, 0, NFTABLES, |_| ());
        (self.bytes, self.sequence)
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, content: impl FnOnce(&mut Vec<u8>)) {
        self.sequence = self.sequence.wrapping_add(1);
        let begin = self.bytes.len();
        self.last = begin;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        content(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - begin).unwrap_or(u32::MAX);
        if let Some(bytes) = self.bytes.get_mut(begin..begin + 4) {
            bytes.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

fn data(bytes: &mut Vec<u8>, value: &Value) {
    if *value == Value::Nothing {
        return;
    }
    nested(bytes, ELEMENT_DATA, |bytes| match value {
        Value::Nothing => {}
        Value::Mark(mark) => attribute(bytes, DATA_VALUE, &mark.to_ne_bytes()),
        Value::Endpoint(address, port) => attribute(bytes, DATA_VALUE, &[address.octets(), short(*port)].concat()),
    });
}

/// A key as it stands in the kernel's registers: parts of four bytes each. What is on the wire is in the order of the wire, what
/// the kernel itself makes is in the machine's.
fn key_bytes(key: &Key) -> Vec<u8> {
    let twice = |address: &Ipv4Addr| [address.octets(), address.octets()].concat();
    match key {
        Key::Door(door) => door_bytes(door),
        Key::Slot(door, slot) => [door_bytes(door), slot.to_ne_bytes().to_vec()].concat(),
        Key::Mark(mark) => mark.to_ne_bytes().to_vec(),
        Key::Twice(address) => twice(address),
        Key::Address(address) => address.octets().to_vec(),
        Key::From(door, network) => [door_bytes(door), network.first.octets().to_vec()].concat(),
    }
}

fn door_bytes(door: &Door) -> Vec<u8> {
    let protocol = match door.protocol {
        "udp" => 17,
        "sctp" => 132,
        _ => 6,
    };
    let address = door.address.map(|address| address.octets());
    address.into_iter().chain([[protocol, 0, 0, 0], short(door.port)]).flatten().collect()
}

fn short(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [high, low, 0, 0]
}
