//! The logs of this node: who collects them, and who is told of them.

mod collector;
mod outputs;
mod stillness;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use sampan_logs::{Counts, Limits, Query, QueryError, Run, Search, Store};
use sampan_outputs::Kept;
use tokio::sync::{oneshot, watch};

use self::collector::{Collector, Order};
pub(crate) use self::outputs::Outputs;
use crate::NodeError;

/// A log to be collected: whose it is, and where Docker writes it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) run: Run,
    pub(crate) path: PathBuf,
}

/// The logs of this node, collected by a thread of their own. When the last of these is dropped, the thread ends.
pub(crate) struct Logs {
    orders: Option<Sender<Order>>,
    /// Rung for each order, and when there will be no more.
    bell: Arc<OwnedFd>,
    store: Arc<Mutex<Store>>,
    changed: watch::Receiver<u64>,
}

impl Logs {
    /// Opens what was kept in `folder` and begins to collect.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(crate) fn open(folder: &Path, limits: Limits) -> Result<Self, NodeError> {
        let failed = |source: sampan_logs::StoreError| NodeError::Logs { source };
        let store = Arc::new(Mutex::new(Store::open(folder, limits).map_err(failed)?));
        let (orders, inbox) = mpsc::channel();
        let (news, changed) = watch::channel(0);
        let collector = Collector::new(store.clone(), news);
        let started = NodeError::file("start the collector of", folder);
        let bell = eventfd(0, EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let bell = Arc::new(bell.map_err(|error| started(error.into()))?);
        let heard = bell.clone();
        let thread = std::thread::Builder::new().name("sampan-logs".to_owned());
        thread
            .spawn(move || collector.run(&inbox, &heard))
            .map_err(NodeError::file("start the collector of", folder))?;
        Ok(Self { orders: Some(orders), bell, store, changed })
    }

    /// Collects a log from now on.
    pub(crate) fn follow(&self, source: Source) {
        self.order(Order::Follow(source));
    }

    /// Collects what is left of a log nobody writes to any more, and returns when all of it is on disk, or its files are held until
    /// there is room for it.
    pub(crate) async fn finish(&self, source: Source) {
        let (reply, done) = oneshot::channel();
        self.order(Order::Finish(source, reply));
        // An error is the thread's end, which is told where it happens.
        let _ = done.await;
    }

    /// Writes everything to disk that waits.
    pub(crate) async fn flush(&self) {
        let (reply, done) = oneshot::channel();
        self.order(Order::Flush(reply));
        let _ = done.await;
    }

    fn order(&self, order: Order) {
        if self.orders.as_ref().is_none_or(|orders| orders.send(order).is_err()) {
            tracing::error!("logs are no longer collected: their thread has ended");
        }
        self.ring();
    }

    fn ring(&self) {
        // Who has been rung for as often as a number can tell will hear.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// What was collected and what became of it.
    pub(crate) fn counts(&self) -> Counts {
        self.store().counts()
    }

    /// The lines asked for from the given sequences on, and the sequences behind them.
    pub(crate) fn search(
        &self,
        query: &Query,
        from: &BTreeMap<String, u64>,
    ) -> Result<(Search, BTreeMap<String, u64>), QueryError> {
        let store = self.store();
        Ok((store.search_from(query, from)?, store.ends(query)))
    }

    /// Changes whenever lines were collected.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// What outputs read.
    fn kept(&self) -> Kept {
        Kept { store: self.store.clone(), changed: self.changed.clone() }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.orders = None;
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    /// How long anything here may take.
    const SOON: Duration = Duration::from_secs(20);

    pub(super) fn source(folder: &Path, id: &str) -> Source {
        let run = Run {
            id: id.to_owned(),
            namespace: "shop".to_owned(),
            pod: "web-0".to_owned(),
            uid: "u".to_owned(),
            container: "main".to_owned(),
            attempt: 0,
            node: "here".to_owned(),
            labels: BTreeMap::new(),
        };
        Source { run, path: folder.join(id) }
    }

    /// Writes lines as Docker does, and rotates its file before each of `rotate_before`.
    pub(super) fn write(path: &Path, numbers: std::ops::Range<u32>, rotate_before: &[u32]) {
        for number in numbers {
            if rotate_before.contains(&number) {
                let older = path.with_extension("2");
                let _ = std::fs::rename(path.with_extension("1"), &older);
                std::fs::rename(path, path.with_extension("1")).unwrap();
            }
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            let entry = format!(
                "{{\"log\":\"line {number}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00.{number:09}Z\"}}\n"
            );
            file.write_all(entry.as_bytes()).unwrap();
        }
    }

    fn lines(logs: &Logs) -> Vec<String> {
        let (search, _) = logs.search(&Query::default(), &BTreeMap::new()).unwrap();
        search.map(|found| String::from_utf8(found.unwrap().text).unwrap()).collect()
    }

    async fn until(logs: &Logs, expect: &[String]) {
        let mut changes = logs.changes();
        let came = async {
            while lines(logs) != expect {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(SOON, came).await.unwrap_or_else(|_| panic!("not {expect:?} but {:?}", lines(logs)));
    }

    fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
        numbers.map(|number| format!("line {number}")).collect()
    }

    #[tokio::test]
    async fn a_container_is_collected_once_across_rotation_restart_and_removal() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        let source = source(folder.path(), "1");
        write(&source.path, 0..10, &[5]);
        let logs = Logs::open(&kept, Limits::default()).unwrap();
        logs.follow(source.clone());
        until(&logs, &numbered(0..10)).await;
        write(&source.path, 10..20, &[15]);
        until(&logs, &numbered(0..20)).await;
        logs.flush().await;
        drop(logs);

        write(&source.path, 20..30, &[25]);
        let logs = Logs::open(&kept, Limits::default()).unwrap();
        assert_eq!(lines(&logs), numbered(0..20));
        logs.follow(source.clone());
        until(&logs, &numbered(0..30)).await;
        write(&source.path, 30..31, &[]);
        logs.finish(source.clone()).await;
        assert_eq!(lines(&logs), numbered(0..31), "whoever waited for the end has everything");
        std::fs::remove_file(&source.path).unwrap();
        logs.finish(source).await;
        drop(logs);

        let logs = Logs::open(&kept, Limits::default()).unwrap();
        assert_eq!(lines(&logs), numbered(0..31), "lines outlive their container");
        assert_eq!(logs.counts().gaps, 0);
    }
}
