//! Reading fjall's journal before fjall does.
//!
//! At open, fjall 3.1 takes an unreadable frame for the end of the journal and cuts the file there, whatever follows; and
//! it refuses to open when the last batch was torn. So the journal is read here first. A torn last batch that nobody was
//! told of is cut off and its bytes are kept beside; any other damage is refused, with nothing changed.
//!
//! The format: a batch is a start (tag 1, item count `u32`, sequence number `u64`), items (tag 2, value type `u8`,
//! compression `u8`, keyspace `u64`, key length `u16`, value length `u32`, stored length `u32`, key, value) or clears (tag
//! 4, keyspace `u64`), and an end (tag 3, XXH3 of the items' bytes `u64`, the trailer). Integers are little-endian. What
//! follows the last batch is zero: the file is allocated ahead.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::{failed, sync_directory};
use crate::object::Revision;
use crate::store::{OpenError, codec};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";
const CHUNK_BYTES: u64 = 1 << 20;
/// Twice what a group may hold.
const UNUSED_BYTES: usize = 16 << 20;
/// How far the sequence number of a batch may lie above the one before: flushes take numbers too, but few.
const SEQUENCE_STEP_MAX: u64 = 1 << 20;
/// Where what was cut off is kept; the last one only.
const KEPT_TAIL: &str = "torn-tail";

/// Reads all journals of the database, and makes the last one end with a whole batch.
pub(super) fn inspect(database: &Path, acknowledged: Revision) -> Result<(), OpenError> {
    let journals = journals(database).map_err(|error| failed("list the journals", &error))?;
    let mut recoverable = None;
    for (index, path) in journals.iter().enumerate() {
        let bytes = read(path).map_err(|error| failed("read the journal", &error))?;
        let survey = Survey::of(&bytes);
        recoverable = recoverable.max(survey.last_revision);
        if survey.is_whole {
            continue;
        }
        let is_last = index + 1 == journals.len();
        let is_told = recoverable.is_some_and(|revision| revision < acknowledged);
        if !is_last || is_told || survey.goes_on(&bytes) {
            return Err(OpenError::JournalDamaged {
                file: path.display().to_string(),
                offset: survey.end as u64,
                acknowledged,
                recoverable: recoverable.unwrap_or_default(),
            });
        }
        cut(path, &bytes, survey.end).map_err(|error| failed("cut off the journal's torn tail", &error))?;
        tracing::info!(journal = %path.display(), at = survey.end, "a write nobody was told of was torn: cut off");
    }
    Ok(())
}

/// The journals, oldest first.
pub(super) fn journals(database: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(database) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "jnl")) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// What is written in a journal. The file is allocated ahead with zeros; more of them in a row than any batch is long end
/// what is written.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    let mut used = 0;
    while bytes.len() - used < UNUSED_BYTES && file.by_ref().take(CHUNK_BYTES).read_to_end(&mut bytes)? > 0 {
        used += length_without_zeros(bytes.get(used..).unwrap_or_default());
    }
    bytes.truncate(used);
    Ok(bytes)
}

/// Where the zeros begin that `bytes` end with. Compared by the page: there are many.
fn length_without_zeros(bytes: &[u8]) -> usize {
    const PAGE: [u8; 4096] = [0; 4096];
    let mut length = bytes.len();
    for page in bytes.rchunks(PAGE.len()) {
        if PAGE.get(..page.len()).is_some_and(|zeros| zeros != page) {
            return length - page.len() + page.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        }
        length -= page.len();
    }
    0
}

/// Ends the journal at `end`, after keeping what follows.
fn cut(path: &Path, bytes: &[u8], end: usize) -> io::Result<()> {
    let database = path.parent().unwrap_or(path);
    let kept = database.join(KEPT_TAIL);
    fs::write(&kept, bytes.get(end..).unwrap_or_default())?;
    File::open(&kept)?.sync_all()?;
    sync_directory(database)?;
    let journal = File::options().write(true).open(path)?;
    journal.set_len(end as u64)?;
    journal.sync_all()
}

/// What a journal holds.
struct Survey {
    /// Where the last whole batch ends.
    end: usize,
    /// Whether nothing follows.
    is_whole: bool,
    /// The last change found in it.
    last_revision: Option<Revision>,
}

impl Survey {
    fn of(bytes: &[u8]) -> Self {
        let mut rest = Cursor { bytes, at: 0 };
        let mut survey = Self { end: 0, is_whole: false, last_revision: None };
        let mut sequence = None;
        while let Some(batch) = rest.batch() {
            // The checksum does not cover the sequence number.
            if sequence.is_some_and(|last| batch.sequence <= last || batch.sequence - last > SEQUENCE_STEP_MAX) {
                break;
            }
            sequence = Some(batch.sequence);
            survey.last_revision = survey.last_revision.max(batch.last_revision);
            survey.end = rest.at;
        }
        survey.is_whole = survey.end == bytes.len();
        survey
    }

    /// Whether a whole batch follows the damage: then it is no torn tail, because batches are written in order.
    fn goes_on(&self, bytes: &[u8]) -> bool {
        let tail = bytes.get(self.end..).unwrap_or_default();
        let trailers = tail.windows(TRAILER.len()).enumerate().filter(|(_, window)| window == TRAILER);
        let starts = trailers.map(|(at, _)| at + TRAILER.len());
        std::iter::once(0).chain(starts).any(|at| Cursor { bytes: tail, at }.batch().is_some())
    }
}

struct Batch {
    sequence: u64,
    /// The last change it holds.
    last_revision: Option<Revision>,
}

struct Cursor<'j> {
    bytes: &'j [u8],
    at: usize,
}

impl<'j> Cursor<'j> {
    /// Reads a whole batch; `None` where there is none.
    fn batch(&mut self) -> Option<Batch> {
        if self.u8()? != START {
            return None;
        }
        let items = self.u32()?;
        let sequence = self.u64()?;
        let start = self.at;
        let mut last_revision = None;
        for _ in 0..items {
            last_revision = last_revision.max(self.item()?.logged());
        }
        let sum = xxh3_64(self.bytes.get(start..self.at)?);
        let is_whole = self.u8()? == END && self.u64()? == sum && self.take(TRAILER.len())? == TRAILER;
        is_whole.then_some(Batch { sequence, last_revision })
    }

    fn item(&mut self) -> Option<Item<'j>> {
        match self.u8()? {
            CLEAR => self.take(8).map(|_| Item { key: &[], value: &[] }),
            ITEM => {
                self.take(2 + 8)?;
                let key_length = usize::from(u16::from_le_bytes(*self.take(2)?.first_chunk()?));
                self.u32()?;
                let value_length = self.u32()? as usize;
                let key = self.take(key_length)?;
                let value = self.take(value_length)?;
                Some(Item { key, value })
            }
            _ => None,
        }
    }

    fn take(&mut self, length: usize) -> Option<&'j [u8]> {
        let end = self.at.checked_add(length)?;
        let found = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(found)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

struct Item<'j> {
    key: &'j [u8],
    value: &'j [u8],
}

impl Item<'_> {
    /// The revision, if this is a row of the log. The journal names keyspaces by number only, so a row is known by what
    /// it says.
    fn logged(&self) -> Option<Revision> {
        let revision = Revision(u64::from_be_bytes(self.key.try_into().ok()?));
        let (_, said, _) = codec::event_outcome(self.value).ok()?;
        (said == revision).then_some(revision)
    }
}
