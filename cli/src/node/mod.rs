//! `sampan node`: this machine as a node of a cluster whose API server is elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sampan_nodeagent::{
    DockerEndpoint, Joining, NodeAgent, NodeConfig, NodeIdentity, PodRange, Trust, host_address, listen_kubelet,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::Node;
use crate::control::{self, Answer, Question, is_running};
use crate::daemon::{host_name, show_log, until_told_to_end, uuid};
use crate::data::DataFolder;

/// Threads for the node; its logs and outputs have their own.
const WORKERS: usize = 2;

/// Joins, unless this machine has joined before, and runs the node until it is told to end.
pub(crate) fn run(arguments: &Node) -> Result<()> {
    show_log(std::io::stderr);
    let folder = DataFolder::create(&arguments.folder.data)?;
    ensure!(!folder.store().exists(), "{} holds a cluster: choose another folder with --data", folder.path().display());
    ensure!(!is_running(&folder), "a node runs already on {}", folder.path().display());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let outcome = runtime.block_on(serve(arguments, &folder));
    let _ = std::fs::remove_file(folder.control_socket());
    outcome
}

async fn serve(arguments: &Node, folder: &DataFolder) -> Result<()> {
    let shutdown = CancellationToken::new();
    let identity = tokio::select! {
        identity = identity(arguments, folder) => Arc::new(identity?),
        ended = until_told_to_end(&shutdown) => return ended,
    };
    let address = address(arguments.address)?;
    let listening = SocketAddr::new(address, arguments.port);
    let listener = TcpListener::bind(listening).await;
    let listener =
        listener.with_context(|| format!("failed to listen on {listening}: choose another port with --port"))?;
    let client = identity.client()?;
    let config = NodeConfig {
        docker: DockerEndpoint::from_environment(),
        address: Some(address),
        pod_range: pod_range(&identity),
        kubelet_port: Some(listener.local_addr()?.port()),
        ..NodeConfig::new(identity.name(), own_id(folder)?, folder.node())
    };
    let agent = NodeAgent::new(config, client.clone()).await.context("failed to start the node: is Docker running?")?;
    tokio::spawn(listen_kubelet(listener, identity.daemon_config()?, agent.kubelet_api(), shutdown.clone()));
    let (renewed, stop) = (identity.clone(), shutdown.clone());
    tokio::spawn(async move { renewed.keep(client, stop).await });
    let stop = shutdown.clone();
    control::serve(folder, move |question| answer(&question, &stop))?;
    tracing::info!("node {} of {} runs its pods", identity.name(), identity.server());
    let ending = shutdown.clone();
    tokio::spawn(async move {
        let told = until_told_to_end(&ending).await;
        ending.cancel();
        told
    });
    agent.run(shutdown).await?;
    tracing::info!("ended; the pods keep running");
    Ok(())
}

/// Who this machine is: as it joined before, or as it joins now.
async fn identity(arguments: &Node, folder: &DataFolder) -> Result<NodeIdentity> {
    match NodeIdentity::open(&folder.certificates()) {
        Ok(Some(identity)) => return Ok(identity),
        // One with a token joins anew.
        Err(error) if arguments.token.is_none() => return Err(error.into()),
        Ok(None) | Err(_) => {}
    }
    let (Some(server), Some(token)) = (&arguments.server, &arguments.token) else {
        bail!(
            "this machine has not joined a cluster: `sampan token create` where it runs prints the command that does"
        );
    };
    let trust = match (&arguments.ca_hash, &arguments.ca) {
        (Some(pin), _) => Trust::Pinned(pin.clone()),
        (None, Some(path)) => Trust::Authority(
            std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?,
        ),
        (None, None) => {
            bail!("how is the API server known? Give --ca-hash, as `sampan token create` prints it, or --ca")
        }
    };
    let name = arguments.name.clone().unwrap_or_else(host_name);
    let joining = Joining { name, server: server.clone(), token: token.clone(), trust };
    let joined = NodeIdentity::join(&folder.certificates(), joining).await;
    joined.map_err(|error| anyhow!(error).context("failed to join the cluster"))
}

/// Where others reach this machine.
fn address(given: Option<IpAddr>) -> Result<IpAddr> {
    let found = given.or_else(|| host_address()?.parse().ok());
    found.context("this machine has no address others reach it at: give one with --address")
}

/// Where the API server is on this machine, so are all nodes: none needs to lead to another's pods.
fn pod_range(identity: &NodeIdentity) -> PodRange {
    let host = identity.server().host().and_then(|host| host.parse::<IpAddr>().ok());
    let is_here = host.is_some_and(|address| address.is_loopback());
    if is_here { PodRange::OfDocker } else { PodRange::OfCluster }
}

/// What this node's containers, networks and rules are known by: of its folder, so that two nodes share a machine.
fn own_id(folder: &DataFolder) -> Result<String> {
    if let Some(id) = folder.cluster_id()? {
        return Ok(id);
    }
    let id = uuid();
    folder.note_cluster_id(&id)?;
    Ok(id)
}

fn answer(question: &Question, shutdown: &CancellationToken) -> Answer {
    match question {
        Question::Stop => {
            shutdown.cancel();
            Ok(json!({}))
        }
        _ => Err("this is a node of a cluster that runs elsewhere: ask there".to_owned()),
    }
}
