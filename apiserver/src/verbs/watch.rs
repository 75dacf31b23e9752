//! Changes as they happen.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use sampan_core::gateway::Verb;
use sampan_core::object::{Object, Revision};
use sampan_core::status::Status;
use sampan_core::store::{Event, Told, Watch, WatchChange, WatchError};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::read::require_reached;
use super::selection::Selection;
use crate::call::Call;
use crate::request::{FieldSelector, ListOptions};
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
pub(super) async fn watch(call: &Call) -> Result<Response, Status> {
    call.authorize(Verb::Watch)?;
    let view = call.view()?;
    let mut options = ListOptions::parse(&call.query, &call.path.served.definition)?;
    options.watch = true;
    let watcher = Watcher::new(call, view, &options).await?;
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
    initial: VecDeque<Bytes>,
    /// The bookmark that ends the initial objects is still to be told.
    owes_end_of_initial: bool,
    bookmarks: bool,
    bookmark_at: Instant,
    ends_at: Instant,
    /// Set anew only where its end changes, and kept through what is told, as is the other.
    timer: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    is_first: bool,
    has_ended: bool,
}

impl Watcher {
    async fn new(call: &Call, view: View, options: &ListOptions) -> Result<Self, Status> {
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
        let initial = initial.iter().map(|object| object.bytes().clone()).collect();
        let mut initial = view.converted(&state.cluster, initial).await?;
        if let Some(fields) = selection.converted_fields() {
            initial.retain(|object| fields.matches_json(&view.served.definition, object));
        }
        let spread = state.next_watch().wrapping_mul(997) % LASTS_SPREAD;
        let ends_at = Instant::now() + options.timeout.unwrap_or(LASTS_MIN + Duration::from_secs(spread));
        Ok(Self {
            _counted: Counted::begin(&state),
            watch: state.cluster.store().reader().watch(selection.scope(), from),
            timer: Box::pin(sleep_until(ends_at)),
            shutdown: Box::pin(state.shutdown.clone().cancelled_owned()),
            state,
            view,
            selection,
            initial: initial.into(),
            owes_end_of_initial: options.initial_events == Some(true) && options.bookmarks,
            bookmarks: options.bookmarks,
            bookmark_at: Instant::now() + BOOKMARK_INTERVAL,
            ends_at,
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
            let until = if self.bookmarks { self.bookmark_at.min(self.ends_at) } else { self.ends_at };
            if self.timer.deadline() != until {
                self.timer.as_mut().reset(until);
            }
            let told = tokio::select! {
                biased;
                () = &mut self.shutdown => return None,
                () = &mut self.timer => None,
                told = self.watch.next(EVENTS_MAX) => Some(told),
            };
            if told.is_some() && self.is_outdated() {
                return None;
            }
            let told = match told {
                Some(Told::Events(events)) => Ok(events),
                Some(Told::Behind) => self.read_log().await,
                None if Instant::now() >= self.ends_at => return None,
                None => return Some(self.bookmark()),
            };
            let piece = match told {
                Ok(events) => self.piece(&events).await,
                Err(error) => Err(refusal(&error)),
            };
            match piece {
                Ok(None) => {}
                Ok(Some(piece)) => return Some(piece),
                Err(status) => {
                    self.has_ended = true;
                    return Some(error_event(&status));
                }
            }
        }
    }

    /// Whether the type reads otherwise by now than when the watch began: it ends, and the client begins anew where it was. This is asked
    /// at every wake of every watch, and only what somebody defined may change.
    fn is_outdated(&self) -> bool {
        let (then, version) = (&self.view.served.definition, &self.view.served.version);
        if then.defined_by.is_none() {
            return false;
        }
        let now = self.state.registry().served(version.group, version.version, then.resource.plural);
        now.is_some_and(|now| !now.definition.reads_like(then))
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

    /// What is told of changes. Nothing after them is looked at before they are converted: their order stays.
    async fn piece(&mut self, events: &[Arc<Event>]) -> Result<Option<Bytes>, Status> {
        let shown = match self.selection.converted_fields() {
            None => self.shown(events).await?,
            Some(fields) => self.shown_by(fields, events).await?,
        };
        self.view.now = self.state.now();
        let mut piece = BytesMut::new();
        for (kind, object) in shown {
            self.tell(&mut piece, kind, &object);
        }
        Ok((!piece.is_empty()).then(|| piece.freeze()))
    }

    async fn shown(&self, events: &[Arc<Event>]) -> Result<Vec<(EventKind, Bytes)>, Status> {
        let seen = events.iter().filter_map(|event| seen(&self.selection, &event.change));
        let (kinds, objects): (Vec<_>, Vec<_>) = seen.map(|(kind, object)| (kind, object.bytes().clone())).unzip();
        Ok(kinds.into_iter().zip(self.view.converted(&self.state.cluster, objects).await?).collect())
    }

    /// The same where objects are selected by what they are once converted: as they were, and as they are.
    async fn shown_by(&self, fields: &FieldSelector, events: &[Arc<Event>]) -> Result<Vec<(EventKind, Bytes)>, Status> {
        let takes = |object: &Object| self.selection.takes(object);
        let changes = events.iter().map(|event| states(&event.change));
        let changes: Vec<[Option<&Object>; 2]> =
            changes.filter(|states| states.iter().flatten().any(|object| takes(object))).collect();
        let stored = changes.iter().flatten().flatten().map(|object| object.bytes().clone()).collect();
        let mut converted = self.view.converted(&self.state.cluster, stored).await?.into_iter();
        let told = changes.into_iter().filter_map(|states| {
            let shown = states.map(|object| object.and_then(|_| converted.next()));
            let is_taken = |(object, shown): (Option<&Object>, &Option<Bytes>)| {
                let matches = |shown: &Bytes| fields.matches_json(&self.view.served.definition, shown);
                object.is_some_and(takes) && shown.as_ref().is_some_and(matches)
            };
            let mut taken = states.into_iter().zip(&shown).map(is_taken);
            let kind = kind_of(taken.next()?, taken.next()?)?;
            let [before, after] = shown;
            Some((kind, after.or(before)?))
        });
        Ok(told.collect())
    }

    fn tell(&mut self, piece: &mut BytesMut, kind: EventKind, object: &Bytes) {
        let is_first = std::mem::take(&mut self.is_first);
        piece.extend_from_slice(&self.view.event(kind, object, is_first));
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
    let [before, after] = states(change);
    let takes = |state: Option<&Object>| state.is_some_and(|object| selection.takes(object));
    Some((kind_of(takes(before), takes(after))?, after.or(before)?))
}

/// An object before and after a change.
fn states(change: &WatchChange) -> [Option<&Object>; 2] {
    match change {
        WatchChange::Added(object) => [None, Some(object)],
        WatchChange::Removed(object) => [Some(object), None],
        WatchChange::Modified { before, after } => [Some(before), Some(after)],
    }
}

/// What a change is to a watcher who saw the object before it, or sees it after.
fn kind_of(is_before: bool, is_after: bool) -> Option<EventKind> {
    match (is_before, is_after) {
        (true, true) => Some(EventKind::Modified),
        (false, true) => Some(EventKind::Added),
        (true, false) => Some(EventKind::Deleted),
        (false, false) => None,
    }
}

fn refusal(error: &WatchError) -> Status {
    match error {
        WatchError::Compacted(compacted) => Status::expired(compacted.to_string()),
        WatchError::Log(_) => Status::internal(error.to_string()),
    }
}
