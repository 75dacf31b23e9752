//! The thread that collects: it looks at the files of containers that write, and is told when one that rests writes again.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sampan_logs::{Batch, Store, StoreError, Tail};
use tokio::sync::{oneshot, watch};

use super::Source;
use super::stillness::Stillness;

/// How soon files are looked at again that had something new.
const BUSY_WAIT: Duration = Duration::from_millis(50);
/// How soon files are looked at again that cannot be read, or of which the kernel would not tell.
const BLIND_WAIT: Duration = Duration::from_secs(1);
/// Bytes read of one container before the next has its turn.
const TURN_BYTES: usize = 1 << 20;
/// Bytes that wait for a whole block, all containers together, before all are written.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// How long lines wait for a whole block. Docker's files hold them meanwhile.
const FLUSH_EVERY: Duration = Duration::from_secs(300);
/// How often what is too old is removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Runs that ended while the disk was full and whose files are held open: each takes memory, and keeps Docker's files of it. What
/// more there are is a gap that is counted.
const HELD_RUNS_MAX: usize = 32;

/// What the thread is told.
pub(super) enum Order {
    /// Collect a log from now on.
    Follow(Source),
    /// Collect the rest of a log, or hold its files open where the disk has no room; then answer.
    Finish(Source, oneshot::Sender<()>),
    /// Write what waits, then answer.
    Flush(oneshot::Sender<()>),
}

/// A log that is collected.
struct Followed {
    path: PathBuf,
    tail: Tail,
    /// When to look; nothing where we are told when to.
    due: Option<Instant>,
    /// We are told of the next thing that happens.
    is_watched: bool,
    /// What went wrong was told.
    is_warned: bool,
    /// Nothing more is written; what there is waits for room on the disk.
    is_ending: bool,
}

/// Collects, on a thread of its own.
pub(super) struct Collector {
    store: Arc<Mutex<Store>>,
    news: watch::Sender<u64>,
    followed: BTreeMap<String, Followed>,
    /// Where nothing is written; none where the kernel does not tell of that.
    stillness: Option<Stillness>,
    flush_at: Instant,
    expire_at: Instant,
}

impl Collector {
    pub(super) fn new(store: Arc<Mutex<Store>>, news: watch::Sender<u64>) -> Self {
        let now = Instant::now();
        // Not at once: which runs go on is not known yet, and of those the last segment stays.
        let expire_at = now + EXPIRE_EVERY;
        let stillness = Stillness::new();
        if let Err(error) = &stillness {
            tracing::warn!(%error, "logs are looked at each second: the kernel does not tell when they are written");
        }
        let (stillness, flush_at) = (stillness.ok(), now + FLUSH_EVERY);
        Self { store, news, followed: BTreeMap::new(), stillness, flush_at, expire_at }
    }

    /// Collects until nobody is left to give orders. The bell is rung for each.
    pub(super) fn run(mut self, orders: &Receiver<Order>, bell: &OwnedFd) {
        loop {
            self.rest(bell);
            match orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
            self.round(Instant::now());
        }
        self.flush();
    }

    /// Waits until something is due, an order comes or something is written.
    fn rest(&mut self, bell: &OwnedFd) {
        let wait = self.next_due().saturating_duration_since(Instant::now());
        let mut awaited = vec![PollFd::new(bell, PollFlags::IN)];
        awaited.extend(self.stillness.as_ref().map(|stillness| PollFd::new(stillness, PollFlags::IN)));
        // Whatever ends it, there is a look at everything.
        let _ = poll(&mut awaited, Timespec::try_from(wait).ok().as_ref());
        drop(awaited);
        // One ring for one order.
        let _ = rustix::io::read(bell, &mut [0; 8]);
        let stirred = self.stillness.as_mut().map(Stillness::stirred).unwrap_or_default();
        for id in stirred {
            if let Some(followed) = self.followed.get_mut(&id) {
                (followed.due, followed.is_watched) = (Some(Instant::now()), false);
            }
        }
    }

