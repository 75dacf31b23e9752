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
    for rule in dockers_rules(ground) {
        let has_rule = iptables("-C", &rule).await;
        if !has_rule && !iptables("-I", &rule).await {
            tracing::warn!("Docker's filter takes no rule: pods may not be reached from outside");
        }
    }
}

/// The ranges of all nodes' pods are parts of this one, where nodes lead to each other's.
const ALL_PODS: &str = "10.244.0.0/16";

/// What is let past Docker's own rules: what is led to pods by ports of the node; and where nodes lead to each other's pods,
/// whatever comes for them, and what they send to each other under their own addresses.
fn dockers_rules(ground: &Ground) -> Vec<Vec<String>> {
    let Ground { table, bridge, pods, .. } = ground;
    let led = "DOCKER-USER -o BRIDGE -m conntrack --ctstate DNAT";
    // What comes by a port of this node for a pod of another passes both ways, in and out by the same network.
    let routed = [
        "DOCKER-USER -o BRIDGE -d PODS",
        "DOCKER-USER -d ALL -m conntrack --ctstate DNAT",
        "DOCKER-USER -s ALL -m conntrack --ctstate DNAT",
        "POSTROUTING -t nat -s PODS -d ALL",
    ];
    let rules = [led].into_iter().chain(routed.into_iter().filter(|_| ground.is_routed));
    let word = |word: &str| match word {
        "BRIDGE" => bridge.clone(),
        "PODS" => pods.clone(),
        "ALL" => ALL_PODS.to_owned(),
        word => word.to_owned(),
    };
    let ending = ["-m", "comment", "--comment", table, "-j", "ACCEPT"].map(str::to_owned);
    rules.map(|rule| rule.split(' ').map(word).chain(ending.clone()).collect()).collect()
}

async fn iptables(verb: &str, rule: &[String]) -> bool {
    let mut command = Command::new("iptables");
    command.args(["-w", verb]).args(rule).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Removes what bears the mark of a table from a chain that is others'.
async fn forget_rules(table: &str, kind: &str, chain: &str) {
    let listing = Command::new("iptables").args(["-w", "-t", kind, "-S", chain]).stdin(Stdio::null()).output().await;
    let listing = listing.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for line in listing.lines() {
        let words: Vec<String> = line.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect();
        let is_ours = words.windows(2).any(|pair| matches!(pair, [flag, mark] if flag == "--comment" && mark == table));
        if let Some(rule) = words.get(1..).filter(|_| is_ours) {
            iptables("-D", &[rule, &["-t".to_owned(), kind.to_owned()]].concat()).await;
        }
    }
}

/// Removes the rules of a cluster's Services, and nothing else. Says nothing where there are none.
pub async fn remove(cluster: &str) {
    let table = table_name(cluster);
    for (kind, chain) in [("filter", "DOCKER-USER"), ("nat", "POSTROUTING")] {
        forget_rules(&table, kind, chain).await;
    }
    if listing(&table).await.is_some()
        && let Err(error) = apply(&removal(&table)).await
    {
        tracing::warn!(%error, table, "the rules of Services stay in the kernel");
    }
}
