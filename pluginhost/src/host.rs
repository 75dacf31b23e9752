//! From OperatorPlugins in the store to programs that run, and back to their status.
//!
//! The host looks at what is wanted and what runs whenever it is told of something that may matter: a plugin has changed, a file of
//! the manifests directory, a definition of a kind. While nothing happens it does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sampan_core::gateway::Cluster;
use sampan_core::manifest::{Followed, follow_folder};
use sampan_core::object::{Name, Object, ResourceType, Uid};
use sampan_core::operator::Crew;
use sampan_core::plugin::{Charter, PluginOperator, PluginSpec, Removal};
use sampan_core::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;
use sampan_core::resource::{MANIFEST_FILES, OPERATOR_PLUGINS};
use sampan_core::status::Status;
use sampan_core::store::Snapshot;
use sampan_machine::lasting;
use serde_json::Value;
use tokio::sync::{Notify, oneshot, watch};

use crate::asking::Suspending;
use crate::folder::Folders;
use crate::health::{Health, Phase};
use crate::launch::Place;
use crate::removal;
use crate::running::Running;
use crate::source::{self, Files, Stamp};

/// How long after it was told of something it looks again: a kind is served, or is not any more, a little after its definition says
/// so. It is the wait, too, before what could not be done is tried again, and where nobody tells of files.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// For what nobody tells of: a directory that was moved away and came back.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// What tells of plugins: themselves, the files they came from, the kinds they work on.
const TELLING: [ResourceType; 3] = [OPERATOR_PLUGINS, MANIFEST_FILES, CUSTOM_RESOURCE_DEFINITIONS];
/// How long statuses gather before they are written: a program that starts and stops writes no more often.
const STATUS_GATHERS: Duration = Duration::from_millis(50);

/// What a host stands on.
pub struct Surroundings {
    /// The cluster.
    pub cluster: Cluster,
    /// The operators at work.
    pub crew: Crew,
    /// The manifests directory, where plugins' files are.
    pub manifests: PathBuf,
    /// The binary whose `confine` puts bounds on a program and becomes it.
    pub binary: PathBuf,
    /// Names that are other operators'.
    pub taken: BTreeSet<&'static str>,
}

/// Runs the plugins of a cluster.
pub struct Host {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Host {
    /// Starts, on the runtime this is called in.
    pub fn start(around: Surroundings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let folders = Folders::of(around.cluster.store().reader().cluster_uid());
        let (changed, changes) = watch::channel(());
        let keeper = Keeper { around, folders, plugins: BTreeMap::new(), changed };
        Self { stop, task: tokio::spawn(keeper.run(stopped, changes)) }
    }

    /// Ends all programs and waits for that. What they made stays.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

/// What a program is made of. Where it differs, another program is started.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    uid: Uid,
    spec: PluginSpec,
    files: Files,
}

/// A plugin that is known, running or not.
struct Known {
    wanted: Option<Wanted>,
    stamp: Option<Stamp>,
    running: Option<Running>,
    health: watch::Receiver<Health>,
    /// What was last written.
    written: Option<Value>,
}

/// What keeps a program from running.
struct Hindrance {
    reason: &'static str,
    what: String,
}

struct Keeper {
    around: Surroundings,
    folders: Folders,
    plugins: BTreeMap<Name, Known>,
    /// Told when the health of any program changes.
    changed: watch::Sender<()>,
}

impl Keeper {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>, mut changes: watch::Receiver<()>) {
        let edited = Arc::new(Notify::new());
        let followed = self.follow_files(edited.clone());
        let mut was_told = false;
        loop {
            let reader = self.around.cluster.store().reader();
            let [plugins, files, definitions] = TELLING.map(|resource| reader.listen(resource));
            let all_done = self.look().await;
            let is_at_rest = !was_told && all_done && followed.is_some();
            let wait = if is_at_rest { LONGEST_WAIT } else { LOOK_AGAIN_AFTER };
            was_told = tokio::select! {
                _ = &mut stopped => break,
                () = plugins => true,
                () = files => true,
                () = definitions => true,
                () = edited.notified() => true,
                _ = changes.changed() => {
                    tokio::time::sleep(STATUS_GATHERS).await;
                    was_told
                }
                () = tokio::time::sleep(wait) => false,
            };
        }
        for name in self.plugins.keys().cloned().collect::<Vec<_>>() {
            self.dismiss(&name).await;
        }
        self.folders.remove_all();
    }

