//! Frames of SPDY/3.1, as bytes and back.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::headers::{Headers, Packer, malformed};

const VERSION: u16 = 3;
const IS_CONTROL: u32 = 1 << 31;
const HEAD_BYTES: usize = 8;
/// The flag of the last frame of a stream in one direction.
const FIN: u8 = 1;
/// The longest control frame, in bytes: those that open streams hold a few short headers.
const CONTROL_BYTES_MAX: usize = 64 << 10;
/// So much of a data frame is told at one time at most, in bytes.
const PIECE_BYTES_MAX: usize = 64 << 10;
/// A length is three bytes.
const LENGTH_MASK: u32 = 0x00ff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// The number of a stream.
pub(in super::super) type StreamId = u32;

/// A frame. What kubectl neither sends nor minds (settings, windows) is left out: it is read over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Open { stream: StreamId, headers: Headers, last: bool },
    Accept { stream: StreamId },
    Reset { stream: StreamId, status: u32 },
    Ping { id: u32 },
    GoAway,
    Data { stream: StreamId, bytes: Bytes, last: bool },
}

/// Reads and writes frames. A data frame, which may be 16 MiB long, is told in pieces as its bytes come, so that none is
/// held in memory whole.
pub(super) struct Codec {
    packer: Packer,
    /// The data frame whose bytes come next.
    within: Option<Within>,
}

/// What is left of a data frame.
struct Within {
    stream: StreamId,
    left: usize,
    last: bool,
}

impl Codec {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { packer: Packer::new()?, within: None })
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: Bytes) -> io::Result<Option<Frame>> {
        let last = flags & FIN != 0;
        let mut number = || body.try_get_u32().map_err(|_| malformed("a control frame is cut off"));
        Ok(Some(match kind {
            SYN_STREAM => {
                let stream = number()? & !IS_CONTROL;
                // The stream it belongs to, its priority and its slot.
                number()?;
                body.try_get_u16().map_err(|_| malformed("a control frame is cut off"))?;
                Frame::Open { stream, headers: self.packer.unpack(&body)?, last }
            }
            SYN_REPLY | HEADERS => {
                number()?;
                // Read all the same: every block is packed on top of those before it.
                self.packer.unpack(&body)?;
                return Ok(None);
            }
            RST_STREAM => Frame::Reset { stream: number()? & !IS_CONTROL, status: number()? },
            PING => Frame::Ping { id: number()? },
            GOAWAY => Frame::GoAway,
            _ => return Ok(None),
        }))
    }

    /// The next piece of a data frame, once some of it is there.
    fn piece(&mut self, within: Within, read: &mut BytesMut) -> Option<Frame> {
        let Within { stream, left, last } = within;
        let length = left.min(read.len()).min(PIECE_BYTES_MAX);
        if length == 0 && left > 0 {
            self.within = Some(within);
            return None;
        }
        let (bytes, left) = (read.split_to(length).freeze(), left - length);
        self.within = (left > 0).then_some(Within { stream, left, last });
        Some(Frame::Data { stream, bytes, last: last && left == 0 })
    }
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, read: &mut BytesMut) -> io::Result<Option<Frame>> {
        loop {
            if let Some(within) = self.within.take() {
                return Ok(self.piece(within, read));
            }
            let mut head = read.as_ref();
            let (Ok(first), Ok(second)) = (head.try_get_u32(), head.try_get_u32()) else { return Ok(None) };
            let [flags, ..] = second.to_be_bytes();
            let left = (second & LENGTH_MASK) as usize;
            if first & IS_CONTROL == 0 {
                read.advance(HEAD_BYTES);
                self.within = Some(Within { stream: first, left, last: flags & FIN != 0 });
                continue;
            }
            if left > CONTROL_BYTES_MAX {
                return Err(malformed(format!("a control frame of {left} bytes is too long")));
            }
            let length = HEAD_BYTES + left;
            if read.len() < length {
                read.reserve(length - read.len());
                return Ok(None);
            }
            let body = read.split_to(length).freeze().slice(HEAD_BYTES..);
            let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
            if version != VERSION {
                return Err(malformed(format!("SPDY version {version} is not spoken here, only {VERSION}")));
            }
            if let Some(frame) = self.control(kind, flags, body)? {
                return Ok(Some(frame));
            }
        }
    }
}

