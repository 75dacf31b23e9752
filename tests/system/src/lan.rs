//! Machines of a test's own: network namespaces with an address each on one network, and a Docker in each.
//!
//! The network is a bridge in a namespace of its own, so that no rule of this machine's is between them; this machine has the first
//! address on it. Everything is named after one number nobody else has, and gone at the end.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::node::Place;
use crate::{Run, eventually, run};

/// Networks are 198.18.N.0/24, of the range for tests of networks (RFC 2544).
const NETWORKS: u8 = 250;
/// How long Docker may take to answer.
const DOCKER_WITHIN: Duration = Duration::from_secs(60);
/// How long Docker is given to end.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// A network for machines.
#[derive(Debug)]
pub struct Network {
    number: u8,
}

impl Network {
    /// A network nobody else has.
    ///
    /// # Errors
    /// Without root, or where none is left.
    pub fn new() -> Result<Self> {
        let first = u8::try_from(std::process::id() % u32::from(NETWORKS)).unwrap_or(0);
        for step in 0..NETWORKS {
            let number = (first + step) % NETWORKS;
            // Whoever makes the namespace has the number.
            if run(Command::new("ip").args(["netns", "add", &lan(number)]), "")?.code == 0 {
                let network = Self { number };
                network.connect()?;
                return Ok(network);
            }
        }
        bail!("no network namespace can be made: is this root?")
    }

    fn connect(&self) -> Result<()> {
        let (lan, number) = (lan(self.number), self.number);
        let (here, there) = (format!("spt{number}"), format!("spt{number}p"));
        ip(&["-n", &lan, "link", "add", "lan", "type", "bridge"])?;
        ip(&["-n", &lan, "link", "set", "lan", "up"])?;
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &lan])?;
        ip(&["-n", &lan, "link", "set", &there, "master", "lan", "up"])?;
        ip(&["address", "add", &format!("{}/24", self.address(1)), "dev", &here])?;
        ip(&["link", "set", &here, "up"])
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, host)
    }

    /// This machine's address on it.
    pub fn here(&self) -> IpAddr {
        self.address(1).into()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // With the namespace go the bridge and the cable.
        report("remove a network", ip(&["netns", "delete", &lan(self.number)]));
    }
}

fn lan(number: u8) -> String {
    format!("sampan-test-{number}")
}

/// A machine on a network: an address, and a Docker of its own.
#[derive(Debug)]
pub struct Machine {
    namespace: String,
    address: Ipv4Addr,
    folder: TempDir,
    docker: Option<Child>,
}

impl Machine {
    /// The machine with this number, from 2 on, with these images.
    ///
    /// # Errors
    /// When Docker does not come up.
    pub fn new(network: &Network, number: u8, images: &[&str]) -> Result<Self> {
        let namespace = format!("{}-{number}", lan(network.number));
        let folder = tempfile::Builder::new().prefix("sampan-machine-").tempdir()?;
        ip(&["netns", "add", &namespace])?;
        let mut machine = Self { namespace, address: network.address(number), folder, docker: None };
        machine.connect(network, number)?;
        machine.start_docker()?;
        machine.load(images)?;
        Ok(machine)
    }

