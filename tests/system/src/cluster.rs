//! A cluster of a test's own: `sampan up` on its own folders and port, gone at the end.

use std::fs::{File, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Api, Run, eventually, run};

/// How long a cluster may take to answer. Generous: a debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a state that some operator or the node is to reach may take.
pub const SOON: Duration = Duration::from_mins(1);
/// So much of the cluster's own output is shown when a test fails.
const SHOWN_LOG_LINES: usize = 60;

/// What kind of cluster a test wants.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Nodes without Docker; 0 for one real node.
    pub simulated_nodes: usize,
    /// Whether no node is to run in the process.
    pub is_without_node: bool,
    /// The address the API is served at, where it is not the loopback's.
    pub address: Option<IpAddr>,
    /// Files for the manifests folder before the start: name and text.
    pub manifests: Vec<(String, String)>,
    /// Where it finds programs, where not in all the places of this machine.
    pub programs: Option<&'static str>,
    /// Another binary than the one under test: one with operators of its own.
    pub binary: Option<PathBuf>,
    /// Further arguments of `sampan up`.
    pub options: &'static [&'static str],
}

impl Setup {
    /// One real node on Docker.
    pub fn docker() -> Self {
        Self::default()
    }

    /// Simulated nodes, no Docker.
    pub fn simulated(nodes: usize) -> Self {
        Self { simulated_nodes: nodes, ..Self::default() }
    }

    /// No node: they join, each a [`Node`](crate::Node).
    pub fn without_node() -> Self {
        Self { is_without_node: true, ..Self::default() }
    }

