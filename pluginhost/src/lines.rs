//! Lines of bounded length.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
    #[error("{0}")]
    Broken(#[from] std::io::Error),
}

/// Lines of at most so many bytes.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    most: usize,
    /// What was read of the next.
    begun: Vec<u8>,
    /// What comes is the rest of a line that was too long.
    skips: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn of(reader: R, most: usize) -> Self {
        Self { reader: BufReader::new(reader), most, begun: Vec::new(), skips: false }
    }

    /// The next line without its end; `None` at the end. What follows the last line end is a line too. Nothing is lost where
    /// this is not waited for to its end. After a line that is too long comes the one after it.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((!self.begun.is_empty()).then(|| std::mem::take(&mut self.begun)));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(chunk, |end| chunk.get(..end).unwrap_or_default());
            if self.skips {
                self.skips = end.is_none();
                let used = end.map_or(chunk.len(), |end| end + 1);
                self.reader.consume(used);
                continue;
            }
            if self.begun.len() + taken.len() > self.most {
                self.begun.clear();
                self.skips = true;
                return Err(LineError::TooLong(self.most));
            }
            self.begun.extend_from_slice(taken);
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.begun)));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
mod tests {
    use super::*;

    async fn lines(text: &str, most: usize) -> Vec<Result<String, String>> {
        let reader = BufReader::with_capacity(3, text.as_bytes());
        let mut reader = Lines { reader, most, begun: Vec::new(), skips: false };
        let mut found = Vec::new();
        loop {
            match reader.next().await {
                Ok(None) => return found,
                Ok(Some(line)) => found.push(Ok(String::from_utf8(line).unwrap())),
                Err(error) => found.push(Err(error.to_string())),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_told_apart_and_bounded() {
        let told = |text: &str| Ok(text.to_owned());
        assert_eq!(lines("abcd\n\nef", 4).await, [told("abcd"), told(""), told("ef")]);
        let too_long = || Err("a line of more than 4 bytes".to_owned());
        assert_eq!(lines("ab\nabcde", 4).await, [told("ab"), too_long()]);
        assert_eq!(lines("abcdefghij\nab\nabcde\nc", 4).await, [too_long(), told("ab"), too_long(), told("c")]);
    }
}
