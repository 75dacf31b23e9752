//! What stands in the table: its maps, what an element of them is found by, and what it says.

use std::fmt;
use std::net::Ipv4Addr;

use super::frontend::{Door, Network};

/// A map or set of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Map {
    /// Address and port → the number of the chain that draws an endpoint.
    Services,
    /// Port of the node → the number of the chain that draws an endpoint.
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
    /// Address and port at which nobody answers whom its Service's traffic goes to.
    Dropped,
    /// Port of the node at which nobody answers whom its Service's traffic goes to.
    DroppedNodePorts,
    /// Addresses that are a Service's own: what comes to one and is led nowhere is refused.
    Owned,
    /// Endpoint twice: who is led to itself.
    Hairpins,
    /// Endpoints on other nodes.
    Remote,
    /// Doors that do not admit everybody.
    Guarded,
    /// A door, and a network it admits.
    Admitted,
}

impl Map {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Services,
        Self::NodePorts,
        Self::Slots,
        Self::NodePortSlots,
        Self::Marks,
        Self::Refused,
        Self::RefusedNodePorts,
        Self::Dropped,
        Self::DroppedNodePorts,
        Self::Owned,
        Self::Hairpins,
        Self::Remote,
        Self::Guarded,
        Self::Admitted,
    ];

    /// Whether its elements say nothing but that they are there.
    pub(super) fn is_set(self) -> bool {
        !matches!(self, Self::Services | Self::NodePorts | Self::Slots | Self::NodePortSlots | Self::Marks)
    }

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
            Self::Dropped => "dropped",
            Self::DroppedNodePorts => "dropped_node_ports",
            Self::Owned => "owned",
            Self::Hairpins => "hairpins",
            Self::Remote => "remote",
            Self::Guarded => "guarded",
            Self::Admitted => "admitted",
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
pub type Element = (Map, Key);

/// What an element is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Where something listens.
    Door(Door),
    /// A door, and the number of one of those behind it.
    Slot(Door, u32),
    /// A mark of an endpoint.
    Mark(u32),
    /// An address, and the same again.
    Twice(Ipv4Addr),
    /// An address.
    Address(Ipv4Addr),
    /// A door, and who comes to it.
    From(Door, Network),
}

/// What an element says. None leads to a chain: the kernel would look at all elements of the map for each that is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// It is there: elements of sets say no more.
    Nothing,
    /// The mark of an endpoint, or the number of the chain that draws one.
    Mark(u32),
    /// Address and port of an endpoint.
    Endpoint(Ipv4Addr, u16),
}

impl fmt::Display for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address {
            write!(out, "{address} . ")?;
        }
        write!(out, "{} . {}", self.protocol, self.port)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Door(door) => door.fmt(out),
            Self::Slot(door, slot) => write!(out, "{door} . {slot}"),
            Self::Mark(mark) => write!(out, "0x{mark:08x}"),
            Self::Twice(address) => write!(out, "{address} . {address}"),
            Self::Address(address) => address.fmt(out),
            Self::From(door, network) => write!(out, "{door} . {}/{}", network.first, network.prefix),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Mark(mark) => write!(out, "0x{mark:08x}"),
            Self::Endpoint(address, port) => write!(out, "{address} . {port}"),
        }
    }
}
