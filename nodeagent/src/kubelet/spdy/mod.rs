//! SPDY/3.1, as far as exec, attach and port-forward use it: many streams over one connection, opened by the client.
//!
//! There is no flow control between single streams, as there is none at the other end: a stream that is not read holds up
//! its connection, and TCP holds up the sender.

#[cfg(test)]
pub(super) mod client;
mod dictionary;
mod frame;
mod headers;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc};
use tokio_util::codec::Framed;

use self::frame::{Codec, Frame};
use self::headers::malformed;

pub(super) use self::frame::StreamId;
pub(super) use self::headers::Headers;

/// Streams open at once over one connection: a forwarded connection takes two.
const STREAMS_MAX: usize = 2048;
/// Events that wait to be looked at, each with 64 KiB at most; then the client waits.
const EVENTS_MAX: usize = 16;
/// Why a stream is refused: there are too many.
const REFUSED_STREAM: u32 = 3;
/// Why a stream is ended before its time.
const CANCEL: u32 = 5;

/// A connection both ways.
pub(super) trait Link: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Link for S {}

type Frames = Framed<Box<dyn Link>, Codec>;

/// Sends on any stream of a session. Clones send on the same session.
#[derive(Clone)]
pub(super) struct Sender {
    frames: Arc<Mutex<SplitSink<Frames, Frame>>>,
    streams: Arc<std::sync::Mutex<Streams>>,
}

/// The streams of a session.
#[derive(Default)]
struct Streams {
    open: BTreeSet<StreamId>,
    /// The last that the client opened.
    last: StreamId,
}

/// What the client does.
pub(super) struct Receiver {
    events: mpsc::Receiver<Event>,
}

/// What the client did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It opened a stream.
    Opened(StreamId, Headers),
    /// It sent bytes on a stream.
    Data(StreamId, Bytes),
    /// It will send no more on a stream.
    Finished(StreamId),
    /// It has given a stream up.
    Reset(StreamId),
}

/// The serving end of a session over a connection. It lasts until the client or both halves are gone.
///
/// # Errors
/// When the dictionary cannot be taken.
pub(super) fn serve(link: impl Link + 'static) -> io::Result<(Sender, Receiver)> {
    let (sink, frames) = Frames::new(Box::new(link), Codec::new()?).split();
    let sender = Sender { frames: Arc::new(Mutex::new(sink)), streams: Arc::default() };
    let (told, events) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(read(frames, sender.clone(), told));
    Ok((sender, Receiver { events }))
}

impl Sender {
    async fn frame(&self, frame: Frame) -> bool {
        self.frames.lock().await.send(frame).await.is_ok()
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sends bytes on a stream. False when the client is gone.
    pub(super) async fn send(&self, stream: StreamId, bytes: Bytes) -> bool {
        self.frame(Frame::Data { stream, bytes, last: false }).await
    }

    /// Tells that no more comes on a stream. What the client may still send on it is no longer looked at.
    pub(super) async fn finish(&self, stream: StreamId) -> bool {
        let is_known = self.streams().open.remove(&stream);
        !is_known || self.frame(Frame::Data { stream, bytes: Bytes::new(), last: true }).await
    }

    /// Gives a stream up.
    pub(super) async fn reset(&self, stream: StreamId) -> bool {
        let is_known = self.streams().open.remove(&stream);
        !is_known || self.frame(Frame::Reset { stream, status: CANCEL }).await
    }

    /// Tells that no new stream is taken.
    pub(super) async fn go_away(&self) -> bool {
        self.frame(Frame::GoAway).await
    }

    /// Takes a stream that the client opens; false where there are too many.
    ///
    /// # Errors
    /// Where the number is not the client's to give or was given before (draft 3.1, §2.3.2): whatever is told of that stream
    /// would be told of two.
    fn take_open(&self, stream: StreamId) -> io::Result<bool> {
        let mut streams = self.streams();
        if stream.is_multiple_of(2) || stream <= streams.last {
            return Err(malformed(format!("stream {stream} was opened after stream {}", streams.last)));
        }
        streams.last = stream;
        let has_room = streams.open.len() < STREAMS_MAX;
        if has_room {
            streams.open.insert(stream);
        }
        Ok(has_room)
    }

    /// What a frame of the client means. Streams are accepted and pings answered on the way.
    async fn take(&self, frame: Frame) -> io::Result<Vec<Event>> {
        Ok(match frame {
            Frame::Open { stream, headers, last } => {
                if !self.take_open(stream)? {
                    self.frame(Frame::Reset { stream, status: REFUSED_STREAM }).await;
                    return Ok(Vec::new());
                }
                self.frame(Frame::Accept { stream }).await;
                let finished = last.then_some(Event::Finished(stream));
                std::iter::once(Event::Opened(stream, headers)).chain(finished).collect()
            }
            Frame::Data { stream, bytes, last } if self.streams().open.contains(&stream) => {
                let data = (!bytes.is_empty()).then_some(Event::Data(stream, bytes));
                data.into_iter().chain(last.then_some(Event::Finished(stream))).collect()
            }
            Frame::Reset { stream, .. } => {
                self.streams().open.remove(&stream);
                vec![Event::Reset(stream)]
            }
            Frame::Ping { id } => {
                self.frame(Frame::Ping { id }).await;
                Vec::new()
            }
            Frame::Data { .. } | Frame::Accept { .. } | Frame::GoAway => Vec::new(),
        })
    }
}

/// Tells what the client does, in a task of its own: a frame half dealt with must not be dropped.
async fn read(mut frames: SplitStream<Frames>, sender: Sender, told: mpsc::Sender<Event>) {
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = told.closed() => return,
        };
        let events = match frame {
            None | Some(Ok(Frame::GoAway)) => return,
            Some(Ok(frame)) => sender.take(frame).await,
            Some(Err(error)) => Err(error),
        };
        match events {
            Ok(events) => {
                for event in events {
                    if told.send(event).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                sender.go_away().await;
                return tracing::debug!(%error, "a SPDY session broke off");
            }
        }
    }
}

impl Receiver {
    /// What the client does next; nothing when it is gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::client::Client;
    use super::*;

    #[tokio::test]
    async fn a_stream_whose_number_is_even_or_not_the_next_ends_the_session() {
        for (numbers, taken) in [(&[1, 3, 7][..], 3), (&[1, 1], 1), (&[3, 1], 1), (&[2], 0), (&[1, 0], 1)] {
            let (mut client, sender, mut receiver) = Client::connect();
            for number in numbers {
                client.open(*number, &[]).await;
            }
            client.leave().await;
            let mut opened = 0;
            while let Some(event) = receiver.next().await {
                opened += u32::from(matches!(event, Event::Opened(..)));
            }
            assert_eq!(opened, taken, "{numbers:?}");
            drop(sender);
        }
    }

    #[tokio::test]
    async fn numbers_of_streams_that_are_gone_are_not_given_again() {
        let (mut client, _sender, mut receiver) = Client::connect();
        client.open(1, &[]).await;
        client.reset(1).await;
        client.open(1, &[]).await;
        assert!(matches!(receiver.next().await, Some(Event::Opened(1, _))));
        assert_eq!(receiver.next().await, Some(Event::Reset(1)));
        assert_eq!(receiver.next().await, None);
    }
}
