//! The client's end of a session, for tests.

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{DuplexStream, duplex};
use tokio_util::codec::Framed;

use super::frame::{Codec, Frame};
use super::{Event, Receiver, Sender, StreamId, serve};

/// What fits into the connection, in bytes: little, so that whoever does not read is noticed.
const ROOM_BYTES: usize = 4 << 10;

type Frames = Framed<DuplexStream, Codec>;

/// A client that does as it is told.
pub(in super::super) struct Client {
    sink: SplitSink<Frames, Frame>,
    told: Told,
}

/// What the server told.
pub(in super::super) struct Told(SplitStream<Frames>);

impl Client {
    /// A client, and the serving end of its session.
    pub(in super::super) fn connect() -> (Self, Sender, Receiver) {
        let (near, far) = duplex(ROOM_BYTES);
        let (sink, frames) = Framed::new(near, Codec::new().unwrap()).split();
        let (sender, receiver) = serve(far).unwrap();
        (Self { sink, told: Told(frames) }, sender, receiver)
    }

    /// Sends a frame; a server that has left the session does not take it.
    async fn send(&mut self, frame: Frame) {
        let _ = self.sink.send(frame).await;
    }

    pub(in super::super) async fn open(&mut self, stream: StreamId, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.send(Frame::Open { stream, headers, last: false }).await;
    }

    pub(in super::super) async fn data(&mut self, stream: StreamId, bytes: Bytes) {
        self.send(Frame::Data { stream, bytes, last: false }).await;
    }

    pub(in super::super) async fn finish(&mut self, stream: StreamId) {
        self.send(Frame::Data { stream, bytes: Bytes::new(), last: true }).await;
    }

    pub(in super::super) async fn reset(&mut self, stream: StreamId) {
        self.send(Frame::Reset { stream, status: super::CANCEL }).await;
    }

    pub(in super::super) async fn leave(&mut self) {
        self.send(Frame::GoAway).await;
    }

    pub(in super::super) async fn next(&mut self) -> Option<Event> {
        self.told.next().await
    }

    /// Both directions, to be used at once.
    pub(in super::super) fn halves(&mut self) -> (Giver<'_>, &mut Told) {
        (Giver(&mut self.sink), &mut self.told)
    }
}

/// Sends data.
pub(in super::super) struct Giver<'c>(&'c mut SplitSink<Frames, Frame>);

impl Giver<'_> {
    /// Sends that many bytes in pieces, and that no more come.
    pub(in super::super) async fn give(self, stream: StreamId, bytes: usize) {
        let piece = Bytes::from(vec![b'x'; 32 << 10]);
        for start in (0..bytes).step_by(piece.len()) {
            let bytes = piece.slice(..piece.len().min(bytes - start));
            self.0.send(Frame::Data { stream, bytes, last: false }).await.unwrap();
        }
        self.0.send(Frame::Data { stream, bytes: Bytes::new(), last: true }).await.unwrap();
    }
}

impl Told {
    /// What the server told next; nothing when it is gone.
    pub(in super::super) async fn next(&mut self) -> Option<Event> {
        loop {
            return Some(match self.0.next().await?.ok()? {
                Frame::Data { stream, last: true, .. } => Event::Finished(stream),
                Frame::Data { stream, bytes, .. } => Event::Data(stream, bytes),
                Frame::Reset { stream, .. } => Event::Reset(stream),
                _ => continue,
            });
        }
    }

    /// How many bytes are told on a stream until so many have been, or it ends.
    pub(in super::super) async fn count(&mut self, stream: StreamId, wanted: usize) -> usize {
        let mut count = 0;
        while count < wanted {
            match self.next().await {
                Some(Event::Data(on, bytes)) if on == stream => count += bytes.len(),
                Some(Event::Finished(on) | Event::Reset(on)) if on == stream => break,
                Some(_) => {}
                None => break,
            }
        }
        count
    }
}