    fn connect(&self, network: &Network, number: u8) -> Result<()> {
        let (namespace, lan, port) = (&self.namespace, lan(network.number), format!("m{number}"));
        ip(&["-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &lan])?;
        ip(&["-n", &lan, "link", "set", &port, "master", "lan", "up"])?;
        ip(&["-n", namespace, "address", "add", &format!("{}/24", self.address), "dev", "eth0"])?;
        ip(&["-n", namespace, "link", "set", "eth0", "up"])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        // As on a machine that has just started: Docker turns forwarding on itself, and drops what it does not know only then.
        self.run("sh", &["-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"])?.succeeded()?;
        ip(&["-n", namespace, "route", "add", "default", "via", &network.address(1).to_string()])
    }

    fn start_docker(&mut self) -> Result<()> {
        let path = |name: &str| self.folder.path().join(name);
        let log = std::fs::File::create(path("dockerd.log"))?;
        let mut command = self.command("dockerd");
        command.arg("--data-root").arg(path("data")).arg("--exec-root").arg(path("exec"));
        command
            .arg("--pidfile")
            .arg(path("dockerd.pid"))
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()));
        command.args(["--bridge", "none", "--config-file"]).arg(path("none.json"));
        std::fs::write(path("none.json"), "{}")?;
        // A group of its own: Docker's own children are ended with it.
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        self.docker = Some(command.spawn().context("failed to start dockerd")?);
        let answers = || Ok((self.docker_command(&["version"])?.code == 0).then_some(()));
        let told = || std::fs::read_to_string(path("dockerd.log")).unwrap_or_default();
        eventually("Docker answers", DOCKER_WITHIN, answers).with_context(told)
    }

    fn load(&self, images: &[&str]) -> Result<()> {
        let saved = self.folder.path().join("images.tar");
        run(Command::new("docker").args(["save", "--output"]).arg(&saved).args(images), "")?.succeeded()?;
        let mut load = Command::new("docker");
        load.args(["--host", &format!("unix://{}", self.socket().display()), "load", "--input"]).arg(&saved);
        run(&mut load, "")?.succeeded()?;
        Ok(std::fs::remove_file(saved)?)
    }

    /// A program, to be started on the machine.
    pub fn command(&self, program: &str) -> Command {
        let words = self.entered_by();
        let (first, rest) = words.split_first().expect("it is entered by a program");
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }

    /// Runs a program on the machine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Run> {
        run(self.command(program).args(arguments), "")
    }

    fn docker_command(&self, arguments: &[&str]) -> Result<Run> {
        let host = format!("unix://{}", self.socket().display());
        run(Command::new("docker").args(["--host", &host]).args(arguments), "")
    }

    /// By namespace alone: mounts stay those of this machine, control groups among them.
    fn entered_by(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", self.namespace)]
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The machine's address on the network.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where `sampan node` runs that is this machine's.
    pub fn place(&self) -> Place {
        Place { address: self.address.into(), port: 10250, entered_by: self.entered_by(), docker: Some(self.socket()) }
    }

    /// Cuts it off from the network, as if its power were gone.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn cut_off(&self) -> Result<()> {
        ip(&["-n", &self.namespace, "link", "set", "eth0", "down"])
    }

    fn end(&mut self) -> Result<()> {
        if let Ok(listed) = self.docker_command(&["ps", "--all", "--quiet"]) {
            let ids: Vec<&str> = listed.stdout.split_whitespace().collect();
            if !ids.is_empty() {
                self.docker_command(&[&["rm", "--force", "--volumes"], ids.as_slice()].concat())?;
            }
        }
        let Some(mut docker) = self.docker.take() else { return Ok(()) };
        run(Command::new("kill").arg("-TERM").arg(docker.id().to_string()), "")?;
        let ended = eventually("Docker ends", ENDS_WITHIN, || Ok(docker.try_wait()?));
        if ended.is_err() {
            run(Command::new("kill").args(["-KILL", "--"]).arg(format!("-{}", docker.id())), "")?;
            docker.wait()?;
        }
        // What Docker mounted below its folder and left there keeps the folder.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let folder = self.folder.path().display().to_string();
        let left = mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with(&folder));
        for point in left.collect::<Vec<_>>().into_iter().rev() {
            run(Command::new("umount").args(["--lazy", point]), "")?;
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("dockerd.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- what its Docker said last ---\n{}",
                lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
            );
        }
        report("end a machine", self.end());
        report("remove a machine", ip(&["netns", "delete", &self.namespace]));
    }
}

fn report(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        eprintln!("failed to {what}: {error:#}");
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments), "")?.succeeded().map(drop)
}
