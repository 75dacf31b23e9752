//! `sampan operator run`: a plugin under development, in a cluster that runs.
//!
//! The folder is installed as a plugin, its files in it, by the way everybody's manifests go, and again whenever it is edited: so
//! what is seen is what it does once it is installed for good. The cluster tells what it decides and says.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::stream::{self, BoxStream};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Config, ResourceExt as _};
use sampan_core::manifest::follow_folder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

mod folder;
mod shown;

use crate::args::RunOperator;
use crate::say::{self, say};
use folder::{Installed, PluginFolder};
use shown::{Shown, Told};

/// Who installs the plugin: what others have installed is not taken over.
const FIELD_MANAGER: &str = "sampan-operator-run";
/// How long edits gather: an editor writes a file in several steps, and people several files.
const EDITS_GATHER: Duration = Duration::from_millis(100);
/// The wait before a cluster that does not answer is asked again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: &RunOperator) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(develop(arguments))
}

async fn develop(arguments: &RunOperator) -> Result<()> {
    let folder = PluginFolder::at(&arguments.folder)?;
    let edits = Arc::new(Notify::new());
    let edited = edits.clone();
    let tell = move || edited.notify_one();
    let _followed = follow_folder(folder.path(), tell)
        .map_err(|error| anyhow::anyhow!("failed to follow {}: {error}", folder.path().display()))?;
    let mut installed = folder.read()?;
    let bench = Bench::connect(arguments.against.as_deref(), &installed).await?;
    let mut feed = bench.feed().await?;
    let mut how = pin!(bench.health());
    // From here on whoever ends this has the plugin removed.
    let (mut interrupted, mut ended) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = bench.install(&installed) => done?,
        _ = interrupted.recv() => return bench.remove().await,
        _ = ended.recv() => return bench.remove().await,
    }
    let mut shown = Shown::default();
    let followed = async {
        say::line(format_args!(
            "{} runs in {}; what is edited in {} takes its place; Ctrl-C removes it",
            bench.name,
            bench.server,
            arguments.folder.display()
        ))?;
        loop {
            tokio::select! {
                Some(line) = feed.next() => shown.tell(&line)?,
                Some(plugin) = how.next() => shown.health(&plugin)?,
                () = edits.notified() => {
                    tokio::time::sleep(EDITS_GATHER).await;
                    match take_up(&bench, &folder, &installed).await {
                        Ok(Some(now)) => {
                            say::line(format_args!("edited: {}", now.differs_from(&installed).join(", ")))?;
                            installed = now;
                        }
                        Ok(None) => {}
                        Err(error) => say::line(format_args!("not taken up: {error:#}"))?,
                    }
                }
                _ = interrupted.recv() => return Ok(()),
                _ = ended.recv() => return Ok(()),
            }
        }
    };
    let followed = followed.await;
    bench.remove().await?;
    followed
}

/// Installs the folder as it is now, where it is another than before.
async fn take_up(bench: &Bench, folder: &PluginFolder, before: &Installed) -> Result<Option<Installed>> {
    let now = folder.read()?;
    if now == *before {
        return Ok(None);
    }
    ensure!(now.name == before.name, "it is called {} now: end this and start it again", now.name);
    bench.install(&now).await?;
    Ok(Some(now))
}

/// The cluster a plugin is tried in.
struct Bench {
    client: Client,
    server: String,
    name: String,
    plugins: Api<DynamicObject>,
}

impl Bench {
    async fn connect(kubeconfig: Option<&Path>, installed: &Installed) -> Result<Self> {
        let mut config = match kubeconfig {
            Some(path) => {
                let kubeconfig =
                    Kubeconfig::read_from(path).with_context(|| format!("failed to read {}", path.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
            }
            None => Config::from_kubeconfig(&KubeConfigOptions::default())
                .await
                .context("name a kubeconfig by --against")?,
        };
        // Who follows may wait long for the next decision.
        config.read_timeout = None;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config)?;
        let kind = GroupVersionKind::gvk("sampan.dev", "v1", "OperatorPlugin");
        let (kind, _) = kube::discovery::pinned_kind(&client, &kind)
            .await
            .with_context(|| format!("failed to find a Sampan at {server}"))?;
        let bench =
            Self { plugins: Api::all_with(client.clone(), &kind), client, server, name: installed.name.clone() };
        bench.refuse_foreign(&bench.plugins, "plugin", &bench.name).await?;
        Ok(bench)
    }

    /// What others have installed is not taken over.
    async fn refuse_foreign(&self, objects: &Api<DynamicObject>, kind: &str, name: &str) -> Result<()> {
        let Some(there) = objects.get_opt(name).await? else { return Ok(()) };
        let is_own = there.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
        ensure!(is_own, "the {kind} {name} is installed in {} already: remove it from there first", self.server);
        Ok(())
    }

    /// Applies all documents of the manifest; what others have made is left as it is.
    async fn install(&self, installed: &Installed) -> Result<()> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        for manifest in &installed.manifests {
            let kind = GroupVersionKind::try_from(manifest.types.clone().context("a manifest has a kind")?)?;
            let (kind, _) = kube::discovery::pinned_kind(&self.client, &kind).await?;
            let objects: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
            let name = manifest.name_any();
            self.refuse_foreign(&objects, &kind.kind, &name).await?;
            objects.patch(&name, &params, &Patch::Apply(manifest)).await.map_err(|error| match error {
                kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
                other => anyhow::Error::new(other).context(format!("failed to apply {} {name}", kind.kind)),
            })?;
        }
        Ok(())
    }

    /// What the operator decides and says, from now on. A cluster that is away is waited for.
    async fn feed(&self) -> Result<BoxStream<'_, Told>> {
        let first =
            self.lines().await.with_context(|| format!("{} does not tell what its operators do", self.server))?;
        let again = stream::repeat(()).then(move |()| async {
            loop {
                tokio::time::sleep(ASKED_AGAIN_AFTER).await;
                if let Ok(lines) = self.lines().await {
                    return stream::once(async { Told::Returned }).chain(lines).boxed();
                }
            }
        });
        Ok(stream::once(async { first }).chain(again).flatten().boxed())
    }

    async fn lines(&self) -> Result<BoxStream<'static, Told>> {
        let request = http::Request::get(format!("/sampan.dev/v1/operators/{}/feed", self.name)).body(Vec::new())?;
        let lines = Box::pin(self.client.request_stream(request).await?).lines();
        let told = lines.map_err(anyhow::Error::new).and_then(|line| async move { Ok(serde_json::from_str(&line)?) });
        // Where it breaks off it is asked for again.
        Ok(told.take_while(|told| std::future::ready(told.is_ok())).filter_map(|told| async { told.ok() }).boxed())
    }

    /// The plugin as its status changes.
    fn health(&self) -> impl futures::Stream<Item = DynamicObject> {
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let changes = watcher(self.plugins.clone(), only).default_backoff().applied_objects();
        changes.filter_map(|plugin| async { plugin.ok() })
    }

    async fn remove(&self) -> Result<()> {
        match self.plugins.delete(&self.name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            removed => drop(removed.context("failed to remove the plugin")?),
        }
        say!("{} is removed; what it made is as its `removal` says", self.name);
        Ok(())
    }
}
