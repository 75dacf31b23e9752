//! Header blocks: names and values, packed over the whole life of a session with a dictionary both ends know.

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::dictionary::dictionary;

/// The headers of a stream, by name in lower case.
pub(in super::super) type Headers = BTreeMap<String, String>;

/// The largest block, unpacked, in bytes: those of streams hold a few short values.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// So much is packed or unpacked at a time, in bytes.
const PIECE_BYTES: usize = 1 << 10;

/// Packs and unpacks header blocks.
pub(super) struct Packer {
    incoming: Decompress,
    outgoing: Compress,
}

impl Packer {
    pub(super) fn new() -> io::Result<Self> {
        let mut outgoing = Compress::new(Compression::best(), true);
        outgoing.set_dictionary(&dictionary()).map_err(io::Error::other)?;
        Ok(Self { incoming: Decompress::new(true), outgoing })
    }

    /// The headers of a block.
    pub(super) fn unpack(&mut self, block: &[u8]) -> io::Result<Headers> {
        let text = self.inflate(block)?;
        parse(text).ok_or_else(|| malformed("a header block is cut off"))
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Bytes> {
        let (mut rest, mut out) = (block, Vec::new());
        loop {
            out.reserve(PIECE_BYTES);
            let (before, filled) = (self.incoming.total_in(), out.len());
            match self.incoming.decompress_vec(rest, &mut out, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.incoming.set_dictionary(&dictionary()).map_err(malformed)?;
                }
                step => drop(step.map_err(malformed)?),
            }
            let read = usize::try_from(self.incoming.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(read..).unwrap_or_default();
            if out.len() > BLOCK_BYTES_MAX {
                return Err(malformed("a header block is too large"));
            }
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(out.into());
            }
            if read == 0 && out.len() == filled {
                return Err(malformed("a header block goes on after its end"));
            }
        }
    }

    /// The block of these headers.
    pub(super) fn pack(&mut self, headers: &Headers) -> io::Result<Bytes> {
        let text = write(headers);
        let (start, mut out) = (self.outgoing.total_in(), Vec::new());
        loop {
            out.reserve(PIECE_BYTES);
            let read = usize::try_from(self.outgoing.total_in() - start).unwrap_or(usize::MAX);
            let rest = text.get(read..).unwrap_or_default();
            self.outgoing.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
            if out.len() < out.capacity() {
                return Ok(out.into());
            }
        }
    }
}

fn parse(mut text: Bytes) -> Option<Headers> {
    let mut headers = Headers::new();
    let count = text.try_get_u32().ok()?;
    for _ in 0..count {
        let name = word(&mut text)?.to_lowercase();
        headers.insert(name, word(&mut text)?);
    }
    Some(headers)
}

fn word(text: &mut Bytes) -> Option<String> {
    let length = usize::try_from(text.try_get_u32().ok()?).ok()?;
    (text.len() >= length).then(|| String::from_utf8_lossy(&text.split_to(length)).into_owned())
}

fn write(headers: &Headers) -> BytesMut {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut out = BytesMut::new();
    out.put_u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        out.put_u32(length(text));
        out.put_slice(text.as_bytes());
    }
    out
}

pub(super) fn malformed(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn blocks_come_back_one_after_another() {
        let (mut here, mut there) = (Packer::new().unwrap(), Packer::new().unwrap());
        let long = "x".repeat(20_000);
        for pairs in [
            headers(&[("streamtype", "error"), ("port", "8080"), ("requestid", "0")]),
            headers(&[]),
            headers(&[("streamtype", &long)]),
            headers(&[("streamtype", "data"), ("port", "8080"), ("requestid", "0")]),
        ] {
            let block = here.pack(&pairs).unwrap();
            assert_eq!(there.unpack(&block).unwrap(), pairs);
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let ended_early = [0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff];
        for block in [&b"nonsense"[..], &[0x78, 0x9c, 0xff, 0xff], &ended_early] {
            assert!(Packer::new().unwrap().unpack(block).is_err());
        }
        let (mut here, mut there) = (Packer::new().unwrap(), Packer::new().unwrap());
        let bomb = here.pack(&headers(&[("a", &"x".repeat(BLOCK_BYTES_MAX))])).unwrap();
        assert!(there.unpack(&bomb).is_err());
    }
}