impl Encoder<Frame> for Codec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, out: &mut BytesMut) -> io::Result<()> {
        let flags = |last: bool| if last { FIN } else { 0 };
        let mut body = BytesMut::new();
        match frame {
            Frame::Data { stream, bytes, last } => {
                put_head(out, stream, flags(last), bytes.len());
                out.extend_from_slice(&bytes);
            }
            Frame::Open { stream, headers, last } => {
                body.put_u32(stream);
                body.put_bytes(0, 6);
                body.extend_from_slice(&self.packer.pack(&headers)?);
                put_control(out, SYN_STREAM, flags(last), &body);
            }
            Frame::Accept { stream } => {
                body.put_u32(stream);
                body.extend_from_slice(&self.packer.pack(&Headers::new())?);
                put_control(out, SYN_REPLY, 0, &body);
            }
            Frame::Reset { stream, status } => {
                body.put_u32(stream);
                body.put_u32(status);
                put_control(out, RST_STREAM, 0, &body);
            }
            Frame::Ping { id } => {
                body.put_u32(id);
                put_control(out, PING, 0, &body);
            }
            Frame::GoAway => {
                body.put_bytes(0, 8);
                put_control(out, GOAWAY, 0, &body);
            }
        }
        Ok(())
    }
}

fn put_control(out: &mut BytesMut, kind: u16, flags: u8, body: &[u8]) {
    put_head(out, IS_CONTROL | u32::from(VERSION) << 16 | u32::from(kind), flags, body.len());
    out.extend_from_slice(body);
}

fn put_head(out: &mut BytesMut, first: u32, flags: u8, length: usize) {
    out.put_u32(first);
    out.put_u32(u32::from(flags) << 24 | u32::try_from(length).unwrap_or(u32::MAX) & LENGTH_MASK);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        let headers = Headers::from([("streamtype".to_owned(), "data".to_owned())]);
        vec![
            Frame::Open { stream: 1, headers, last: false },
            Frame::Data { stream: 1, bytes: Bytes::from_static(b"hello"), last: false },
            Frame::Ping { id: 7 },
            Frame::Data { stream: 1, bytes: Bytes::new(), last: true },
            Frame::Reset { stream: 3, status: 5 },
            Frame::GoAway,
        ]
    }

    #[test]
    fn frames_come_back_however_the_bytes_are_cut() {
        let (mut here, mut there) = (Codec::new().unwrap(), Codec::new().unwrap());
        let mut bytes = BytesMut::new();
        for frame in frames() {
            here.encode(frame, &mut bytes).unwrap();
        }
        let (mut read, mut found) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            read.put_u8(byte);
            found.extend(there.decode(&mut read).unwrap());
        }
        assert_eq!(joined(found), frames());
    }

    /// Frames with the pieces of each data frame put together.
    fn joined(pieces: Vec<Frame>) -> Vec<Frame> {
        let mut frames = Vec::new();
        for piece in pieces {
            match (frames.last_mut(), piece) {
                (Some(Frame::Data { bytes, last, .. }), Frame::Data { bytes: more, last: ends, .. })
                    if !more.is_empty() =>
                {
                    *bytes = [bytes.clone(), more].concat().into();
                    *last = ends;
                }
                (_, piece) => frames.push(piece),
            }
        }
        frames
    }

    #[test]
    fn a_long_data_frame_is_told_as_it_comes_and_a_long_control_frame_is_refused() {
        let (mut codec, mut read) = (Codec::new().unwrap(), BytesMut::new());
        put_head(&mut read, 1, FIN, PIECE_BYTES_MAX * 2);
        for last in [false, true] {
            assert_eq!(codec.decode(&mut read).unwrap(), None);
            read.put_bytes(7, PIECE_BYTES_MAX);
            let bytes = Bytes::from(vec![7; PIECE_BYTES_MAX]);
            assert_eq!(codec.decode(&mut read).unwrap(), Some(Frame::Data { stream: 1, bytes, last }));
        }
        assert!(read.capacity() <= PIECE_BYTES_MAX * 2, "nothing is reserved for what is only announced");
        for (length, refused) in [(CONTROL_BYTES_MAX, false), (CONTROL_BYTES_MAX + 1, true)] {
            let mut read = BytesMut::new();
            put_head(&mut read, IS_CONTROL | u32::from(VERSION) << 16 | u32::from(PING), 0, length);
            assert_eq!(Codec::new().unwrap().decode(&mut read).is_err(), refused, "{length} bytes");
        }
    }

    #[test]
    fn what_is_not_minded_is_read_over_and_another_version_is_refused() {
        let mut read = BytesMut::new();
        let settings_and_window = [[0x80, 3, 0, 4, 0, 0, 0, 4], [0x80, 3, 0, 9, 0, 0, 0, 4]];
        for head in settings_and_window {
            read.extend_from_slice(&head);
            read.put_u32(0);
        }
        Codec::new().unwrap().encode(Frame::Ping { id: 1 }, &mut read).unwrap();
        assert_eq!(Codec::new().unwrap().decode(&mut read).unwrap(), Some(Frame::Ping { id: 1 }));
        let mut read = BytesMut::from(&[0x80, 2, 0, 6, 0, 0, 0, 0][..]);
        assert!(Codec::new().unwrap().decode(&mut read).is_err());
    }
}