    /// Has edits of the manifests directory told.
    fn follow_files(&self, edited: Arc<Notify>) -> Option<Followed> {
        let directory = &self.around.manifests;
        let followed = follow_folder(directory, move || edited.notify_one());
        let told = followed.inspect_err(|error| {
            tracing::warn!(directory = %directory.display(), error, "edits of plugins' files are not told: they are looked for");
        });
        told.ok()
    }

    /// Looks at every plugin. `false` where something could not be done, and is to be tried again.
    async fn look(&mut self) -> bool {
        let snapshot = self.around.cluster.snapshot();
        let plugins: Vec<Arc<Object>> = snapshot.list(OPERATOR_PLUGINS, None, None).cloned().collect();
        let there: BTreeSet<&Name> = plugins.iter().map(|plugin| &plugin.key().name).collect();
        let gone: Vec<Name> = self.plugins.keys().filter(|name| !there.contains(name)).cloned().collect();
        for name in gone {
            self.dismiss(&name).await;
        }
        let mut all_done = true;
        for plugin in &plugins {
            let done = match plugin.metadata().is_terminating() {
                true => self.remove(plugin).await,
                false => self.tend(plugin, &snapshot).await,
            };
            if let Err(status) = done {
                tracing::warn!(plugin = &*plugin.key().name, %status, "a plugin waits");
                all_done = false;
            }
        }
        all_done
    }

    /// Has what is wanted run, and says how it is.
    async fn tend(&mut self, plugin: &Arc<Object>, snapshot: &Snapshot) -> Result<(), Status> {
        let name = plugin.key().name.clone();
        if let Err(hindrance) = self.run_wanted(plugin, snapshot).await {
            self.hinder(&name, hindrance).await;
        }
        self.report(plugin).await
    }

    async fn run_wanted(&mut self, plugin: &Object, snapshot: &Snapshot) -> Result<(), Hindrance> {
        let name = plugin.key().name.clone();
        if self.around.taken.contains(&*name) {
            let what = format!("an operator of the name {name} is there already: the plugin needs another");
            return Err(Hindrance { reason: "NameTaken", what });
        }
        let value = plugin.value();
        let invalid = |error: serde_json::Error| Hindrance { reason: "Invalid", what: error.to_string() };
        let spec = PluginSpec::read(&value).map_err(invalid)?;
        let registry = self.around.cluster.registry();
        let charter = Charter::new(&name, &spec, &registry);
        let charter = charter.map_err(|error| Hindrance { reason: "Unfit", what: error.to_string() })?;
        let (stamp, files) = self.files(plugin, &spec, snapshot)?;
        let wanted = Wanted { uid: plugin.metadata().uid.clone(), spec, files };
        let known = self.plugins.get_mut(&name).filter(|known| known.running.is_some());
        if let Some(known) = known.filter(|known| known.wanted.as_ref() == Some(&wanted)) {
            known.stamp = stamp;
            return Ok(());
        }
        self.dismiss(&name).await;
        self.launch(&name, charter, wanted, stamp)
    }

    /// The files of a plugin: those known, where nothing has touched them since.
    fn files(
        &self,
        plugin: &Object,
        spec: &PluginSpec,
        snapshot: &Snapshot,
    ) -> Result<(Option<Stamp>, Files), Hindrance> {
        let hindrance = |error: source::SourceError| Hindrance { reason: "NoFiles", what: error.to_string() };
        let beside = source::beside(spec);
        if beside.is_empty() {
            return Ok((None, source::gather(spec, &self.around.manifests).map_err(hindrance)?));
        }
        let folder = source::folder_of(plugin.key(), snapshot, &self.around.manifests).map_err(hindrance)?;
        let stamp = source::stamp(&folder, &beside).map_err(hindrance)?;
        let known = self.plugins.get(&plugin.key().name).filter(|known| known.stamp.as_ref() == Some(&stamp));
        let is_same = |known: &PluginSpec| (&known.files, &known.contents) == (&spec.files, &spec.contents);
        match known.and_then(|known| known.wanted.as_ref()).filter(|wanted| is_same(&wanted.spec)) {
            Some(wanted) => Ok((Some(stamp), wanted.files.clone())),
            None => Ok((Some(stamp), source::gather(spec, &folder).map_err(hindrance)?)),
        }
    }

