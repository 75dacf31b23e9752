//! Changes as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use sampan_core::gateway::Verb;
use sampan_core::object::{Object, Revision};
use sampan_core::status::Status;
use sampan_core::store::{Event, Told, Watch, WatchChange, WatchError};
use tokio::time::{Instant, sleep_until};

use super::read::require_reached;
use super::selection::Selection;
use crate::call::Call;
use crate::request::ListOptions;
use crate::response::{self, Body, EventKind, JSON, Response, View, error_event};
use crate::state::State;

/// How long a watch lasts that does not say; spread, so that clients that came together do not come back together.
const LASTS_MIN: Duration = Duration::from_secs(30 * 60);
const LASTS_SPREAD: u64 = 30 * 60;
/// How often an idle watcher that understands bookmarks is told how far it has seen.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// The most events told in one piece, and the size at which a piece is full, in bytes.
const EVENTS_MAX: usize = 256;
const PIECE_BYTES: usize = 32 << 10;

/// The answer to a watch.
pub(super) fn watch(call: &Call) -> Result<Response, Status> {
    call.authorize(Verb::Watch)?;
    let view = call.view()?;
    let mut options = ListOptions::parse(&call.query, &call.path.served.definition)?;
    options.watch = true;
    let watcher = Watcher::new(call, view, &options)?;
    let pieces = stream::unfold(watcher, async |mut watcher| Some((watcher.next().await?, watcher)));
    Ok(response::typed(200, Body::stream(pieces), JSON))
}

/// One client's watch: it is advanced only as the client takes what is told.
struct Watcher {
    _counted: Counted,
    state: Arc<State>,
    view: View,
    selection: Selection,
    watch: Watch,
    initial: VecDeque<Arc<Object>>,
    /// The bookmark that ends the initial objects is still to be told.
    owes_end_of_initial: bool,
    bookmarks: bool,
    bookmark_at: Instant,
    ends_at: Instant,
    is_first: bool,
    has_ended: bool,
}

impl Watcher {
    fn new(call: &Call, view: View, options: &ListOptions) -> Result<Self, Status> {
        let state = call.state.clone();
        let selection = Selection::new(call, options);
        let snapshot = state.snapshot();
        let asked = options.resource_version.filter(|revision| *revision != Revision(0));
        let wants_initial = options.initial_events.unwrap_or(asked.is_none());
        let initial = match wants_initial {
            true => selection.of(&snapshot, None, usize::MAX),
            false => Vec::new(),
        };
        let from = match asked {
            Some(revision) => {
                require_reached(revision, snapshot.revision())?;
                if wants_initial { snapshot.revision() } else { revision }
            }
            None => snapshot.revision(),
        };
        let spread = state.next_watch().wrapping_mul(997) % LASTS_SPREAD;
        let lasts = options.timeout.unwrap_or(LASTS_MIN + Duration::from_secs(spread));
        Ok(Self {
            _counted: Counted::begin(&state),
            watch: state.cluster.store().reader().watch(selection.scope(), from),
            state,
            view,
            selection,
            initial: initial.into(),
            owes_end_of_initial: options.initial_events == Some(true) && options.bookmarks,
            bookmarks: options.bookmarks,
            bookmark_at: Instant::now() + BOOKMARK_INTERVAL,
            ends_at: Instant::now() + lasts,
            is_first: true,
            has_ended: false,
        })
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        if let Some(piece) = self.next_initial() {
            return Some(piece);
        }
        loop {
            let timer = if self.bookmarks { self.bookmark_at.min(self.ends_at) } else { self.ends_at };
            let told = tokio::select! {
                told = self.watch.next(EVENTS_MAX) => Some(told),
                () = sleep_until(timer) => None,
                () = self.state.shutdown.cancelled() => return None,
            };
            let told = match told {
                Some(Told::Events(events)) => Ok(events),
                Some(Told::Behind) => self.read_log().await,
                None if Instant::now() >= self.ends_at => return None,
                None => return Some(self.bookmark()),
            };
            match told {
                Ok(events) => {
                    if let Some(piece) = self.piece(&events) {
                        return Some(piece);
                    }
                }
                Err(error) => {
                    self.has_ended = true;
                    return Some(error_event(&refusal(&error)));
                }
            }
        }
    }

    /// Changes that memory no longer holds: read from the disk, where that holds up nobody else.
    async fn read_log(&mut self) -> Result<Vec<Arc<Event>>, WatchError> {
        let mut watch = self.watch.clone();
        let read = tokio::task::spawn_blocking(move || {
            let told = watch.poll(EVENTS_MAX);
            (watch, told)
        });
        let (watch, told) = read.await.expect("reading the log does not panic");
        self.watch = watch;
        told
    }

    fn next_initial(&mut self) -> Option<Bytes> {
        self.view.now = self.state.now();
        let mut piece = BytesMut::new();
        while piece.len() < PIECE_BYTES {
            let Some(object) = self.initial.pop_front() else { break };
            self.tell(&mut piece, EventKind::Added, &object);
        }
        if self.initial.is_empty() && std::mem::take(&mut self.owes_end_of_initial) {
            piece.extend_from_slice(&self.view.bookmark(self.watch.cursor().0, true));
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    fn piece(&mut self, events: &[Arc<Event>]) -> Option<Bytes> {
        self.view.now = self.state.now();
        let mut piece = BytesMut::new();
        for event in events {
            if let Some((kind, object)) = seen(&self.selection, &event.change) {
                self.tell(&mut piece, kind, object);
            }
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    fn tell(&mut self, piece: &mut BytesMut, kind: EventKind, object: &Object) {
        let is_first = std::mem::take(&mut self.is_first);
        piece.extend_from_slice(&self.view.event(kind, object.bytes(), is_first));
    }

    fn bookmark(&mut self) -> Bytes {
        self.bookmark_at = Instant::now() + BOOKMARK_INTERVAL;
        self.view.bookmark(self.watch.cursor().0, false)
    }
}

/// A watcher as `/metrics` counts it.
struct Counted(Arc<State>);

impl Counted {
    fn begin(state: &Arc<State>) -> Self {
        state.metrics.watchers.fetch_add(1, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a watcher with a selection sees of a change: an object that comes to match is added, one that ceases to is deleted.
fn seen<'a>(selection: &Selection, change: &'a WatchChange) -> Option<(EventKind, &'a Object)> {
    match change {
        WatchChange::Added(object) => selection.takes(object).then_some((EventKind::Added, object)),
        WatchChange::Removed(object) => selection.takes(object).then_some((EventKind::Deleted, object)),
        WatchChange::Modified { before, after } => match (selection.takes(before), selection.takes(after)) {
            (true, true) => Some((EventKind::Modified, after)),
            (false, true) => Some((EventKind::Added, after)),
            (true, false) => Some((EventKind::Deleted, after)),
            (false, false) => None,
        },
    }
}

fn refusal(error: &WatchError) -> Status {
    match error {
        WatchError::Compacted(compacted) => Status::expired(compacted.to_string()),
        WatchError::Log(_) => Status::internal(error.to_string()),
    }
}
