//! The thread that keeps the cluster in step with the directory: it reads, listens, and carries out what the
//! [`Directory`] asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::disk::Disk;
use super::inventory::MANIFEST_FILES;
use super::watcher::{Happening, Watcher};
use super::{Directory, PlanItem, Task, carry, plan, setting};
use crate::gateway::Cluster;
use crate::object::{Name, ObjectKey, Revision};
use crate::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;
use crate::resource::{NAMESPACES, Registry};
use crate::store::{Event, WatchChange};
use crate::vital::vital;

/// How long a file that is written and not closed must be quiet before it is read.
const QUIET: SignedDuration = SignedDuration::from_secs(1);
/// How long a file may be written without pause before it is read anyway.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// How often a directory that is not there is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How many changes are taken from the store at a time.
const EVENTS_AT_ONCE: usize = 512;

/// How much may have happened before the thread looks: beyond it events count as lost, and the directory is read through.
const SIGNALS_MAX: usize = 1024;

/// Keeps the cluster in step with a directory, on a thread of its own.
pub struct Keeper {
    signals: SyncSender<Signal>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What others may look at.
#[derive(Default)]
struct State {
    root_problem: Mutex<Option<String>>,
    /// Whether everything found at start was carried out once.
    is_settled: AtomicBool,
    /// The store has moved on since the thread looked.
    has_moved: AtomicBool,
    /// There was no room for what happened.
    has_overflown: AtomicBool,
}

enum Signal {
    Happened(Happening),
    /// One of the flags of the state is set. One that finds no room is not missed: the thread looks at them anyway.
    Flagged,
    /// Of these files, or of all where none is named.
    Confirm(Vec<Name>, SyncSender<Vec<Name>>),
    Held(SyncSender<Vec<PlanItem>>),
    Stop,
}

impl Keeper {
    /// Starts to keep `cluster` in step with `root`, an absolute path that need not exist yet.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start(cluster: Cluster, root: PathBuf) -> Self {
        let (signals, inbox) = sync_channel(SIGNALS_MAX);
        let state = Arc::new(State::default());
        listen(&cluster, signals.clone(), state.clone());
        let loop_state = state.clone();
        let (tell, thread_cluster) = (signals.clone(), cluster);
        let thread = std::thread::Builder::new().name("manifests".to_owned()).spawn(move || {
            vital("manifests", || Shell::new(thread_cluster, root, inbox, tell, loop_state).run());
        });
        Self { signals, state, thread: Some(thread.expect("a process that starts can start a thread")) }
    }

    /// Why the directory cannot be read, where that is so.
    pub fn root_problem(&self) -> Option<String> {
        self.state.root_problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether everything found at start has been carried out once.
    pub fn is_settled(&self) -> bool {
        self.state.is_settled.load(Ordering::Acquire)
    }

    /// Lets the deletions that wait for a confirmation happen; of files that are named, also of what is kept for others. The files
    /// they came from.
    pub fn confirm_held(&self, files: Vec<Name>) -> Vec<Name> {
        self.ask(|reply| Signal::Confirm(files, reply))
    }

    /// The deletions that wait, and why they do.
    pub fn held(&self) -> Vec<PlanItem> {
        self.ask(Signal::Held)
    }

    fn ask<T>(&self, question: impl FnOnce(SyncSender<Vec<T>>) -> Signal) -> Vec<T> {
        let (reply, answer) = sync_channel(1);
        let asked = self.signals.send(question(reply));
        asked.ok().and_then(|()| answer.recv().ok()).unwrap_or_default()
    }

    /// Stops keeping, once what is under way is done.
    pub fn stop(mut self) {
        // A thread that has ended has stopped.
        let _ = self.signals.send(Signal::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that keeps the manifests has panicked");
        }
    }
}

/// Has the thread told of commits, at most once until it has looked.
fn listen(cluster: &Cluster, signals: SyncSender<Signal>, state: Arc<State>) {
    cluster.store().reader().on_commit(Arc::new(move |_| {
        if !state.has_moved.swap(true, Ordering::AcqRel) {
            let _ = signals.try_send(Signal::Flagged);
        }
    }));
}

/// Tells the thread what happened in the directory, or that there was too much of it.
fn tell(signals: &SyncSender<Signal>, state: &State, happening: Happening) {
    if signals.try_send(Signal::Happened(happening)).is_err() {
        state.has_overflown.store(true, Ordering::Release);
        let _ = signals.try_send(Signal::Flagged);
    }
}

/// What the thread owns.
struct Shell {
    cluster: Cluster,
    disk: Disk,
    directory: Directory,
    inbox: Receiver<Signal>,
    tell: SyncSender<Signal>,
    state: Arc<State>,
    watcher: Option<Watcher>,
    watched: Option<(u64, u64)>,
    /// Files that are being written: when they are read unless they are closed before, and at the latest.
    writing: BTreeMap<Name, (Timestamp, Timestamp)>,
    cursor: Revision,
    /// The resource types the directory was last told of.
    registry: Arc<Registry>,
    is_stopping: bool,
}

impl Shell {
    fn new(
        cluster: Cluster,
        root: PathBuf,
        inbox: Receiver<Signal>,
        tell: SyncSender<Signal>,
        state: Arc<State>,
    ) -> Self {
        let snapshot = cluster.snapshot();
        let reports = snapshot.list(MANIFEST_FILES, None, None).map(|object| object.value()).collect();
        let registry = cluster.registry();
        let directory = Directory::new(reports, &registry);
        Self {
            cursor: snapshot.revision(),
            registry,
            cluster,
            disk: Disk::new(root),
            directory,
            inbox,
            tell,
            state,
            watcher: None,
            watched: None,
            writing: BTreeMap::new(),
            is_stopping: false,
        }
    }

