//! The high-water mark: the last revision that was acknowledged, in a file of its own.
//!
//! The journal cannot tell that its end is missing; this file can. It is written beside a group, by a thread of its own, so
//! that both wait for the disk at the same time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::{failed, sync_directory};
use crate::object::Revision;
use crate::store::{Damage, OpenError};

/// Two slots, a page apart and written in turn: a torn write leaves the other.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
/// A revision and its CRC-32.
const SLOT_BYTES: usize = 12;
const FILE_BYTES: u64 = 8192;

pub(super) struct Mark {
    written: Revision,
    orders: Sender<(u64, Revision)>,
    done: Receiver<io::Result<()>>,
    under_way: Option<Revision>,
    /// Where the next one goes: never over the newest.
    next_slot: usize,
    syncs: u64,
}

impl Mark {
    /// Reads the mark, or makes one at revision 0, and starts the thread that writes it.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let (written, newest_slot) = match File::open(path) {
            Ok(file) => read(&file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(|error| failed("create the high-water mark", &error))?;
                (Revision(0), 0)
            }
            Err(error) => return Err(failed("open the high-water mark", &error).into()),
        };
        let file = File::options().write(true).open(path);
        let file = file.map_err(|error| failed("open the high-water mark", &error))?;
        let (orders, queue) = channel::<(u64, Revision)>();
        let (reply, done) = channel();
        let writer = std::thread::Builder::new().name("store-mark".to_owned());
        let started = writer.spawn(move || {
            for (offset, revision) in queue {
                if reply.send(write(&file, offset, revision)).is_err() {
                    break;
                }
            }
        });
        started.map_err(|error| failed("start a thread", &error))?;
        let next_slot = 1 - newest_slot;
        Ok(Self { written, orders, done, under_way: None, next_slot, syncs: 0 })
    }

    /// The revision known to have been acknowledged.
    pub(super) fn revision(&self) -> Revision {
        self.written
    }

    /// How often the file was synced.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Starts to write the mark, if it moves.
    pub(super) fn begin(&mut self, acknowledged: Revision) {
        if acknowledged <= self.written {
            return;
        }
        let offset = SLOT_OFFSETS.get(self.next_slot).copied().unwrap_or_default();
        if self.orders.send((offset, acknowledged)).is_ok() {
            self.under_way = Some(acknowledged);
        }
    }

    /// Waits until the mark is written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(revision) = self.under_way.take() else { return Ok(()) };
        self.done.recv().map_err(io::Error::other)??;
        self.written = revision;
        self.next_slot = 1 - self.next_slot;
        self.syncs += 1;
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<()> {
    let file = File::create_new(path)?;
    file.set_len(FILE_BYTES)?;
    for offset in SLOT_OFFSETS {
        write(&file, offset, Revision(0))?;
    }
    file.sync_all()?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn write(file: &File, offset: u64, revision: Revision) -> io::Result<()> {
    let digits = revision.0.to_le_bytes();
    let slot = [&digits[..], &crc32fast::hash(&digits).to_le_bytes()].concat();
    file.write_all_at(&slot, offset)?;
    file.sync_data()
}

/// The newest mark, and the slot it is in.
fn read(file: &File) -> Result<(Revision, usize), OpenError> {
    let slots = SLOT_OFFSETS.iter().enumerate().filter_map(|(index, offset)| {
        let mut slot = [0; SLOT_BYTES];
        file.read_exact_at(&mut slot, *offset).ok()?;
        let (digits, sum) = slot.split_first_chunk::<8>()?;
        (crc32fast::hash(digits).to_le_bytes() == *sum).then(|| (Revision(u64::from_le_bytes(*digits)), index))
    });
    slots.max().ok_or(OpenError::Record {
        keyspace: "acknowledged",
        key: "high-water mark".to_owned(),
        damage: Damage::Checksum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path) -> Revision {
        Mark::open(path).unwrap().revision()
    }

    #[test]
    fn the_mark_is_read_back_and_never_falls() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        for revision in [1, 7, 5] {
            let mut mark = Mark::open(&path).unwrap();
            mark.begin(Revision(revision));
            mark.finish().unwrap();
        }
        assert_eq!(written(&path), Revision(7));
    }

    #[test]
    fn the_first_write_after_open_leaves_the_newest_mark_alone() {
        for syncs in 1..=3 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("mark");
            for revision in 1..=syncs {
                let mut mark = Mark::open(&path).unwrap();
                mark.begin(Revision(revision));
                mark.finish().unwrap();
            }
            let (newest, slot) = read(&File::open(&path).unwrap()).unwrap();
            assert_eq!(newest, Revision(syncs));
            assert_ne!(Mark::open(&path).unwrap().next_slot, slot, "after {syncs} syncs");
        }
    }

    #[test]
    fn a_torn_mark_leaves_the_one_before_and_two_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let mut mark = Mark::open(&path).unwrap();
        for revision in [10, 20] {
            mark.begin(Revision(revision));
            mark.finish().unwrap();
        }
        drop(mark);
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff; 4], SLOT_OFFSETS[0]).unwrap();
        assert_eq!(written(&path), Revision(10));
        file.write_all_at(&[0xff; 4], SLOT_OFFSETS[1]).unwrap();
        assert!(matches!(Mark::open(&path), Err(OpenError::Record { .. })));
    }
}
