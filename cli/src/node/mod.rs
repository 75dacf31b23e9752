//! `sampan node`: this machine as a node of a cluster whose API server is elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sampan_nodeagent::{
    DockerEndpoint, IdentityError, Joining, NodeAgent, NodeConfig, NodeIdentity, PodRange, Trust, host_address,
    listen_kubelet,
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
        logs: arguments.logs.limits(),
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
    if let Some(identity) = known_identity(arguments, folder)? {
        return Ok(identity);
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

/// As whom this machine joined before. Whose certificate has ended joins anew with a token; whose files cannot be read does not: they
/// may be right, and are another node's if they are not.
fn known_identity(arguments: &Node, folder: &DataFolder) -> Result<Option<NodeIdentity>> {
    let identity = match NodeIdentity::open(&folder.certificates()) {
        Err(IdentityError::Ended { .. }) if arguments.token.is_some() => None,
        opened => opened?,
    };
    if let (Some(identity), Some(server)) = (&identity, &arguments.server) {
        ensure!(
            identity.server() == server,
            "{} is of node {} of {}, not of {server}: choose another folder with --data",
            folder.path().display(),
            identity.name(),
            identity.server(),
        );
    }
    Ok(identity)
}

/// Where others reach this machine.
fn address(given: Option<IpAddr>) -> Result<IpAddr> {
    let found = given.or_else(|| host_address()?.parse().ok());
    found.context("this machine has no address others reach it at: give one with --address")
}

/// Where the API server is on this machine, so are all nodes: none needs to lead to another's pods.
fn pod_range(identity: &NodeIdentity) -> PodRange {
    if identity.server().host().is_some_and(is_here) { PodRange::OfDocker } else { PodRange::OfCluster }
}

/// Whether the host of a URL is this machine, whatever it is called elsewhere (RFC 6761 for the names). An address of IPv6 is
/// written in brackets.
fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn this_machine_is_known_by_its_names_and_addresses() {
        for (host, expect) in [
            ("127.0.0.1", true),
            ("127.1.2.3", true),
            ("[::1]", true),
            ("localhost", true),
            ("LocalHost.", true),
            ("api.localhost", true),
            ("192.0.2.1", false),
            ("[2001:db8::1]", false),
            ("localhost.example", false),
        ] {
            let server: http::Uri = format!("https://{host}:6443").parse().unwrap();
            assert_eq!(server.host().is_some_and(is_here), expect, "{host}");
        }
    }

    fn arguments(folder: &Path, server: &str) -> Node {
        let data = folder.to_str().unwrap();
        let given = ["sampan", "node", "--data", data, "--server", server, "--token", "abc123.0123456789abcdef"];
        match Arguments::parse_from(given).command {
            Command::Node(node) => node,
            _ => unreachable!("a node is asked for"),
        }
    }

    #[test]
    fn a_machine_that_has_joined_joins_no_other_cluster_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::create(folder.path()).unwrap();
        let known = |server: &str| known_identity(&arguments(folder.path(), server), &data);
        assert!(known("https://192.0.2.1:6443").unwrap().is_none(), "nobody has joined");
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        std::fs::create_dir(data.certificates()).unwrap();
        let write = |file: &str, text: &str| std::fs::write(data.certificates().join(file), text).unwrap();
        write("ca.crt", &certificate);
        write("node.pem", &format!("{certificate}{}", key.serialize_pem()));
        write("membership.json", r#"{"node": "web", "server": "https://192.0.2.1:6443"}"#);
        assert_eq!(known("https://192.0.2.1:6443/").unwrap().unwrap().name(), "web");
        let refused = known("https://192.0.2.2:6443").err().unwrap().to_string();
        assert!(
            refused.contains("is of node web of https://192.0.2.1:6443/, not of https://192.0.2.2:6443/"),
            "{refused}"
        );
        write("node.pem", "nothing");
        let refused = known("https://192.0.2.1:6443").err().unwrap().to_string();
        assert!(refused.contains("node.pem"), "a token does not make up for damage: {refused}");
    }
}
