//! Running a program and keeping what it said.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// What a program did.
#[derive(Debug, Clone)]
pub struct Run {
    /// The command line, for messages.
    pub command: String,
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// The same, where the program succeeded.
    ///
    /// # Errors
    /// When it did not, with all it said.
    pub fn succeeded(self) -> Result<Self> {
        if self.code != 0 {
            bail!("`{}` exited with {}\nstdout: {}\nstderr: {}", self.command, self.code, self.stdout, self.stderr);
        }
        Ok(self)
    }

    /// The same, where the program failed.
    ///
    /// # Errors
    /// When it succeeded.
    pub fn failed(self) -> Result<Self> {
        if self.code == 0 {
            bail!("`{}` should have failed, but said: {}", self.command, self.stdout);
        }
        Ok(self)
    }

    /// The same, where standard output holds `text`.
    ///
    /// # Errors
    /// When it does not.
    pub fn says(self, text: &str) -> Result<Self> {
        if !self.stdout.contains(text) {
            bail!("`{}` does not say `{text}`\nstdout: {}\nstderr: {}", self.command, self.stdout, self.stderr);
        }
        Ok(self)
    }

    /// The same, where standard error holds `text`.
    ///
    /// # Errors
    /// When it does not.
    pub fn complains(self, text: &str) -> Result<Self> {
        if !self.stderr.contains(text) {
            bail!("`{}` does not complain `{text}`\nstdout: {}\nstderr: {}", self.command, self.stdout, self.stderr);
        }
        Ok(self)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("`{}` printed no JSON: {}", self.command, self.stdout))
    }
}

/// Runs `command` to its end, with `input` on its standard input.
///
/// # Errors
/// When it cannot be started; a failing exit code is no error here.
pub fn run(command: &mut Command, input: &str) -> Result<Run> {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{line}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input may be gone before it is written.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("failed to wait for `{line}`"))?;
    Ok(Run {
        command: line,
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
