//! What is heard of a process: its answers, and what it says on its standard error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sampan_core::plugin::Word;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::lines::{LineError, Lines};
use crate::process::Launch;

/// The longest line a program may answer with: a commit holds no more.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The longest line of the log; what is longer is left out.
const LOG_BYTES_MAX: usize = 64 << 10;
/// What is shown of a line of the log.
const LOG_SHOWN_MAX: usize = 1000;
/// The most lines logged in a second: a program that says more is heard in part.
const LOG_LINES_PER_SECOND_MAX: u32 = 100;
/// The most lines of the log that are read before it is looked whether there is an answer.
const LOG_LINES_AHEAD_MAX: usize = 100;

/// What is heard of a process.
#[derive(Debug)]
pub(crate) enum Said {
    Line(Vec<u8>),
    Flood(usize),
    /// It closed its output, which it cannot do without.
    Closed,
}

/// What is in the hands of a program, for the log: the objects it is asked about.
pub(crate) type Subjects = Arc<Mutex<Vec<String>>>;

/// Where what a program says on its standard error goes, with the objects it is asked about just then.
pub(crate) struct Log {
    lines: Lines<ChildStderr>,
    launch: Launch,
    subjects: Subjects,
    second: Instant,
    lines_in_second: u32,
}

/// Hears a program. What it said on its standard error before it answered goes to the log before the answer is passed on: so
/// it goes there with the object it was asked about.
pub(crate) async fn listen(output: ChildStdout, mut log: Log, tell: mpsc::Sender<Said>) {
    let mut answers = Lines::of(output, ANSWER_BYTES_MAX);
    let mut ahead = 0;
    loop {
        tokio::select! {
            biased;
            line = log.lines.next(), if ahead < LOG_LINES_AHEAD_MAX => match log.take(line) {
                true => ahead += 1,
                false => break,
            },
            answer = answers.next() => match pass_on(answer, &tell).await {
                true => ahead = 0,
                false => return log.finish().await,
            },
            () = std::future::ready(()), if ahead == LOG_LINES_AHEAD_MAX => ahead = 0,
        }
    }
    while pass_on(answers.next().await, &tell).await {}
}

/// Whether more is to come.
async fn pass_on(answer: Result<Option<Vec<u8>>, LineError>, tell: &mpsc::Sender<Said>) -> bool {
    let (said, is_last) = match answer {
        Ok(Some(line)) => (Said::Line(line), false),
        Ok(None) | Err(LineError::Broken(_)) => (Said::Closed, true),
        Err(LineError::TooLong(most)) => (Said::Flood(most), true),
    };
    tell.send(said).await.is_ok() && !is_last
}

impl Log {
    pub(crate) fn of(log: ChildStderr, launch: &Launch, subjects: Subjects) -> Self {
        let lines = Lines::of(log, LOG_BYTES_MAX);
        Self { lines, launch: launch.clone(), subjects, second: Instant::now(), lines_in_second: 0 }
    }

    async fn finish(mut self) {
        loop {
            let line = self.lines.next().await;
            if !self.take(line) {
                return;
            }
        }
    }

    /// Logs a line. Whether more may come.
    fn take(&mut self, line: Result<Option<Vec<u8>>, LineError>) -> bool {
        match line {
            Ok(Some(line)) => self.write(&line),
            Ok(None) | Err(LineError::Broken(_)) => return false,
            Err(LineError::TooLong(_)) => self.write(b"(a line too long for the log)"),
        }
        true
    }

    fn write(&mut self, line: &[u8]) {
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.second = Instant::now();
            self.lines_in_second = 0;
        }
        self.lines_in_second += 1;
        if self.lines_in_second > LOG_LINES_PER_SECOND_MAX {
            return;
        }
        let objects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        let text: String = String::from_utf8_lossy(line).chars().take(LOG_SHOWN_MAX).collect();
        tracing::info!(plugin = &*self.launch.name, objects, "{text}");
        self.launch.words.tell([Word { plugin: self.launch.name.clone(), objects, text }]);
    }
}
