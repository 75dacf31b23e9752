//! Chunks as they are sent.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};
use sampan_logs::output::{Chunk, Shape};

use crate::forward::message;

/// Bytes of a chunk's id: as many as a collector expects.
const ID_BYTES: usize = 16;

/// How a chunk is written.
#[derive(Debug, Clone)]
pub(crate) enum Encoding {
    /// A JSON object a line.
    Lines { gzip: bool },
    /// A message of the forward protocol.
    Forward { tag: String, gzip: bool },
}

/// A chunk, written. However often it is sent, it is the same.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// What the collector acknowledges it by.
    pub(crate) chunk: String,
}

impl Encoding {
    pub(crate) fn encode(&self, chunk: &Chunk, shape: &Shape) -> Body {
        let written = match self {
            Self::Lines { gzip } => lines(chunk, shape).and_then(|lines| packed(lines, *gzip)),
            Self::Forward { gzip, .. } => message::entries(chunk, shape).and_then(|entries| packed(entries, *gzip)),
        };
        let bytes = written.expect("memory takes what is written to it, and records are maps of plain values");
        let id = chunk_id(&bytes);
        match self {
            Self::Lines { .. } => Body { bytes: bytes.into(), chunk: id },
            Self::Forward { tag, gzip } => {
                let message = message::packed_forward(tag, &bytes, chunk.records.len(), *gzip, &id);
                Body { bytes: message.expect("memory takes what is written to it").into(), chunk: id }
            }
        }
    }
}

fn lines(chunk: &Chunk, shape: &Shape) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for joined in &chunk.records {
        serde_json::to_writer(&mut lines, &shape.record(joined))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn packed(bytes: Vec<u8>, gzip: bool) -> io::Result<Vec<u8>> {
    if !gzip {
        return Ok(bytes);
    }
    // Quickly: it is text, and the node has other work.
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    encoder.write_all(&bytes)?;
    encoder.finish()
}

/// What is in a chunk tells it from every other.
fn chunk_id(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    STANDARD.encode(digest.as_ref().first_chunk::<ID_BYTES>().expect("a digest is longer"))
}