    fn run(mut self) {
        while !self.is_stopping {
            self.watch();
            self.read_quiet();
            if self.directory.wants_scan(self.cluster.now()) {
                self.scan();
            }
            self.work();
            self.state.is_settled.store(true, Ordering::Release);
            // Told to stop while it worked, it waits for nothing more.
            if !self.is_stopping {
                self.wait();
            }
        }
    }

    /// Watches the directory that is there now.
    fn watch(&mut self) {
        let root = self.disk.root_identity();
        if root == self.watched {
            return;
        }
        let (signals, state) = (self.tell.clone(), self.state.clone());
        let started = root.map(|_| Watcher::start(self.disk.root(), move |it| tell(&signals, &state, it)));
        self.watcher = match started {
            Some(Ok(watcher)) => Some(watcher),
            Some(Err(error)) => {
                tracing::warn!(root = %self.disk.root().display(), error, "changes of manifests are found by scanning alone");
                None
            }
            None => None,
        };
        self.watched = root;
        self.directory.lost_track(self.cluster.now());
    }

    fn scan(&mut self) {
        let scan = self.disk.scan();
        self.directory.scanned(scan, &self.cluster.registry(), self.cluster.now());
        let problem = self.directory.root_problem().map(str::to_owned);
        *self.state.root_problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Reads the files whose writer keeps them open.
    fn read_quiet(&mut self) {
        let now = self.cluster.now();
        let quiet: Vec<Name> =
            self.writing.iter().filter(|(_, (due, _))| *due <= now).map(|(path, _)| path.clone()).collect();
        for path in quiet {
            self.read(&path);
        }
    }

    fn read(&mut self, path: &Name) {
        self.writing.remove(path);
        let now = self.cluster.now();
        match self.disk.read(path) {
            Some(observation) => self.directory.observed(path, &observation, &self.cluster.registry(), now),
            None => self.directory.vanished(now),
        }
    }

    /// Carries out everything that is to be done now.
    fn work(&mut self) {
        while let Some(task) = self.directory.next_task(self.cluster.now()) {
            self.carry_out(task);
            // What happened meanwhile may make the rest needless.
            self.take_waiting();
            if self.is_stopping {
                return;
            }
        }
    }

    fn carry_out(&mut self, task: Task) {
        match task {
            Task::Apply(apply) => {
                let result = carry::apply(&self.cluster, &apply);
                log_applied(&apply, &result);
                self.directory.applied(&apply, result, self.cluster.now());
            }
            Task::Prune(prune) => {
                let result = carry::prune(&self.cluster, &prune);
                if result.is_ok() {
                    tracing::info!(file = &*prune.file, object = %prune.key, "removed");
                }
                self.directory.pruned(&prune.key, result, self.cluster.now());
            }
            Task::Report { file, object } => {
                if let Err(error) = carry::report(&self.cluster, &object) {
                    tracing::warn!(file = &*file, %error, "failed to write the status of a manifest file");
                }
                self.directory.reported(&file, object);
            }
            Task::Forget { file } => {
                if let Err(error) = carry::forget(&self.cluster, &file) {
                    tracing::warn!(file = &*file, %error, "failed to delete the status of a manifest file");
                }
                self.directory.forgotten(&file);
            }
        }
    }

    /// Waits until something happens or falls due.
    fn wait(&mut self) {
        let now = self.cluster.now();
        let reads = self.writing.values().map(|(due, _)| *due);
        let due = self.directory.wake_at().into_iter().chain(reads).min();
        let until_due = due.map_or(LOOK_AGAIN, |due| due.duration_since(now).max(SignedDuration::ZERO).unsigned_abs());
        let timeout = if self.watched.is_none() { until_due.min(LOOK_AGAIN) } else { until_due };
        match self.inbox.recv_timeout(timeout) {
            Ok(signal) => self.take(signal),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.is_stopping = true,
        }
        self.take_waiting();
    }

    fn take_waiting(&mut self) {
        while let Ok(signal) = self.inbox.try_recv() {
            self.take(signal);
        }
        if self.state.has_overflown.swap(false, Ordering::AcqRel) {
            self.directory.lost_track(self.cluster.now());
        }
        if self.state.has_moved.swap(false, Ordering::AcqRel) {
            self.read_events();
        }
    }

    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Happened(happening) => self.happened(happening),
            Signal::Flagged => {}
            Signal::Confirm(files, reply) => {
                let released = match files.as_slice() {
                    [] => self.directory.confirm_all(),
                    files => files.iter().flat_map(|file| self.directory.confirm_file(file)).collect(),
                };
                // Whoever asked may be gone.
                let _ = reply.send(released);
            }
            Signal::Held(reply) => {
                let _ = reply.send(plan::held(&self.directory));
            }
            Signal::Stop => self.is_stopping = true,
        }
    }

