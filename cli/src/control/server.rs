//! Answering our own commands.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Answer, Question};
use crate::data::DataFolder;

/// A question is short.
const LONGEST_QUESTION_BYTES: u64 = 64 * 1024;
/// One who connects and asks nothing is not waited for.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Answers questions on a thread of its own, one after the other, for as long as the process lives.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn serve(folder: &DataFolder, answer: impl Fn(Question) -> Answer + Send + 'static) -> Result<()> {
    let path = folder.control_socket();
    // A socket left behind by a crash: whoever holds the store's lock is the only one alive.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("failed to listen on {}", path.display()))?;
    let thread = std::thread::Builder::new().name("control".to_owned());
    thread.spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = converse(&stream, &answer) {
                tracing::debug!(%error, "a command hung up");
            }
        }
    })?;
    Ok(())
}

fn converse(stream: &UnixStream, answer: &impl Fn(Question) -> Answer) -> Result<()> {
    stream.set_read_timeout(Some(READ_WITHIN))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_QUESTION_BYTES)).read_line(&mut line)?;
    if line.is_empty() {
        return Ok(());
    }
    let answered = match serde_json::from_str(&line) {
        Ok(question) => answer(question),
        Err(error) => Err(format!("not a question: {error}")),
    };
    let mut reply = serde_json::to_string(&answered)?;
    reply.push('\n');
    let mut stream = stream;
    stream.write_all(reply.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::{ask, is_running};

    #[test]
    fn a_question_is_answered_and_a_refusal_carries_its_reason() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::create(parent.path()).unwrap();
        assert!(!is_running(&folder));
        assert!(ask(&folder, &Question::Status).unwrap_err().to_string().contains("sampan up"));
        serve(&folder, |question| match question {
            Question::Status => Ok(json!({"ready": true})),
            other => Err(format!("cannot {other:?}")),
        })
        .unwrap();
        assert!(is_running(&folder));
        assert_eq!(ask(&folder, &Question::Status).unwrap(), json!({"ready": true}));
        assert_eq!(ask(&folder, &Question::Stop).unwrap_err().to_string(), "cannot Stop");
    }
}
