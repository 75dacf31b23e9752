//! Asking a running cluster.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use super::{Answer, Question};
use crate::data::DataFolder;

/// A cluster that does not answer for so long is stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Whether a cluster runs on this data.
pub(crate) fn is_running(folder: &DataFolder) -> bool {
    UnixStream::connect(folder.control_socket()).is_ok()
}

/// Asks, and waits for the answer.
///
/// # Errors
/// When no cluster runs there, or it answers with a reason why not.
pub(crate) fn ask(folder: &DataFolder, question: &Question) -> Result<Value> {
    let Ok(stream) = UnixStream::connect(folder.control_socket()) else {
        bail!("no cluster runs on {}: start it with `sampan up --data {0}`", folder.path().display());
    };
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut line = serde_json::to_string(question)?;
    line.push('\n');
    (&stream).write_all(line.as_bytes()).context("failed to ask the running cluster")?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).context("the running cluster did not answer")?;
    let answer: Answer = serde_json::from_str(&answer).context("the running cluster answered something else")?;
    answer.map_err(|reason| anyhow!(reason))
}
