//! SPDY/3.1, as far as exec, attach and port-forward use it: many streams over one connection, opened by the client.
//!
//! There is no flow control between single streams, as there is none at the other end: a stream that is not read holds up
//! its connection, and TCP holds up the sender.

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

pub(super) use self::frame::StreamId;
pub(super) use self::headers::Headers;

/// Streams open at once over one connection: a forwarded connection takes two.
const STREAMS_MAX: usize = 4096;
/// Events that wait to be looked at; then the client waits.
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
    open: Arc<std::sync::Mutex<BTreeSet<StreamId>>>,
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
    let sender = Sender { frames: Arc::new(Mutex::new(sink)), open: Arc::default() };
    let (told, events) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(read(frames, sender.clone(), told));
    Ok((sender, Receiver { events }))
}

impl Sender {
    async fn frame(&self, frame: Frame) -> bool {
        self.frames.lock().await.send(frame).await.is_ok()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeSet<StreamId>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sends bytes on a stream. False when the client is gone.
    pub(super) async fn send(&self, stream: StreamId, bytes: Bytes) -> bool {
        self.frame(Frame::Data { stream, bytes, last: false }).await
    }

    /// Tells that no more comes on a stream. What the client may still send on it is no longer looked at.
    pub(super) async fn finish(&self, stream: StreamId) -> bool {
        self.open().remove(&stream);
        self.frame(Frame::Data { stream, bytes: Bytes::new(), last: true }).await
    }

    /// Gives a stream up.
    pub(super) async fn reset(&self, stream: StreamId) -> bool {
        self.open().remove(&stream);
        self.frame(Frame::Reset { stream, status: CANCEL }).await
    }

    /// Tells that no new stream is taken.
    pub(super) async fn go_away(&self) -> bool {
        self.frame(Frame::GoAway).await
    }

    /// What a frame of the client means. Streams are accepted and pings answered on the way.
    async fn take(&self, frame: Frame) -> Vec<Event> {
        match frame {
            Frame::Open { stream, headers, last } => {
                if self.open().len() >= STREAMS_MAX {
                    self.frame(Frame::Reset { stream, status: REFUSED_STREAM }).await;
                    return Vec::new();
                }
                self.open().insert(stream);
                self.frame(Frame::Accept { stream }).await;
                let finished = last.then_some(Event::Finished(stream));
                std::iter::once(Event::Opened(stream, headers)).chain(finished).collect()
            }
            Frame::Data { stream, bytes, last } if self.open().contains(&stream) => {
                let data = (!bytes.is_empty()).then_some(Event::Data(stream, bytes));
                data.into_iter().chain(last.then_some(Event::Finished(stream))).collect()
            }
            Frame::Reset { stream, .. } => {
                self.open().remove(&stream);
                vec![Event::Reset(stream)]
            }
            Frame::Ping { id } => {
                self.frame(Frame::Ping { id }).await;
                Vec::new()
            }
            Frame::Data { .. } | Frame::Accept { .. } | Frame::GoAway => Vec::new(),
        }
    }
}

/// Tells what the client does, in a task of its own: a frame half dealt with must not be dropped.
async fn read(mut frames: SplitStream<Frames>, sender: Sender, told: mpsc::Sender<Event>) {
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = told.closed() => return,
        };
        match frame {
            None | Some(Ok(Frame::GoAway)) => return,
            Some(Ok(frame)) => {
                for event in sender.take(frame).await {
                    if told.send(event).await.is_err() {
                        return;
                    }
                }
            }
            Some(Err(error)) => return tracing::debug!(%error, "a SPDY session broke off"),
        }
    }
}

impl Receiver {
    /// What the client does next; nothing when it is gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}
