//! Routes of ours, as the kernel is told of them and tells them.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

use xxhash_rust::xxh3::xxh3_64;

use super::Way;
use crate::netlink::{HEADER_BYTES, IS_REQUEST, WANTS_ANSWER, Wire, attribute, attributes};
use crate::proxy::frontend::Network;

// As in linux/rtnetlink.h.
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const REPLACES: u16 = 0x100;
const CREATES: u16 = 0x400;
const WANTS_ALL: u16 = 0x300;
const IPV4: u8 = 2;
const MAIN_TABLE: u8 = 254;
const FROM_ANYWHERE: u8 = 0;
const TO_HOSTS: u8 = 1;
/// The length of what stands before the attributes of a route.
const ROUTE_BYTES: usize = 12;
const DESTINATION: u16 = 1;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
/// Who made a route, as `ip route` shows: `proto 83`, which nobody has.
const OURS: u8 = 83;
/// What went that was not there.
const NO_SUCH_ROUTE: i32 = 3;

/// The mark of a cluster's routes: their metric.
pub(super) fn owner(cluster: &str) -> u32 {
    // Large enough that a route somebody makes by hand comes first.
    0x4000_0000 | (xxh3_64(cluster.as_bytes()) as u32 & 0x3fff_ffff)
}

/// The kernel's table of routes.
pub(super) struct Kernel {
    wire: Wire,
    owner: u32,
    sequence: u32,
}

impl Kernel {
    /// Opens a line to it.
    pub(super) fn open(owner: u32) -> io::Result<Self> {
        Ok(Self { wire: Wire::open(None)?, owner, sequence: 0 })
    }

    pub(super) fn put(&mut self, way: Way) -> io::Result<()> {
        let message = self.message(NEW_ROUTE, CREATES | REPLACES | WANTS_ANSWER, Some(way));
        self.wire.tell(&message)
    }

    /// One that is not there is removed already.
    pub(super) fn remove(&mut self, way: Way) -> io::Result<()> {
        let message = self.message(DELETE_ROUTE, WANTS_ANSWER, Some(way));
        match self.wire.tell(&message) {
            Err(error) if error.raw_os_error() == Some(NO_SUCH_ROUTE) => Ok(()),
            told => told,
        }
    }

    /// Those of ours it has.
    pub(super) fn ways(&mut self) -> io::Result<BTreeSet<Way>> {
        let message = self.message(GET_ROUTE, WANTS_ALL, None);
        let answers = self.wire.ask_all(&message)?;
        Ok(answers.iter().filter(|it| it.kind == NEW_ROUTE).filter_map(|it| self.read(&it.content)).collect())
    }

    fn message(&mut self, kind: u16, flags: u16, way: Option<Way>) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = vec![0; HEADER_BYTES];
        let prefix = way.map_or(0, |way| way.range.prefix);
        bytes.extend([IPV4, prefix, 0, 0, MAIN_TABLE, OURS, FROM_ANYWHERE, TO_HOSTS, 0, 0, 0, 0]);
        if let Some(Way { range, via }) = way {
            attribute(&mut bytes, DESTINATION, &range.first.octets());
            attribute(&mut bytes, GATEWAY, &via.octets());
            attribute(&mut bytes, PRIORITY, &self.owner.to_ne_bytes());
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &(flags | IS_REQUEST).to_ne_bytes()].concat();
        let header = [header, self.sequence.to_ne_bytes().to_vec(), vec![0; 4]].concat();
        bytes.splice(..HEADER_BYTES, header);
        bytes
    }

    fn read(&self, content: &[u8]) -> Option<Way> {
        let (head, rest) = content.split_at_checked(ROUTE_BYTES)?;
        let (prefix, table, made_by) = (*head.get(1)?, *head.get(4)?, *head.get(5)?);
        let found = attributes(rest);
        let number = |kind: u16| -> Option<[u8; 4]> {
            found.iter().find(|(it, _)| *it == kind).and_then(|(_, content)| content.first_chunk().copied())
        };
        let is_ours =
            (table, made_by) == (MAIN_TABLE, OURS) && number(PRIORITY).map(u32::from_ne_bytes) == Some(self.owner);
        let range = Network { first: Ipv4Addr::from(number(DESTINATION)?), prefix };
        is_ours.then_some(Way { range, via: Ipv4Addr::from(number(GATEWAY)?) })
    }
}