    fn happened(&mut self, happening: Happening) {
        let now = self.cluster.now();
        match happening {
            Happening::Whole(path) => {
                if let Some(path) = self.disk.manifest_at(&path) {
                    self.read(&path);
                }
            }
            Happening::Writing(path) => {
                if let Some(path) = self.disk.manifest_at(&path) {
                    let latest = self.writing.get(&path).map_or(now + PATIENCE, |(_, latest)| *latest);
                    self.writing.insert(path, ((now + QUIET).min(latest), latest));
                }
            }
            Happening::Moved => self.directory.vanished(now),
            Happening::Overflow => self.directory.lost_track(now),
        }
    }

    /// Takes what has changed in the store since it was looked at last.
    fn read_events(&mut self) {
        loop {
            let Ok(batch) = self.cluster.store().reader().all_events_after(self.cursor, EVENTS_AT_ONCE) else {
                // Too much happened meanwhile: compare everything.
                self.cursor = self.cluster.snapshot().revision();
                self.directory.compare_all(self.cluster.now());
                return;
            };
            if batch.through == self.cursor {
                return;
            }
            self.cursor = batch.through;
            for event in &batch.events {
                self.take_event(event);
            }
        }
    }

    fn take_event(&mut self, event: &Event) {
        let now = self.cluster.now();
        if event.key.resource == MANIFEST_FILES {
            return self.take_report(event);
        }
        if event.key.resource == NAMESPACES {
            self.directory.namespace_changed(&event.key.name, now);
        }
        if event.key.resource == CUSTOM_RESOURCE_DEFINITIONS {
            self.hear_of_kinds(now);
        }
        self.directory.object_changed(&event.key, event.revision, now);
    }

    /// A definition has changed. The type is served before it says so, and so there is always a change after which a new
    /// registry is found.
    fn hear_of_kinds(&mut self, now: Timestamp) {
        let registry = self.cluster.registry();
        if !Arc::ptr_eq(&registry, &self.registry) {
            self.directory.kinds_changed(&registry, now);
            self.registry = registry;
        }
    }

    /// A `ManifestFile` was deleted, or annotated by hand to confirm.
    fn take_report(&mut self, event: &Event) {
        let exists = !matches!(event.change, WatchChange::Removed(_));
        let value = event.change.object().value();
        let Some(path) = value.pointer("/spec/path").and_then(Value::as_str) else { return };
        let annotations = value.pointer("/metadata/annotations");
        let confirmed =
            annotations.and_then(|it| it.get(setting::CONFIRM)).and_then(Value::as_str) == Some("confirmed");
        self.directory.report_changed(path, exists && confirmed, exists);
        if exists && confirmed {
            self.withdraw_confirmation(&event.key);
        }
    }

    fn withdraw_confirmation(&self, key: &ObjectKey) {
        if let Err(error) = carry::withdraw_confirmation(&self.cluster, key) {
            tracing::debug!(object = %key, %error, "the confirmation stays on the object");
        }
    }
}

fn log_applied(apply: &super::Apply, result: &Result<super::Applied, crate::status::Status>) {
    let line = apply.document.line();
    match result {
        Ok(applied) if applied.changed => tracing::info!(file = &*apply.file, line, object = %apply.key, "applied"),
        Ok(_) => {}
        Err(error) => tracing::warn!(file = &*apply.file, line, object = %apply.key, %error, "refused"),
    }
}
