//! Large answers, packed as they are written.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Speed over size, as Kubernetes chose: the network is seldom slower than the packer.
const LEVEL: Compression = Compression::new(1);

/// Packs pieces one by one.
pub(super) struct Gzip<I> {
    pieces: I,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I: Iterator<Item = Bytes>> Gzip<I> {
    /// Packs these.
    pub(super) fn new(pieces: I) -> Self {
        Self { pieces, encoder: Some(GzEncoder::new(Vec::new(), LEVEL)) }
    }
}

impl<I: Iterator<Item = Bytes>> Iterator for Gzip<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let encoder = self.encoder.as_mut()?;
            let Some(piece) = self.pieces.next() else {
                let rest = self.encoder.take()?.finish();
                return rest.ok().map(Bytes::from);
            };
            encoder.write_all(&piece).expect("packing into memory cannot fail");
            if !encoder.get_ref().is_empty() {
                return Some(std::mem::take(encoder.get_mut()).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_packed_unpacks_to_the_same() {
        let pieces: Vec<Bytes> =
            (0..500).map(|number| Bytes::from(format!("piece {number} of many; ").repeat(50))).collect();
        let packed: Vec<u8> = Gzip::new(pieces.iter().cloned()).flatten().collect();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, pieces.concat());
        assert!(packed.len() < unpacked.len() / 10);
    }
}