    fn launch(&mut self, name: &Name, charter: Charter, wanted: Wanted, stamp: Option<Stamp>) -> Result<(), Hindrance> {
        let taken = self.plugins.values().filter_map(|known| known.running.as_ref()).flat_map(Running::users);
        let mut place = Place {
            folders: &self.folders,
            binary: &self.around.binary,
            taken: taken.collect(),
            group: None,
            words: self.around.cluster.words().clone(),
        };
        let spec = &wanted.spec;
        let running = Running::start(name, spec, &wanted.files, &mut place);
        let running = running.map_err(|error| Hindrance { reason: "NoFolder", what: error.to_string() })?;
        tracing::info!(plugin = &**name, "the plugin is started");
        let (line, effects) = (running.line(), running.effects(spec));
        let program = Suspending::new(lasting(name), line, self.around.crew.clone(), effects);
        self.around.crew.install(PluginOperator::new(charter, spec.clone(), Arc::new(program)));
        let health = running.health();
        for health in [health.clone()].into_iter().chain(running.performing()) {
            self.pass_on(health);
        }
        let running = Some(running);
        self.plugins.insert(name.clone(), Known { wanted: Some(wanted), stamp, running, health, written: None });
        Ok(())
    }

    /// Has changes of a program's health wake the host.
    fn pass_on(&self, mut health: watch::Receiver<Health>) {
        let changed = self.changed.clone();
        tokio::spawn(async move {
            while health.changed().await.is_ok() {
                changed.send_replace(());
            }
        });
    }

    async fn hinder(&mut self, name: &Name, hindrance: Hindrance) {
        let Hindrance { reason, what } = hindrance;
        let phase = Phase::Waiting { reason, what };
        if self.plugins.get(name).is_some_and(|known| known.health.borrow().phase == phase) {
            return;
        }
        self.dismiss(name).await;
        let (_, health) = watch::channel(Health::in_phase(phase));
        let known = Known { wanted: None, stamp: None, running: None, health, written: None };
        self.plugins.insert(name.clone(), known);
    }

    /// Writes how a program is, where that is not what was written.
    async fn report(&mut self, plugin: &Arc<Object>) -> Result<(), Status> {
        let Some(known) = self.plugins.get_mut(&plugin.key().name) else { return Ok(()) };
        let value = plugin.value();
        let before = value.get("status").cloned().unwrap_or_default();
        let generation = value.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        let user = known.running.as_ref().and_then(Running::user);
        let (health, now) = (known.health.borrow_and_update().clone(), Timestamp::now());
        let mut status = health.status(&before, generation, user, now);
        let performing = known.running.as_ref().and_then(Running::performing);
        if let (Some(health), Some(conditions)) =
            (performing, status.pointer_mut("/conditions").and_then(Value::as_array_mut))
        {
            conditions.push(health.borrow().performing(&before, generation, now));
        }
        if known.written.as_ref() == Some(&status) {
            return Ok(());
        }
        removal::write_status(&self.around.cluster, plugin, status.clone()).await?;
        known.written = Some(status);
        Ok(())
    }

    /// Ends a plugin's program; its operator is no more.
    async fn dismiss(&mut self, name: &Name) {
        let Some(running) = self.plugins.remove(name).and_then(|known| known.running) else { return };
        self.around.crew.remove(name);
        running.stop(&self.folders).await;
    }

    /// Ends a plugin that is being deleted: first its program, then what its spec says of its objects.
    async fn remove(&mut self, plugin: &Arc<Object>) -> Result<(), Status> {
        let name = plugin.key().name.clone();
        self.dismiss(&name).await;
        let cluster = &self.around.cluster;
        if !self.around.taken.contains(&*name) {
            removal::release(cluster, &name).await?;
            removal::give_up_effects(cluster, &name).await?;
            if PluginSpec::read(&plugin.value()).is_ok_and(|spec| spec.removal == Removal::Delete) {
                removal::delete_created(cluster, &name).await?;
            }
        }
        removal::let_go(cluster, plugin).await
    }
}