    fn next_due(&self) -> Instant {
        let dues = self.followed.values().filter_map(|followed| followed.due);
        dues.fold(self.flush_at.min(self.expire_at), Instant::min)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Follow(source) => {
                self.take_up(source);
            }
            Order::Finish(source, reply) => {
                let id = self.take_up(source);
                self.finish(&id);
                // Whoever waited may have gone.
                let _ = reply.send(());
            }
            Order::Flush(reply) => {
                let ids: Vec<String> = self.followed.keys().cloned().collect();
                ids.iter().for_each(|id| self.look(id, Instant::now()));
                self.flush();
                let _ = reply.send(());
            }
        }
    }

    fn take_up(&mut self, source: Source) -> String {
        let id = source.run.id.clone();
        if !self.followed.contains_key(&id) {
            let position = self.store().begin(source.run);
            let (path, tail) = (source.path.clone(), Tail::new(source.path, position));
            let followed = Followed {
                path,
                tail,
                due: Some(Instant::now()),
                is_watched: false,
                is_warned: false,
                is_ending: false,
            };
            self.followed.insert(id.clone(), followed);
        }
        id
    }

    /// Everything that is due.
    fn round(&mut self, now: Instant) {
        let due = self.followed.iter().filter(|(_, followed)| followed.due.is_some_and(|due| due <= now));
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        due.iter().for_each(|id| self.look(id, now));
        if self.flush_at <= now || self.store().waiting_bytes() > WAITING_BYTES_MAX {
            self.flush();
            self.flush_at = now + FLUSH_EVERY;
        }
        if self.expire_at <= now {
            let now_ns = i64::try_from(crate::shell::now().as_nanosecond()).unwrap_or(i64::MAX);
            self.store().expire(now_ns);
            self.expire_at = now + EXPIRE_EVERY;
        }
    }

    /// One look at a container's files.
    fn look(&mut self, id: &str, now: Instant) {
        if self.followed.get(id).is_some_and(|followed| followed.is_ending) {
            return self.finish(id);
        }
        let batch = self.read(id);
        let Some(followed) = self.followed.get_mut(id) else { return };
        followed.due = match batch {
            None => Some(now + BLIND_WAIT),
            Some(batch) if !batch.at_end => Some(now),
            Some(batch) if !batch.lines.is_empty() => Some(now + BUSY_WAIT),
            Some(_) if followed.is_watched => None,
            Some(_) => {
                let watched = self.stillness.as_mut().map(|stillness| stillness.watch(id, &followed.path));
                followed.is_watched = matches!(watched, Some(Ok(())));
                // What was written since we looked is in nobody's watch: one look more.
                Some(if followed.is_watched { now } else { now + BLIND_WAIT })
            }
        };
    }

    /// Reads on and takes in what is there. Nothing where reading failed or has to wait for the disk.
    fn read(&mut self, id: &str) -> Option<Batch> {
        if self.store().is_full(id) {
            let flushed = self.store().flush(id);
            self.warn(id, flushed);
            if self.store().is_full(id) {
                return None;
            }
        }
        let followed = self.followed.get_mut(id)?;
        let batch = match followed.tail.read(TURN_BYTES) {
            Ok(batch) => batch,
            Err(error) => {
                if !std::mem::replace(&mut followed.is_warned, true) {
                    tracing::warn!(container = id, %error, "failed to read a container's log; trying on");
                }
                return None;
            }
        };
        self.take(id, &batch);
        Some(batch)
    }

    fn take(&mut self, id: &str, batch: &Batch) {
        let Some(followed) = self.followed.get(id) else { return };
        let position = followed.tail.position();
        if batch.lines.is_empty() && batch.gaps == 0 {
            return;
        }
        let taken = self.store().take(id, batch, position);
        self.warn(id, taken);
        self.news.send_modify(|news| *news += 1);
    }

    /// Collects everything that is left. Where the disk has no room for it, its files are held open until there is: whatever
    /// becomes of their names, they can be read.
    fn finish(&mut self, id: &str) {
        let mut last = self.read(id);
        while last.as_ref().is_some_and(|batch| !batch.at_end) {
            last = self.read(id);
        }
        if last.is_none() && self.store().is_full(id) && self.may_hold(id) {
            return self.hold(id);
        }
        let time_ns = i64::try_from(crate::shell::now().as_nanosecond()).unwrap_or(i64::MAX);
        let rest = self.followed.get_mut(id).map(|followed| followed.tail.rest(time_ns)).unwrap_or_default();
        let unread = u64::from(last.is_none());
        self.take(id, &Batch { lines: rest, gaps: unread, at_end: true, damaged: 0 });
        let ended = self.store().end(id);
        self.warn(id, ended);
        self.followed.remove(id);
        if let Some(stillness) = &mut self.stillness {
            stillness.forget(id);
        }
    }

    fn may_hold(&self, id: &str) -> bool {
        self.followed.iter().filter(|(other, run)| *other != id && run.is_ending).count() < HELD_RUNS_MAX
    }

    fn hold(&mut self, id: &str) {
        let Some(followed) = self.followed.get_mut(id) else { return };
        (followed.is_ending, followed.due) = (true, Some(Instant::now() + BLIND_WAIT));
        match followed.tail.hold() {
            Ok(batch) => self.take(id, &batch),
            Err(error) => tracing::warn!(container = id, %error, "failed to hold the files of a container's log"),
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.store().flush_all() {
            tell(&error);
        }
    }

    /// Tells of a failure, once for each container until it succeeds again.
    fn warn(&mut self, id: &str, result: Result<(), StoreError>) {
        let Some(followed) = self.followed.get_mut(id) else { return };
        match result {
            Ok(()) => followed.is_warned = false,
            Err(error) if !std::mem::replace(&mut followed.is_warned, true) => tell(&error),
            Err(_) => {}
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(%error, cause, "lines of logs wait for the disk");
}

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};
    use sampan_logs::{Limits, Query};

    use super::super::tests::{source, write};
    use super::*;

    /// A collector of a store in `folder`.
    fn collector(folder: &std::path::Path) -> (Arc<Mutex<Store>>, Collector) {
        let store = Arc::new(Mutex::new(Store::open(folder.join("kept"), Limits::default()).unwrap()));
        (store.clone(), Collector::new(store, watch::channel(0).0))
    }

    /// Does what is due until nothing is written any more.
    fn settle(collector: &mut Collector, bell: &OwnedFd, id: &str) {
        while collector.followed[id].due.is_some() {
            collector.rest(bell);
            collector.round(Instant::now());
        }
    }

    #[test]
    fn what_the_disk_has_no_room_for_is_collected_once_it_has_though_its_files_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut collector) = collector(folder.path());
        let source = source(folder.path(), "1");
        // A file where the run's folder should be: a refusal also for root.
        std::fs::write(folder.path().join("kept/1"), b"").unwrap();
        let (lines, part) = (500_u64, "x".repeat(16 << 10));
        let entry = |number| {
            format!("{{\"log\":\"{number} {part}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}}\n")
        };
        std::fs::write(source.path.with_extension("1"), (0..lines / 2).map(entry).collect::<String>()).unwrap();
        std::fs::write(&source.path, (lines / 2..lines).map(entry).collect::<String>()).unwrap();
        let (reply, mut done) = oneshot::channel();
        collector.obey(Order::Finish(source.clone(), reply));
        done.try_recv().unwrap();
        assert!(store.lock().unwrap().is_full("1"), "more than may wait");
        std::fs::remove_file(source.path.with_extension("1")).unwrap();
        std::fs::remove_file(&source.path).unwrap();
        collector.round(Instant::now() + 2 * BLIND_WAIT);
        assert!(collector.followed.contains_key("1") && store.lock().unwrap().counts().failed_writes > 0);

        std::fs::remove_file(folder.path().join("kept/1")).unwrap();
        collector.round(Instant::now() + 4 * BLIND_WAIT);
        assert!(collector.followed.is_empty());
        let kept = Store::open(folder.path().join("kept"), Limits::default()).unwrap();
        let texts =
            kept.search(&Query::default()).unwrap().map(|found| String::from_utf8(found.unwrap().text).unwrap());
        let numbers: Vec<u64> = texts.map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..lines).collect::<Vec<_>>());
        assert_eq!(store.lock().unwrap().counts().gaps, 0);
    }

    #[test]
    fn a_resting_file_that_is_emptied_is_looked_at_and_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut collector) = collector(folder.path());
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let source = source(folder.path(), "1");
        write(&source.path, 0..3, &[]);
        collector.obey(Order::Follow(source.clone()));
        settle(&mut collector, &bell, "1");
        std::fs::OpenOptions::new().write(true).open(&source.path).unwrap().set_len(0).unwrap();
        collector.rest(&bell);
        settle(&mut collector, &bell, "1");
        assert_eq!(store.lock().unwrap().counts().gaps, 1, "what may be lost is counted");
        write(&source.path, 3..4, &[]);
        collector.rest(&bell);
        settle(&mut collector, &bell, "1");
        let found = store.lock().unwrap().search(&Query::default()).unwrap().last().unwrap().unwrap();
        assert_eq!(found.text, b"line 3");
        assert_eq!(store.lock().unwrap().counts().lines, 4);
    }

    #[test]
    fn who_writes_nothing_is_not_looked_at_until_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut collector) = collector(folder.path());
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let source = source(folder.path(), "1");
        write(&source.path, 0..1, &[]);
        collector.obey(Order::Follow(source.clone()));
        for written in 1..4 {
            settle(&mut collector, &bell, "1");
            assert!(collector.next_due() > Instant::now() + BLIND_WAIT, "nothing is due but what is now and then");
            assert_eq!(store.lock().unwrap().search(&Query::default()).unwrap().count(), written);
            write(&source.path, u32::try_from(written).unwrap()..u32::try_from(written).unwrap() + 1, &[2]);
            collector.rest(&bell);
        }
    }
}
