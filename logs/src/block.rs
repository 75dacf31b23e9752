//! Lines as one compressed record on disk.
//!
//! ```text
//! header  magic, lengths, count, first sequence, earliest and latest time, position behind the block, checksum
//! payload (zstd)  per line: varint(time since the line before), varint(length << 2 | stream); then all texts
//! ```

use crate::line::{LineRef, Lines, Mark, Stream};
use crate::tail::Position;

/// The bytes of a header.
pub(crate) const HEADER_BYTES: usize = 68;
/// What a block begins with, and the version of what follows.
const MAGIC: [u8; 4] = *b"SLB1";
/// Compressed quickly: what is collected may never cost a container's time.
const LEVEL: i32 = 1;
/// The most bytes a payload may claim to unpack to: more is damage.
const RAW_BYTES_MAX: u32 = 256 << 20;

/// What is told of a block before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) count: u32,
    pub(crate) first_sequence: u64,
    pub(crate) earliest_ns: i64,
    pub(crate) latest_ns: i64,
    /// Where to read on in Docker's files behind these lines.
    pub(crate) position: Position,
    checksum: u32,
}

/// Encodes lines, header and payload.
pub(crate) fn encode(lines: &Lines, position: Position) -> std::io::Result<Vec<u8>> {
    let raw = raw(lines);
    let payload = zstd::bulk::compress(&raw, LEVEL)?;
    let (earliest_ns, latest_ns) = lines.times();
    let length = |bytes: usize| u32::try_from(bytes).map_err(std::io::Error::other);
    let mut header = Header {
        payload_bytes: length(payload.len())?,
        raw_bytes: length(raw.len())?,
        count: length(lines.len())?,
        first_sequence: lines.first_sequence,
        earliest_ns,
        latest_ns,
        position,
        checksum: 0,
    };
    header.checksum = header.checksum_with(&payload);
    let mut block = header.bytes().to_vec();
    block.extend_from_slice(&payload);
    Ok(block)
}

impl Header {
    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let Position { file, offset, skip } = self.position;
        let short = [self.payload_bytes, self.raw_bytes, self.count].map(u32::to_le_bytes);
        let long = [self.first_sequence.to_le_bytes(), self.earliest_ns.to_le_bytes(), self.latest_ns.to_le_bytes()];
        let place = [file, offset, skip].map(u64::to_le_bytes);
        let fields = std::iter::once(MAGIC).chain(short).flatten().chain(long.into_iter().chain(place).flatten());
        let fields = fields.chain(self.checksum.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads a header. Nothing where there is none.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let short = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let header = Self {
            payload_bytes: short(4)?,
            raw_bytes: short(8)?,
            count: short(12)?,
            first_sequence: long(16)?,
            earliest_ns: long(24)?.cast_signed(),
            latest_ns: long(32)?.cast_signed(),
            position: Position { file: long(40)?, offset: long(48)?, skip: long(56)? },
            checksum: short(64)?,
        };
        (bytes.starts_with(&MAGIC) && header.raw_bytes <= RAW_BYTES_MAX).then_some(header)
    }

    fn checksum_with(&self, payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&Self { checksum: 0, ..*self }.bytes());
        hasher.update(payload);
        hasher.finalize()
    }

    /// The sequence behind the last line.
    pub(crate) fn end_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count)
    }

    /// Whether this is the payload that belongs to the header.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        self.checksum == self.checksum_with(payload)
    }

    /// Unpacks a payload: what it tells of its lines, then all their texts. Nothing where it is damaged.
    pub(crate) fn unpack(&self, payload: &[u8]) -> Option<Vec<u8>> {
        if !self.fits(payload) {
            return None;
        }
        zstd::bulk::decompress(payload, self.raw_bytes as usize).ok()
    }

    /// The lines of a payload that was unpacked. Nothing where it is damaged.
    pub(crate) fn parse(&self, raw: &[u8]) -> Option<Lines> {
        let mut rest = raw;
        let mut lines = Lines::starting_at(self.first_sequence);
        let (mut time_ns, mut end) = (self.earliest_ns, 0_u64);
        for _ in 0..self.count {
            time_ns = time_ns.wrapping_add(unfold(varint(&mut rest)?));
            let word = varint(&mut rest)?;
            end += word >> 2;
            let mark = Mark { time_ns, stream: stream(word & 3)?, end: u32::try_from(end).ok()? };
            lines.marks.push(mark);
        }
        (rest.len() as u64 == end).then_some(())?;
        lines.text = rest.to_vec();
        Some(lines)
    }
}

fn raw(lines: &Lines) -> Vec<u8> {
    let mut raw = Vec::with_capacity(lines.text.len() + 8 * lines.len());
    let (mut before, _) = lines.times();
    for LineRef { time_ns, stream, text, .. } in lines.iter() {
        push_varint(&mut raw, fold(time_ns.wrapping_sub(before)));
        push_varint(&mut raw, (text.len() as u64) << 2 | stream_number(stream));
        before = time_ns;
    }
    raw.extend_from_slice(&lines.text);
    raw
}

fn stream_number(stream: Stream) -> u64 {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Notice => 2,
    }
}

fn stream(number: u64) -> Option<Stream> {
    [Stream::Stdout, Stream::Stderr, Stream::Notice].into_iter().find(|stream| stream_number(*stream) == number)
}

/// Small numbers for small distances, forwards or backwards.
fn fold(distance: i64) -> u64 {
    (distance << 1 ^ distance >> 63).cast_unsigned()
}

fn unfold(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed()
}

fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;

    fn lines_of(texts: &[(i64, Stream, &[u8])]) -> Lines {
        let mut lines = Lines::starting_at(7);
        for (time_ns, stream, text) in texts {
            lines.push(&Line { time_ns: *time_ns, stream: *stream, text: text.to_vec() });
        }
        lines
    }

    fn block(lines: &Lines) -> (Header, Vec<u8>) {
        let position = Position { file: 1, offset: 2, skip: 3 };
        let block = encode(lines, position).unwrap();
        let (header, payload) = block.split_at(HEADER_BYTES);
        (Header::read(header.try_into().unwrap()).unwrap(), payload.to_vec())
    }

    fn decode(header: &Header, payload: &[u8]) -> Option<Lines> {
        header.parse(&header.unpack(payload)?)
    }

    #[test]
    fn lines_come_back_whatever_they_hold() {
        let long = vec![b'x'; 1 << 20];
        let cases: [(i64, Stream, &[u8]); 7] = [
            (i64::MAX, Stream::Stdout, b"far ahead"),
            (5, Stream::Stderr, b""),
            (4, Stream::Stdout, b"the clock was set back"),
            (i64::MIN, Stream::Notice, b"before everything"),
            (6, Stream::Stdout, &[0xc3, 0x28, 0, 0xff, b'\r']),
            (6, Stream::Stdout, &long),
            (7, Stream::Stdout, b""),
        ];
        let lines = lines_of(&cases);
        let (header, payload) = block(&lines);
        assert_eq!((header.count, header.first_sequence, header.end_sequence()), (7, 7, 14));
        assert_eq!((header.earliest_ns, header.latest_ns), (i64::MIN, i64::MAX));
        assert_eq!(header.position, Position { file: 1, offset: 2, skip: 3 });
        assert_eq!(decode(&header, &payload), Some(lines));
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_lines() {
        let (header, payload) = block(&lines_of(&[(1, Stream::Stdout, b"hello"), (2, Stream::Stderr, b"world")]));
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&header, &damaged), None, "bit {bit}");
        }
        let mut lying = header;
        lying.count += 1;
        assert_eq!(decode(&lying, &payload), None);
    }
}
