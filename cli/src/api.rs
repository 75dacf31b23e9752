//! Asking the API of a running cluster, as the administrator.

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::args::Explained;
use crate::data::DataFolder;

/// What is answered about one object at a path of Sampan's own.
///
/// # Errors
/// When the object is not named as kind/name, and as [`get`].
pub(crate) fn about(arguments: &Explained, path: &str) -> Result<String> {
    let (kind, name) = arguments.object.split_once('/').with_context(|| {
        format!("`{}` names no object: write it as kind/name, such as deploy/web", arguments.object)
    })?;
    let folder = DataFolder::open(&arguments.shown.folder.data)?;
    get(&folder, &format!("{path}/{kind}/{}/{name}", arguments.namespace))
}

/// What is answered to GET, as text.
///
/// # Errors
/// When no cluster runs there, or it refuses.
pub(crate) fn get(folder: &DataFolder, path: &str) -> Result<String> {
    runtime()?.block_on(async {
        let request = http::Request::get(path).body(Vec::new())?;
        client(folder).await?.request_text(request).await.map_err(|error| told(folder, error))
    })
}

/// Takes what is answered to GET line by line, for as long as `take` says to go on.
///
/// # Errors
/// When no cluster runs there, or it refuses, or the answer breaks off.
pub(crate) fn lines(folder: &DataFolder, path: &str, mut take: impl FnMut(&str) -> Result<bool>) -> Result<()> {
    runtime()?.block_on(async {
        let request = http::Request::get(path).body(Vec::new())?;
        let answer = client(folder).await?.request_stream(request).await.map_err(|error| told(folder, error))?;
        let mut lines = Box::pin(answer).lines();
        while let Some(line) = lines.try_next().await.context("the answer broke off")? {
            if !take(&line)? {
                break;
            }
        }
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn client(folder: &DataFolder) -> Result<kube::Client> {
    let kubeconfig = folder.kubeconfig();
    if !kubeconfig.exists() {
        bail!("no cluster has run in {}: start one with `sampan up --data {0}`", folder.path().display());
    }
    let kubeconfig = Kubeconfig::read_from(&kubeconfig).context("failed to read the kubeconfig")?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // Whoever follows may wait long for the next line.
    config.read_timeout = None;
    Ok(kube::Client::try_from(config)?)
}

fn told(folder: &DataFolder, error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow!("{}", status.message),
        other => anyhow::Error::new(other)
            .context(format!("no cluster answers for {}: start it with `sampan up`", folder.path().display())),
    }
}
