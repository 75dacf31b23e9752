//! A node of a test's own: `sampan node` on a folder of its own, gone at the end.

use std::fs::OpenOptions;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::cluster::{condition, sampan_binary};
use crate::{Cluster, Run, eventually, run};

/// How long a node may take to join and be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// So much of the node's own output is shown when a test fails.
const SHOWN_LOG_LINES: usize = 60;

/// Where a node runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The address others reach it at.
    pub address: IpAddr,
    /// The port of its daemon; 0 for any.
    pub port: u16,
    /// The words before `sampan` that take it there, such as those of `nsenter`.
    pub entered_by: Vec<String>,
    /// The socket of its Docker, where that is not the machine's.
    pub docker: Option<PathBuf>,
}

impl Place {
    /// On this machine, with its Docker.
    pub fn here() -> Self {
        Self { address: [127, 0, 0, 1].into(), port: 0, entered_by: Vec::new(), docker: None }
    }
}

/// A running node. Dropping it stops the process and removes every container and file of it.
#[derive(Debug)]
pub struct Node {
    name: String,
    folder: TempDir,
    place: Place,
    process: Option<Child>,
}

impl Node {
    /// Joins a cluster as `name`, with a token of its own, and waits until the node is ready.
    ///
    /// # Errors
    /// When it does not join.
    pub fn join(cluster: &Cluster, name: &str, place: Place) -> Result<Self> {
        let mut node = Self::new(name, place)?;
        let words = join_command(cluster)?;
        node.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        node.wait_until_ready(cluster)?;
        Ok(node)
    }

    /// One that has not joined.
    ///
    /// # Errors
    /// When it gets no folder.
    pub fn new(name: &str, place: Place) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sampan-node-").tempdir()?;
        Ok(Self { name: name.to_owned(), folder, place, process: None })
    }

    /// Starts the process with these arguments beside those of its place.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn spawn(&mut self, arguments: &[&str]) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = self.sampan("node");
        command.arg("--name").arg(&self.name).arg("--address").arg(self.place.address.to_string());
        command.arg("--port").arg(self.place.port.to_string()).args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("failed to start sampan")?);
        Ok(())
    }

    /// Waits until the cluster says that the node is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn wait_until_ready(&mut self, cluster: &Cluster) -> Result<()> {
        let path = format!("/api/v1/nodes/{}", self.name);
        let ready = eventually(&format!("node {} is ready", self.name), READY_WITHIN, || {
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten()) {
                return Ok(Some(Err(status)));
            }
            let node = cluster.object(&path)?;
            Ok(node.filter(|node| condition(node, "Ready") == Some("True")).map(|_| Ok(())))
        });
        let ended = ready.with_context(|| self.log())?;
        ensure!(ended.is_ok(), "sampan node ended with {ended:?}\n{}", self.log());
        Ok(())
    }

    /// Waits until the process ends by itself, and gives what it said.
    ///
    /// # Errors
    /// When it goes on.
    pub fn wait_until_ended(&mut self) -> Result<String> {
        let process = self.process.as_mut().context("it does not run")?;
        eventually("the node ends", READY_WITHIN, || Ok(process.try_wait()?))?;
        self.process = None;
        Ok(self.log())
    }

    /// Ends the process as a crash would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// What the node printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where the node keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `sampan <subcommand> --data …` where the node runs.
    fn sampan(&self, subcommand: &str) -> Command {
        let binary = sampan_binary();
        let words = self.place.entered_by.iter().map(Into::into).chain([binary.into_os_string()]);
        let words: Vec<std::ffi::OsString> = words.collect();
        let (program, rest) = words.split_first().expect("the binary is a word");
        let mut command = Command::new(program);
        command.args(rest).arg(subcommand).arg("--data").arg(self.data());
        if let Some(socket) = &self.place.docker {
            command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        }
        command
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(SHOWN_LOG_LINES);
            eprintln!(
                "--- what node {} printed last ---\n{}",
                self.name,
                lines.get(from..).unwrap_or_default().join("\n")
            );
        }
        if let Err(error) = self.kill() {
            eprintln!("failed to end the node: {error:#}");
        }
        if self.data().exists()
            && let Err(error) = run(self.sampan("down").arg("--purge"), "").and_then(Run::succeeded)
        {
            eprintln!("failed to remove the node: {error:#}");
        }
    }
}

/// The arguments by which a machine joins, as `sampan token create` prints them.
///
/// # Errors
/// When it prints none.
pub fn join_command(cluster: &Cluster) -> Result<Vec<String>> {
    let mut command = Command::new(sampan_binary());
    let told = run(command.args(["token", "create", "--data"]).arg(cluster.data()), "")?.succeeded()?.stdout;
    let words: Vec<String> = told.split_whitespace().map(str::to_owned).collect();
    ensure!(words.iter().map(String::as_str).take(2).eq(["sampan", "node"]), "{told}");
    Ok(words.into_iter().skip(2).collect())
}
