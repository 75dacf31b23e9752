//! One process of a program: its three pipes, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sampan_core::plugin::Word;
use sampan_core::ticker::Ticker;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::hearing::{Log, Said, Subjects, listen};

/// Answers read ahead of whoever takes them.
const ANSWERS_AHEAD: usize = 16;
/// How often processes that left their group are looked for before the rest is left to their bounds.
const SWEEPS_MAX: usize = 100;

/// How a program is started.
#[derive(Clone)]
pub(crate) struct Launch {
    /// The plugin.
    pub(crate) name: Arc<str>,
    /// What confines it and becomes it: our own binary with the arguments for that. Empty starts it as it is.
    pub(crate) confining: Vec<OsString>,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Its variables: it gets no others.
    pub(crate) environment: BTreeMap<String, String>,
    /// The folder it runs in.
    pub(crate) folder: PathBuf,
    /// Its user, where it has one of its own.
    pub(crate) user: Option<u32>,
    /// Where it is told what it says on its standard error.
    pub(crate) words: Arc<Ticker<Word>>,
}

pub(crate) struct Process {
    child: Child,
    pid: Option<Pid>,
    user: Option<u32>,
    questions: mpsc::UnboundedSender<String>,
    pub(crate) heard: mpsc::Receiver<Said>,
    tasks: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a program.
    pub(crate) fn start(launch: &Launch, subjects: Subjects) -> std::io::Result<Self> {
        let words = launch.confining.iter().cloned().chain(launch.command.iter().map(OsString::from));
        let mut words = words.collect::<Vec<_>>().into_iter();
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).env_clear().envs(&launch.environment).current_dir(&launch.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
        let (questions, to_ask) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::channel(ANSWERS_AHEAD);
        let mut tasks = Vec::new();
        if let (Some(input), Some(output), Some(log)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            tasks.push(tokio::spawn(ask(input, to_ask)));
            tasks.push(tokio::spawn(listen(output, Log::of(log, launch, subjects), tell)));
        }
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, pid, user: launch.user, questions, heard, tasks })
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Has a line written as soon as the program reads. How many are on their way is bounded by who asks.
    pub(crate) fn ask(&self, line: String) {
        let _ = self.questions.send(line);
    }

    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends the program and all it has started.
    pub(crate) async fn end(mut self) {
        if let Some(pid) = self.pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if let Some(user) = self.user {
            let _ = tokio::task::spawn_blocking(move || sweep(user)).await;
        }
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.filter(|_| self.child.id().is_some()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The users that processes run as.
pub(crate) fn users() -> BTreeSet<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| Some(process.metadata().ok()?.uid())).collect()
}

/// Ends what still runs as a user that is one program's alone: processes that left the group.
fn sweep(user: u32) {
    for _ in 0..SWEEPS_MAX {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let of_user = entries.flatten().filter(|entry| entry.metadata().is_ok_and(|it| it.uid() == user));
        let pids = of_user.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
        let mut found = false;
        for pid in pids {
            found |= kill_process(pid, Signal::KILL).is_ok() && !is_ended(pid);
        }
        if !found {
            return;
        }
    }
}

/// Whether nothing is left of a process but its exit status.
fn is_ended(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

async fn ask(mut input: tokio::process::ChildStdin, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(line) = lines.recv().await {
        // A program that does not read or is gone is found out by its silence or its end.
        if input.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}
