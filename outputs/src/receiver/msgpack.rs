//! MessagePack, read and written: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use std::io::{self, Read};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pack {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bin(Vec<u8>),
    List(Vec<Pack>),
    Map(Vec<(Pack, Pack)>),
    Ext(i8, Vec<u8>),
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("MessagePack: {what}"))
}

fn number(from: &mut impl Read, bytes: usize) -> io::Result<u64> {
    Ok(blob(from, bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn signed(from: &mut impl Read, bytes: usize) -> io::Result<Pack> {
    let shift = 64 - 8 * bytes as u32;
    Ok(Pack::Int(i128::from((number(from, bytes)? << shift).cast_signed() >> shift)))
}

fn length(from: &mut impl Read, bytes: usize) -> io::Result<usize> {
    usize::try_from(number(from, bytes)?).map_err(io::Error::other)
}

fn blob(from: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut blob = Vec::new();
    from.take(bytes as u64).read_to_end(&mut blob)?;
    if blob.len() == bytes { Ok(blob) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn text(from: &mut impl Read, bytes: usize) -> io::Result<Pack> {
    Ok(Pack::Text(String::from_utf8(blob(from, bytes)?).map_err(|_| wrong("a text is not UTF-8"))?))
}

fn list(from: &mut impl Read, items: usize) -> io::Result<Pack> {
    Ok(Pack::List((0..items).map(|_| read(from)).collect::<io::Result<_>>()?))
}

fn map(from: &mut impl Read, entries: usize) -> io::Result<Pack> {
    Ok(Pack::Map((0..entries).map(|_| Ok((read(from)?, read(from)?))).collect::<io::Result<_>>()?))
}

fn ext(from: &mut impl Read, bytes: usize) -> io::Result<Pack> {
    let kind = number(from, 1)? as u8;
    Ok(Pack::Ext(kind.cast_signed(), blob(from, bytes)?))
}

/// Reads a value.
pub(super) fn read(from: &mut impl Read) -> io::Result<Pack> {
    // Recursion through `impl Read` stays one type.
    let from: &mut dyn Read = from;
    read_from(from)
}

fn read_from(mut from: &mut dyn Read) -> io::Result<Pack> {
    let from = &mut from;
    let marker = number(from, 1)? as u8;
    match marker {
        0x00..=0x7f => Ok(Pack::Int(marker.into())),
        0x80..=0x8f => map(from, usize::from(marker & 0x0f)),
        0x90..=0x9f => list(from, usize::from(marker & 0x0f)),
        0xa0..=0xbf => text(from, usize::from(marker & 0x1f)),
        0xc0 => Ok(Pack::Nil),
        0xc2 | 0xc3 => Ok(Pack::Bool(marker == 0xc3)),
        0xc4..=0xc6 => {
            let bytes = length(from, 1 << (marker - 0xc4))?;
            Ok(Pack::Bin(blob(from, bytes)?))
        }
        0xc7..=0xc9 => {
            let bytes = length(from, 1 << (marker - 0xc7))?;
            ext(from, bytes)
        }
        0xca => Ok(Pack::Float(f32::from_bits(number(from, 4)? as u32).into())),
        0xcb => Ok(Pack::Float(f64::from_bits(number(from, 8)?))),
        0xcc..=0xcf => Ok(Pack::Int(number(from, 1 << (marker - 0xcc))?.into())),
        0xd0..=0xd3 => signed(from, 1 << (marker - 0xd0)),
        0xd4..=0xd8 => ext(from, 1 << (marker - 0xd4)),
        0xd9..=0xdb => {
            let bytes = length(from, 1 << (marker - 0xd9))?;
            text(from, bytes)
        }
        0xdc | 0xdd => {
            let items = length(from, 2 << (marker - 0xdc))?;
            list(from, items)
        }
        0xde | 0xdf => {
            let entries = length(from, 2 << (marker - 0xde))?;
            map(from, entries)
        }
        0xe0..=0xff => Ok(Pack::Int(marker.cast_signed().into())),
        0xc1 => Err(wrong("0xc1 is never used")),
    }
}

/// Writes a value: what a collector says needs no more than these.
pub(super) fn write(to: &mut Vec<u8>, value: &Pack) {
    match value {
        Pack::Bool(truth) => to.push(if *truth { 0xc3 } else { 0xc2 }),
        Pack::Text(text) => {
            to.push(0xdb);
            to.extend_from_slice(&(text.len() as u32).to_be_bytes());
            to.extend_from_slice(text.as_bytes());
        }
        Pack::Bin(bytes) => {
            to.push(0xc6);
            to.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            to.extend_from_slice(bytes);
        }
        Pack::List(items) => {
            to.push(0xdd);
            to.extend_from_slice(&(items.len() as u32).to_be_bytes());
            items.iter().for_each(|item| write(to, item));
        }
        Pack::Map(entries) => {
            to.push(0xdf);
            to.extend_from_slice(&(entries.len() as u32).to_be_bytes());
            entries.iter().for_each(|(key, value)| {
                write(to, key);
                write(to, value);
            });
        }
        other => panic!("a collector does not say {other:?}"),
    }
}

impl Pack {
    /// The text it is.
    pub(super) fn text(&self) -> io::Result<&str> {
        if let Self::Text(text) = self { Ok(text) } else { Err(wrong("a text was expected")) }
    }

    /// The list of so many items it is.
    pub(super) fn items<const N: usize>(self) -> io::Result<[Pack; N]> {
        let Self::List(items) = self else { return Err(wrong("a list was expected")) };
        items.try_into().map_err(|items: Vec<Pack>| wrong(&format!("{N} items were expected, not {}", items.len())))
    }

    /// The value of a key of the map it is.
    pub(super) fn get(&self, key: &str) -> Option<&Pack> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name.text().is_ok_and(|name| name == key)).map(|(_, value)| value)
    }

    /// The same as JSON.
    pub(super) fn json(self) -> io::Result<serde_json::Value> {
        use serde_json::Value;
        Ok(match self {
            Self::Nil => Value::Null,
            Self::Bool(truth) => truth.into(),
            Self::Int(number) => i64::try_from(number)
                .map(Value::from)
                .or_else(|_| u64::try_from(number).map(Value::from))
                .map_err(io::Error::other)?,
            Self::Float(number) => number.into(),
            Self::Text(text) => text.into(),
            Self::List(items) => items.into_iter().map(Self::json).collect::<io::Result<Vec<_>>>()?.into(),
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(key, value)| Ok((key.text()?.to_owned(), value.json()?)));
                Value::Object(entries.collect::<io::Result<_>>()?)
            }
            Self::Bin(_) | Self::Ext(..) => return Err(wrong("a record holds what JSON cannot")),
        })
    }
}
