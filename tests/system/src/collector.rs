//! A collector that is not ours: the server of Fluent's own library for Node, in a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::run;

/// What it must be told by who sends to it; as `collector.js` says.
pub const SHARED_KEY: &str = "open sesame";
/// A user it knows, and the password.
pub const USER: (&str, &str) = ("sampan", "let me in");

/// A collector with TLS, a shared key and a user. Dropping it ends it.
#[derive(Debug)]
pub struct Collector {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
    /// The file of what it took, read so far.
    taken: Option<File>,
    begun: Vec<u8>,
    records: Vec<Value>,
}

impl Collector {
    /// Starts one that shows this certificate, both in PEM.
    ///
    /// # Errors
    /// When there is no Node, or it does not listen.
    pub fn start(certificate: &str, key: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sampan-collector-").tempdir()?;
        std::fs::write(folder.path().join("certificate.pem"), certificate)?;
        std::fs::write(folder.path().join("key.pem"), key)?;
        let (begun, records) = (Vec::new(), Vec::new());
        let mut collector = Self { folder, port: 0, process: None, taken: None, begun, records };
        collector.up()?;
        Ok(collector)
    }

    /// Comes up, on the port it had before, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn up(&mut self) -> Result<()> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("collectors/fluent/collector");
        let mut command = Command::new(program);
        command.arg(self.folder.path()).arg(self.port.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().context("failed to start the collector")?;
        let said = process.stdout.take().context("it has no output")?;
        self.process = Some(process);
        let mut port = String::new();
        BufReader::new(said).read_line(&mut port)?;
        self.port = port.trim().parse().with_context(|| format!("the collector says {port:?} and not its port"))?;
        Ok(())
    }

    /// Ends it, as an upgrade does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn down(&mut self) -> Result<()> {
        self.signal("-TERM")?;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let status = process.wait()?;
        ensure!(status.success(), "the collector ended with {status}");
        Ok(())
    }

    /// Leaves it where it is: it is there, reads nothing and answers nobody, until it [goes on](Self::go_on).
    ///
    /// # Errors
    /// When it does not run.
    pub fn hang(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// It goes on after it hung.
    ///
    /// # Errors
    /// When it does not run.
    pub fn go_on(&self) -> Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let process = self.process.as_ref().context("the collector does not run")?;
        run(Command::new("kill").arg(signal).arg(process.id().to_string()), "")?.succeeded().map(drop)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All it took: `tag`, `seconds`, `nanoseconds` and `record` of each.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn records(&mut self) -> Result<&[Value]> {
        let taken = match &mut self.taken {
            Some(taken) => taken,
            none => none.insert(File::open(self.folder.path().join("taken.jsonl"))?),
        };
        taken.read_to_end(&mut self.begun)?;
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in self.begun.drain(..whole).collect::<Vec<_>>().split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                self.records.push(serde_json::from_slice(line)?);
            }
        }
        Ok(&self.records)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
