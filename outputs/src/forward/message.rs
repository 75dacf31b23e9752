//! Messages of the forward protocol, version 1, in MessagePack.
//!
//! See <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1>.

use std::fmt::Write as _;
use std::io;

use ring::digest::{Context, SHA512};
use rmp::encode;
use sampan_logs::output::{Chunk, Shape};
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};

/// The extension type of a time in seconds and nanoseconds, and its length.
const EVENT_TIME: i8 = 0;
const EVENT_TIME_BYTES: u32 = 8;

/// Bytes, which some write as a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

/// `["HELO", options]`: what the collector asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Helo(pub(crate) String, pub(crate) HeloOptions);

#[derive(Debug, Deserialize)]
pub(crate) struct HeloOptions {
    #[serde(default)]
    pub(crate) nonce: Blob,
    /// The salt of the user's password; empty where no user is asked for.
    #[serde(default)]
    pub(crate) auth: Blob,
    #[serde(default = "yes")]
    pub(crate) keepalive: bool,
}

fn yes() -> bool {
    true
}

/// `["PING", …]`: who we are.
#[derive(Debug, Serialize)]
pub(crate) struct Ping<'a>(
    pub(crate) &'static str,
    pub(crate) &'a str,
    pub(crate) &'a str,
    pub(crate) &'a str,
    pub(crate) &'a str,
    pub(crate) &'a str,
);

/// `["PONG", …]`: whether that will do, why not, and who the collector is.
#[derive(Debug, Deserialize)]
pub(crate) struct Pong(pub(crate) String, pub(crate) bool, pub(crate) String, pub(crate) String, pub(crate) String);

/// `{"ack": chunk}`.
#[derive(Debug, Deserialize)]
pub(crate) struct Acknowledgement {
    pub(crate) ack: String,
}

/// The entries of a chunk, one behind the other: `[EventTime, record]`.
pub(crate) fn entries(chunk: &Chunk, shape: &Shape) -> io::Result<Vec<u8>> {
    let mut entries = Vec::new();
    for joined in &chunk.records {
        let record = shape.record(joined);
        encode::write_array_len(&mut entries, 2)?;
        write_event_time(&mut entries, record.time_ns())?;
        rmp_serde::encode::write_named(&mut entries, &record).map_err(io::Error::other)?;
    }
    Ok(entries)
}

/// A time before 1970 or after 2106 has no place in the protocol: it is told as the nearest that has.
fn write_event_time(bytes: &mut Vec<u8>, time_ns: i64) -> io::Result<()> {
    let latest_ns = i64::from(u32::MAX) * 1_000_000_000 + 999_999_999;
    let time_ns = time_ns.clamp(0, latest_ns).cast_unsigned();
    encode::write_ext_meta(bytes, EVENT_TIME_BYTES, EVENT_TIME)?;
    for part in [time_ns / 1_000_000_000, time_ns % 1_000_000_000] {
        bytes.extend_from_slice(&u32::try_from(part).map_err(io::Error::other)?.to_be_bytes());
    }
    Ok(())
}

/// `[tag, entries, options]`, the entries compressed or not.
pub(crate) fn packed_forward(tag: &str, entries: &[u8], count: usize, gzip: bool, chunk: &str) -> io::Result<Vec<u8>> {
    let mut message = Vec::with_capacity(entries.len() + 128);
    encode::write_array_len(&mut message, 3)?;
    encode::write_str(&mut message, tag)?;
    encode::write_bin(&mut message, entries)?;
    encode::write_map_len(&mut message, if gzip { 3 } else { 2 })?;
    encode::write_str(&mut message, "size")?;
    encode::write_uint(&mut message, count as u64)?;
    encode::write_str(&mut message, "chunk")?;
    encode::write_str(&mut message, chunk)?;
    if gzip {
        encode::write_str(&mut message, "compressed")?;
        encode::write_str(&mut message, "gzip")?;
    }
    Ok(message)
}

/// The digest by which who knows a secret proves it, in hexadecimal.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA512);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().iter().fold(String::with_capacity(128), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Blob, E> {
                Ok(Blob(text.as_bytes().to_vec()))
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Blob, E> {
                Ok(Blob::default())
            }
        }
        deserializer.deserialize_any(Bytes).map_err(D::Error::custom)
    }
}
