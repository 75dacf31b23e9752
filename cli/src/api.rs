//! Asking the API of a running cluster, as the administrator.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use sampan_nodeagent::host_address;

use crate::args::Explained;
use crate::data::DataFolder;

/// What is answered about one object at a path of Sampan's own.
///
/// # Errors
/// When the object is not named as kind/name, and as [`get`].
pub(crate) fn about(arguments: &Explained, path: &str) -> Result<String> {
    let (kind, name) = arguments.named()?;
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

/// The API as the kubeconfig of a folder leads to it.
pub(crate) struct Connection<'a> {
    folder: &'a DataFolder,
    config: kube::Config,
}

/// Where the cluster of a folder is found, and as whom.
///
/// # Errors
/// When none has run there.
pub(crate) fn connection(folder: &DataFolder) -> Result<Connection<'_>> {
    Ok(Connection { folder, config: runtime()?.block_on(config(folder))? })
}

impl Connection<'_> {
    /// Creates an object.
    ///
    /// # Errors
    /// When no cluster runs there, or it refuses.
    pub(crate) fn create<K>(&self, namespace: &str, object: &K) -> Result<()>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        runtime()?.block_on(async {
            let api = kube::Api::<K>::namespaced(kube::Client::try_from(self.config.clone())?, namespace);
            api.create(&PostParams::default(), object).await.map(drop).map_err(|error| told(self.folder, error))
        })
    }

    /// Where others find the API server. One that listens at all addresses of this machine is found at the one others know.
    pub(crate) fn server(&self) -> String {
        let shown = self.config.cluster_url.to_string();
        let shown = shown.trim_end_matches('/');
        let everywhere = Ipv4Addr::UNSPECIFIED.to_string();
        match (self.address(), host_address()) {
            (Some(address), Some(own)) if address.is_unspecified() => shown.replace(&everywhere, &own),
            _ => shown.to_owned(),
        }
    }

    fn address(&self) -> Option<IpAddr> {
        self.config.cluster_url.host()?.parse().ok()
    }

    /// The certificate of the cluster's authority, PEM.
    ///
    /// # Errors
    /// When the kubeconfig has none.
    pub(crate) fn authority(&self) -> Result<String> {
        let certificate = self.config.root_cert.as_ref().and_then(|certificates| certificates.first());
        let certificate = certificate.context("the kubeconfig names no authority")?;
        Ok(pem::encode(&pem::Pem::new("CERTIFICATE", certificate.clone())))
    }

    /// Whether nobody but this machine reaches it.
    pub(crate) fn is_local(&self) -> bool {
        self.address().is_some_and(|address| address.is_loopback())
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn client(folder: &DataFolder) -> Result<kube::Client> {
    let mut config = config(folder).await?;
    // Whoever follows may wait long for the next line.
    config.read_timeout = None;
    Ok(kube::Client::try_from(config)?)
}

async fn config(folder: &DataFolder) -> Result<kube::Config> {
    let kubeconfig = folder.kubeconfig();
    if !kubeconfig.exists() {
        bail!("no cluster has run in {}: start one with `sampan up --data {0}`", folder.path().display());
    }
    let kubeconfig = Kubeconfig::read_from(&kubeconfig).context("failed to read the kubeconfig")?;
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

fn told(folder: &DataFolder, error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow!("{}", status.message),
        other => anyhow::Error::new(other)
            .context(format!("no cluster answers for {}: start it with `sampan up`", folder.path().display())),
    }
}