    /// Served at this address of the machine.
    #[must_use]
    pub fn at(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// Finding no programs but those in these folders, as `PATH` lists them.
    #[must_use]
    pub fn finding_programs_in(self, folders: &'static str) -> Self {
        Self { programs: Some(folders), ..self }
    }

    /// With a file in the manifests folder before the start.
    #[must_use]
    pub fn with_manifest(mut self, name: &str, text: &str) -> Self {
        self.manifests.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Told this as well when it starts, as further arguments of `sampan up`.
    #[must_use]
    pub fn told(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    /// Of another binary than the one under test.
    #[must_use]
    pub fn of(self, binary: impl Into<PathBuf>) -> Self {
        Self { binary: Some(binary.into()), ..self }
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(self) -> Result<Cluster> {
        Cluster::start(self)
    }
}

/// A running cluster. Dropping it stops the process and removes every container and file of it.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    listening: SocketAddr,
    simulated_nodes: usize,
    is_without_node: bool,
    programs: Option<&'static str>,
    binary: PathBuf,
    options: &'static [&'static str],
    process: Option<Child>,
}

impl Cluster {
    fn start(setup: Setup) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sampan-test-").tempdir()?;
        let address = setup.address.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let listening = TcpListener::bind((address, 0))?.local_addr()?;
        let Setup { simulated_nodes, is_without_node, programs, binary, options, manifests, .. } = setup;
        let binary = binary.unwrap_or_else(sampan_binary);
        let process = None;
        let mut cluster =
            Self { folder, listening, simulated_nodes, is_without_node, programs, binary, options, process };
        std::fs::create_dir(cluster.manifests())?;
        for (name, text) in &manifests {
            cluster.write_manifest(name, text)?;
        }
        cluster.up()?;
        Ok(cluster)
    }

    /// Starts the process, after [`Cluster::kill`] or [`Cluster::interrupt`], and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn up(&mut self) -> Result<()> {
        self.spawn()?;
        let ended = eventually("the cluster is ready", READY_WITHIN, || {
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten()) {
                return Ok(Some(Some(status)));
            }
            Ok((self.api()?.get("/readyz")?.status == 200).then_some(None))
        })?;
        if let Some(status) = ended {
            anyhow::bail!("sampan up ended with {status}\n{}", self.log_tail());
        }
        if self.is_without_node {
            return Ok(());
        }
        eventually("a node is ready", READY_WITHIN, || {
            let nodes = self.api()?.get("/api/v1/nodes")?.json()?;
            let items = nodes.get("items").and_then(Value::as_array).context("no items")?;
            let ready = items.iter().filter(|node| condition(node, "Ready") == Some("True")).count();
            Ok((ready >= self.simulated_nodes.max(1)).then_some(()))
        })
    }

    /// Starts the process without waiting for anything.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn spawn(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.binary);
        command.arg("up").arg("--data").arg(self.data()).arg("--manifests").arg(self.manifests());
        command.arg("--listen").arg(self.listening.to_string());
        if self.is_without_node {
            command.arg("--no-node");
        }
        if self.simulated_nodes > 0 {
            command.arg("--simulate-nodes").arg(self.simulated_nodes.to_string());
        }
        command.args(self.options);
        command.envs(self.programs.map(|folders| ("PATH", folders)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = command.spawn();
        self.process =
            Some(started.context("failed to start sampan: `make test` builds it, or set SAMPAN to its path")?);
        Ok(())
    }

    /// Ends the process as a crash would: SIGKILL, no time to tidy up.
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

    /// As [`kill`](Self::kill), without waiting until the kernel has put the process away.
    ///
    /// # Errors
    /// When it cannot be sent a signal.
    pub fn kill_without_waiting(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill()?;
        std::thread::spawn(move || process.wait());
        Ok(())
    }

    /// Ends the process as Ctrl-C would, and gives its exit code.
    ///
    /// # Errors
    /// When it does not end.
    pub fn interrupt(&mut self) -> Result<Option<i32>> {
        let Some(mut process) = self.process.take() else { return Ok(None) };
        run(Command::new("kill").arg("-INT").arg(process.id().to_string()), "")?.succeeded()?;
        let ended = eventually("sampan ends after Ctrl-C", READY_WITHIN, || Ok(process.try_wait()?));
        if ended.is_err() {
            process.kill()?;
        }
        Ok(ended?.code())
    }

    /// The running process.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The folder that holds everything of this cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the cluster keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The watched folder.
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// Writes a file into the watched folder, in place as an editor does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_manifest(&self, name: &str, text: &str) -> Result<()> {
        let path = self.manifests().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    }

    /// Removes a file from the watched folder.
    ///
    /// # Errors
    /// When it is not there.
    pub fn delete_manifest(&self, name: &str) -> Result<()> {
        std::fs::remove_file(self.manifests().join(name)).with_context(|| format!("failed to delete {name}"))
    }

    /// A client with the administrator's certificate.
    ///
    /// # Errors
    /// When there is no kubeconfig yet.
    pub fn api(&self) -> Result<Api> {
        Api::from_kubeconfig(&self.kubeconfig()?)
    }

    /// The path of the administrator's kubeconfig, as `sampan kubeconfig` prints it.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("kubeconfig");
        if !path.exists() {
            let printed = self.sampan(&["kubeconfig"])?.succeeded()?;
            std::fs::write(&path, printed.stdout)?;
        }
        Ok(path)
    }

    /// Runs `sampan <subcommand> --data … <rest>`.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn sampan(&self, arguments: &[&str]) -> Result<Run> {
        let (subcommand, rest) = arguments.split_first().context("which command?")?;
        let mut command = Command::new(&self.binary);
        command.arg(subcommand).arg("--data").arg(self.data()).args(rest);
        run(&mut command, "")
    }

    /// Runs kubectl against this cluster.
    ///
    /// # Errors
    /// When there is no kubectl.
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<Run> {
        run(self.kubectl_command()?.args(arguments), input)
    }

    /// Runs kubectl, which must succeed, and gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.try_kubectl(arguments, "")?.succeeded()?.stdout)
    }

    /// An object as the API gives it, or nothing where there is none.
    ///
    /// # Errors
    /// When the API answers otherwise.
    pub fn object(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.api()?.get(path)?;
        match answer.status {
            200 => answer.json().map(Some),
            404 => Ok(None),
            status => anyhow::bail!("GET {path}: {status}: {}", answer.text()),
        }
    }

    /// The items of a list.
    ///
    /// # Errors
    /// When the API does not answer with a list.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let list = self.object(path)?.with_context(|| format!("no list at {path}"))?;
        Ok(list.get("items").and_then(Value::as_array).context("no items")?.clone())
    }

    /// A kubectl that knows this cluster, for tests that keep it running.
    ///
    /// # Errors
    /// When there is no kubeconfig yet.
    pub fn kubectl_command(&self) -> Result<Command> {
        let mut command = Command::new(std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into()));
        // Discovery is cached per host and port, and tests use ports again.
        command.arg("--kubeconfig").arg(self.kubeconfig()?).arg("--cache-dir").arg(self.folder.path().join("cache"));
        Ok(command)
    }

    /// What the cluster printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(SHOWN_LOG_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what sampan printed last ---\n{}", self.log_tail());
        }
        if let Err(error) = self.kill() {
            eprintln!("failed to end sampan: {error:#}");
        }
        match self.sampan(&["down", "--purge"]).and_then(Run::succeeded) {
            Ok(_) => {}
            Err(error) => eprintln!("failed to remove the cluster: {error:#}"),
        }
    }
}

/// The binary under test: `SAMPAN`, or the one cargo built beside the tests.
pub fn sampan_binary() -> PathBuf {
    if let Some(given) = std::env::var_os("SAMPAN") {
        return given.into();
    }
    let here = std::env::current_exe().unwrap_or_default();
    let folder = here.ancestors().find(|folder| folder.join("sampan").is_file());
    folder.map_or_else(|| PathBuf::from("sampan"), |folder| folder.join("sampan"))
}

/// The status of an object's condition.
pub fn condition<'object>(object: &'object Value, kind: &str) -> Option<&'object str> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))?;
    found.get("status")?.as_str()
}

/// Truncates a file to nothing, as some editors do before they write.
///
/// # Errors
/// When it cannot be opened.
pub fn truncate(path: &Path) -> Result<()> {
    File::create(path).map(drop).with_context(|| format!("failed to truncate {}", path.display()))
}
