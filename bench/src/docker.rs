//! Docker's API, driven with nothing of ours in between.

use std::io::BufReader;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::wire::{Answer, JSON, Request, exchange};
use serde_json::{Value, json};

/// What our containers are called.
pub(crate) const PREFIX: &str = "sampan-bench-";
const SOCKET: &str = "/var/run/docker.sock";
const IMAGE: &str = "sampan-demo:v1";

/// Two connections to Docker: what can overlap does.
#[derive(Debug)]
pub(crate) struct Bare {
    first: Connection,
    second: Connection,
}

impl Bare {
    /// Connects.
    pub(crate) fn connect() -> Result<Self> {
        Ok(Self { first: Connection::open()?, second: Connection::open()? })
    }

    /// What a pod is to Docker: a container that holds the network, and one that joins it, created while the first starts.
    pub(crate) fn run_pod(&mut self, pod: usize) -> Result<()> {
        let (pause, app) = (format!("{PREFIX}pause-{pod}"), format!("{PREFIX}app-{pod}"));
        let holds = json!({"Image": IMAGE, "Cmd": ["sleep", "3600"], "HostConfig": {"IpcMode": "shareable"}});
        self.first.create(&pause, &holds)?;
        let joined = format!("container:{pause}");
        let joins = json!({"Image": IMAGE, "HostConfig": {"NetworkMode": joined, "IpcMode": joined}});
        let Self { first, second } = self;
        std::thread::scope(|scope| {
            let started = scope.spawn(|| first.start(&pause));
            second.create(&app, &joins)?;
            started.join().map_err(|_| anyhow::anyhow!("a driver panicked"))?
        })?;
        self.second.start(&app)
    }
}

#[derive(Debug)]
struct Connection(BufReader<UnixStream>);

impl Connection {
    fn open() -> Result<Self> {
        let socket = UnixStream::connect(SOCKET).with_context(|| format!("no Docker answers at {SOCKET}"))?;
        Ok(Self(BufReader::new(socket)))
    }

    fn create(&mut self, name: &str, container: &Value) -> Result<()> {
        let answer = self.post(&format!("/containers/create?name={name}"), &container.to_string())?;
        ensure!(answer.status == 201, "docker create: {}: {}", answer.status, answer.text());
        Ok(())
    }

    fn start(&mut self, name: &str) -> Result<()> {
        let answer = self.post(&format!("/containers/{name}/start"), "")?;
        ensure!(answer.status == 204, "docker start: {}: {}", answer.status, answer.text());
        Ok(())
    }

    fn post(&mut self, path: &str, body: &str) -> Result<Answer> {
        let (accept, content_type, body) = (JSON, JSON, body.as_bytes());
        exchange(&mut self.0, &Request { method: "POST", host: "docker", path, accept, content_type, body })
    }
}
