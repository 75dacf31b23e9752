//! The kernel's side: running nft, being told that somebody took our table away, and what else of the kernel Services need.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::script::{Ground, forgetting, removal, table_name};
use super::table::Left;

/// Why the rules are not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A program cannot be run.
    #[error("failed to run {program}: {source}")]
    Run {
        /// Its name.
        program: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// nft refused what it was told.
    #[error("nft refused the rules of Services: {0}")]
    Refused(String),
    /// The kernel refused what it was told, or does not listen.
    #[error("failed to tell the kernel a change of Services: {0}")]
    Tell(#[source] io::Error),
}

/// Has nft carry out a script, all of it or nothing.
pub async fn apply(script: &str) -> Result<(), KernelError> {
    let failed = |source| KernelError::Run { program: "nft", source };
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // nft that ends early says itself what was wrong.
        let _ = stdin.write_all(script.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(KernelError::Refused(said.lines().next().unwrap_or_default().trim().to_owned()))
}

/// Has the kernel lead datagrams anew that went where they are led no more. That nothing went there is no failure.
pub(super) async fn forget(left: &Left) {
    let mut command = Command::new("conntrack");
    command.args(forgetting(left)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.status().await {
        tracing::info!(%error, "datagrams may go to an endpoint that is gone: is conntrack installed?");
    }
}

/// Tells when the table, a chain of it or a rule is taken away by somebody. We take none away, but for writing the table as a
/// whole, after which a watch begins.
pub(super) struct Watch {
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    lost: [String; 3],
    _child: Child,
}

impl Watch {
    /// Listens to the kernel from now on.
    pub(super) fn open(table: &str) -> Result<Self, KernelError> {
        let failed = |source| KernelError::Run { program: "nft monitor", source };
        let mut command = Command::new("nft");
        command.arg("monitor").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let lost = ["table", "chain", "rule"].map(|what| format!("delete {what} ip {table} "));
        Ok(Self { lines: BufReader::new(stdout).lines(), lost, _child: child })
    }

    /// Waits until the table is lost; an error once the kernel is not listened to any more.
    pub(super) async fn lost(&mut self) -> io::Result<()> {
        loop {
            let mut line = self.lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            line.push(' ');
            if self.lost.iter().any(|lost| line.starts_with(lost.as_str())) {
                return Ok(());
            }
        }
    }
}

/// What one of the table's chains holds; nothing where there is no table.
async fn listing(table: &str) -> Option<String> {
    let listing = Command::new("nft").args(["list", "chain", "ip", table, "refuse"]).stdin(Stdio::null()).output();
    let output = listing.await.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the table is there with its rules: they are taken away one and all.
pub(super) async fn is_there(table: &str) -> bool {
    listing(table).await.is_some_and(|chain| chain.contains("reject"))
}

/// Whether frames between pods pass the rules, after asking the kernel to have them do so.
pub fn rules_see_bridge() -> bool {
    let switch = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    let is_on = || std::fs::read_to_string(switch).is_ok_and(|text| text.trim() == "1");
    if !is_on() {
        let _ = std::fs::write(switch, "1");
    }
    is_on()
}

/// Lets `localhost` of the node lead to pods, and what comes from outside pass Docker's own filter, which otherwise drops
/// what is sent to a container that publishes no port. Docker keeps a chain for such rules of others.
pub(super) async fn open_ways(ground: &Ground) {
    let local = format!("/proc/sys/net/ipv4/conf/{}/route_localnet", ground.bridge);
    if let Err(error) = std::fs::write(&local, "1") {
        tracing::info!(%error, "ports of the node are not to be reached at localhost");
    }
    let rule = docker_rule(&ground.table, &ground.bridge);
    let has_rule = iptables("-C", &rule).await;
    if !has_rule && !iptables("-I", &rule).await {
        tracing::warn!("Docker's filter takes no rule: pods may not be reached from outside by ports of the node");
    }
}

fn docker_rule(table: &str, bridge: &str) -> Vec<String> {
    let rule = ["DOCKER-USER", "-o", bridge, "-m", "conntrack", "--ctstate", "DNAT"];
    let named = ["-m", "comment", "--comment", table, "-j", "ACCEPT"];
    rule.into_iter().chain(named).map(str::to_owned).collect()
}

async fn iptables(verb: &str, rule: &[String]) -> bool {
    let mut command = Command::new("iptables");
    command.args(["-w", verb]).args(rule).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Removes the rules of a cluster's Services, and nothing else. Says nothing where there are none.
pub async fn remove(cluster: &str, bridges: &[String]) {
    let table = table_name(cluster);
    for bridge in bridges {
        while iptables("-D", &docker_rule(&table, bridge)).await {}
    }
    if listing(&table).await.is_some()
        && let Err(error) = apply(&removal(&table)).await
    {
        tracing::warn!(%error, table, "the rules of Services stay in the kernel");
    }
}
