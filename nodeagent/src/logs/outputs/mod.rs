//! The outputs of this node's logs: one for each LogOutput there is.
//!
//! How far each has come is a file in the node's folder, named by the object's uid: an output that is made again under the same
//! name begins anew.

mod spec;
mod status;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt};
use sampan_outputs::{Kept, Report};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::spec::{Ground, Spec};
use self::status::Subject;
use self::surroundings::Cluster;
use super::Logs;
use crate::services::Directory;

/// What the file of an output's place ends with.
const CURSOR: &str = "json";

/// The outputs of a node.
pub(crate) struct Outputs {
    objects: Api<DynamicObject>,
    cluster: Arc<Cluster>,
    kept: Kept,
    node: String,
    /// Where places are kept.
    places: PathBuf,
    /// Where files are written.
    files: PathBuf,
    running: BTreeMap<String, Running>,
    /// Uids a listing has shown so far.
    listed: BTreeSet<String>,
}

/// An output that runs.
struct Running {
    uid: String,
    generation: i64,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Outputs {
    /// Those of `node`, which keeps its files in `folder`.
    pub(crate) fn new(client: kube::Client, logs: &Logs, directory: Arc<Directory>, node: &str, folder: &Path) -> Self {
        let resource = ApiResource {
            group: "sampan.dev".into(),
            version: "v1".into(),
            api_version: "sampan.dev/v1".into(),
            kind: "LogOutput".into(),
            plural: "logoutputs".into(),
        };
        Self {
            objects: Api::all_with(client.clone(), &resource),
            cluster: Arc::new(Cluster { client, directory }),
            kept: logs.kept(),
            node: node.to_owned(),
            places: folder.join("log-outputs"),
            files: folder.join("outputs"),
            running: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }

    /// Runs them until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        if let Err(error) = std::fs::create_dir_all(&self.places) {
            tracing::error!(%error, path = %self.places.display(), "logs are sent nowhere: their outputs have no folder");
            return;
        }
        let _ = shutdown.run_until_cancelled(self.follow()).await;
        let names: Vec<String> = self.running.keys().cloned().collect();
        for name in names {
            self.stop(&name).await;
        }
    }

    async fn follow(&mut self) {
        let mut events = std::pin::pin!(watcher(self.objects.clone(), Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event).await,
                Err(error) => tracing::debug!(%error, "the watch of outputs of logs broke; asking again"),
            }
        }
    }

    async fn take(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(output) => {
                self.listed.extend(output.uid());
                self.apply(output).await;
            }
            Event::InitDone => {
                let gone = self.running.iter().filter(|(_, running)| !self.listed.contains(&running.uid));
                for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                    self.stop(&name).await;
                }
                self.forget_unlisted();
            }
            Event::Apply(output) => self.apply(output).await,
            Event::Delete(output) => {
                self.stop(&output.name_any()).await;
                output.uid().iter().for_each(|uid| forget(&self.place(uid)));
            }
        }
    }

    async fn apply(&mut self, output: DynamicObject) {
        let (name, uid) = (output.name_any(), output.uid().unwrap_or_default());
        let generation = output.metadata.generation.unwrap_or_default();
        if self.running.get(&name).is_some_and(|running| (&running.uid, running.generation) == (&uid, generation)) {
            return;
        }
        self.stop(&name).await;
        let (stop, subject) = (CancellationToken::new(), self.subject(&name, generation));
        let spec = serde_json::from_value::<Spec>(output.data.get("spec").cloned().unwrap_or_default());
        let created = output.metadata.creation_timestamp.map(|time| time.0);
        let ground = Ground { node: &self.node, name: &name, created, files: &self.files, cursor: self.place(&uid) };
        let tasks = match spec.map_err(Into::into).and_then(|spec| spec.output(ground)) {
            Err(error) => {
                vec![until(&stop, subject.refuse(error.to_string()))]
            }
            Ok(output) => {
                let (reporter, reports) = watch::channel(Report::default());
                let (kept, cluster) = (self.kept.clone(), self.cluster.clone());
                let sending = sampan_outputs::send(output, kept, cluster, reporter, stop.clone());
                vec![tokio::spawn(sending), until(&stop, subject.tell(reports))]
            }
        };
        self.running.insert(name, Running { uid, generation, stop, tasks });
    }

    fn subject(&self, name: &str, generation: i64) -> Subject {
        Subject { outputs: self.objects.clone(), name: name.to_owned(), node: self.node.clone(), generation }
    }

    async fn stop(&mut self, name: &str) {
        let Some(running) = self.running.remove(name) else { return };
        running.stop.cancel();
        for task in running.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, output = name, "an output of logs ended by itself");
            }
        }
    }

    fn place(&self, uid: &str) -> PathBuf {
        self.places.join(uid).with_extension(CURSOR)
    }

    /// Places of outputs that were deleted while nobody watched.
    fn forget_unlisted(&self) {
        let Ok(entries) = std::fs::read_dir(&self.places) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let uid = path.file_stem().and_then(|stem| stem.to_str());
            if uid.is_some_and(|uid| !self.listed.contains(uid)) {
                forget(&path);
            }
        }
    }
}

fn until(stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let stop = stop.clone();
    tokio::spawn(async move {
        let _ = stop.run_until_cancelled(work).await;
    })
}

/// A file that cannot be removed is found again at the next listing.
fn forget(place: &Path) {
    if let Err(error) = std::fs::remove_file(place)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %place.display(), "failed to remove the place of an output of logs");
    }
}
