//! A node's logs in a folder of their own, an output of them, and who looks things up for it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sampan_logs::output::{Plan, Shape};
use sampan_logs::{Batch, Limits, Line, Position, Run, Store, Stream};
use sampan_outputs::receiver::Collector;
use sampan_outputs::{Destination, ForwardSettings, Kept, Output, Place, Report, SecretKey, Surroundings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Arc<Mutex<Store>>,
    news: watch::Sender<u64>,
    pub(crate) written: Vec<String>,
}

/// An output that runs.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    pub(crate) report: watch::Receiver<Report>,
}

/// Secrets by their key, and Services that lead to loopback.
pub(crate) struct Known(pub(crate) BTreeMap<&'static str, &'static str>);

#[async_trait::async_trait]
impl Surroundings for Known {
    async fn secret(&self, key: &SecretKey) -> Result<String, String> {
        self.0.get(key.key.as_str()).map(|value| (*value).to_owned()).ok_or_else(|| "it is not there".to_owned())
    }

    fn address(&self, host: &str) -> Option<IpAddr> {
        host.strip_suffix(".svc").map(|_| Ipv4Addr::LOCALHOST.into())
    }
}

pub(crate) fn secret(key: &str) -> SecretKey {
    SecretKey { namespace: "logging".into(), name: "fluentd".into(), key: key.into() }
}

pub(crate) fn forward(collector: &Collector) -> ForwardSettings {
    ForwardSettings {
        place: Place { host: "127.0.0.1".into(), port: collector.port() },
        tag: "sampan".into(),
        gzip: true,
        own_name: "here".into(),
        shared_key: None,
        user: None,
        tls: None,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("kept"), Limits::default()).unwrap();
        let (news, _) = watch::channel(0);
        Self { folder, store: Arc::new(Mutex::new(store)), news, written: Vec::new() }
    }

    /// Two containers write so many lines.
    pub(crate) fn write(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.written.len();
            self.say(&format!("line {number}"));
        }
        self.news.send_modify(|news| *news += 1);
    }

    pub(crate) fn say(&mut self, text: &str) {
        let number = self.written.len();
        let id = if number.is_multiple_of(3) { "aaaaaaaaaaaaaaaa" } else { "bbbbbbbbbbbbbbbb" };
        let [namespace, pod, uid, container, node] = ["shop", "web-0", "u", "main", "here"].map(str::to_owned);
        let run = Run { id: id.into(), namespace, pod, uid, container, attempt: 0, node, labels: BTreeMap::default() };
        let line = Line { time_ns: 1_000_000_000 + number as i64, stream: Stream::Stdout, text: text.into() };
        let mut store = self.store.lock().unwrap();
        store.begin(run);
        let batch = Batch { lines: vec![line], ..Batch::default() };
        store.take(id, &batch, Position { file: 1, offset: number as u64, skip: 0 }).unwrap();
        self.written.push(text.to_owned());
    }

    pub(crate) fn flush(&self) {
        self.store.lock().unwrap().flush_all().unwrap();
    }

    /// The node is killed: what was not on disk is gone, and is collected again.
    pub(crate) fn kill(&mut self) {
        let store = Store::open(self.folder.path().join("kept"), Limits::default()).unwrap();
        let texts = std::mem::take(&mut self.written);
        let known: usize = store.search(&sampan_logs::Query::default()).unwrap().count();
        assert!(known <= texts.len());
        drop(store);
        // The collector reads on behind what is on disk; here everything is written anew, which comes to the same.
        std::fs::remove_dir_all(self.folder.path().join("kept")).unwrap();
        *self.store.lock().unwrap() = Store::open(self.folder.path().join("kept"), Limits::default()).unwrap();
        texts.iter().for_each(|text| self.say(text));
    }

    pub(crate) fn cursor(&self) -> PathBuf {
        self.folder.path().join("cursor")
    }

    pub(crate) fn run(&self, destination: Destination) -> Running {
        self.run_as(destination, Shape::default(), BTreeMap::new())
    }

    pub(crate) fn run_as(
        &self,
        destination: Destination,
        shape: Shape,
        secrets: BTreeMap<&'static str, &'static str>,
    ) -> Running {
        let output = Output { plan: Plan::default(), shape, destination, cursor: self.cursor() };
        let kept = Kept { store: self.store.clone(), changed: self.news.subscribe() };
        let ((sender, report), stop) = (watch::channel(Report::default()), CancellationToken::new());
        let task = tokio::spawn(sampan_outputs::send(output, kept, Arc::new(Known(secrets)), sender, stop.clone()));
        Running { stop, task, report }
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// The process is killed: nothing is ended in order.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) async fn until(&mut self, what: impl FnMut(&Report) -> bool) -> Report {
        let waiting = tokio::time::timeout(crate::SOON, self.report.wait_for(what));
        let found = waiting.await.ok().map(|report| report.unwrap().clone());
        found.unwrap_or_else(|| panic!("not soon: {:?}", self.report.borrow()))
    }
}
