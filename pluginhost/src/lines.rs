//! Lines of bounded length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
    #[error("{0}")]
    Broken(#[from] std::io::Error),
}

/// The next line without its end; `None` at the end. What follows the last line end is a line too.
pub(crate) async fn next(reader: &mut (impl AsyncBufRead + Unpin), most: usize) -> Result<Option<Vec<u8>>, LineError> {
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(chunk, |end| chunk.get(..end).unwrap_or_default());
        if line.len() + taken.len() > most {
            return Err(LineError::TooLong(most));
        }
        line.extend_from_slice(taken);
        let used = end.map_or(chunk.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
mod tests {
    use super::*;

    async fn lines(text: &str, most: usize) -> Vec<Result<String, String>> {
        let mut reader = tokio::io::BufReader::with_capacity(3, text.as_bytes());
        let mut found = Vec::new();
        loop {
            match next(&mut reader, most).await {
                Ok(None) => return found,
                Ok(Some(line)) => found.push(Ok(String::from_utf8(line).unwrap())),
                Err(error) => {
                    found.push(Err(error.to_string()));
                    return found;
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_are_told_apart_and_bounded() {
        let told = |text: &str| Ok(text.to_owned());
        assert_eq!(lines("abcd\n\nef", 4).await, [told("abcd"), told(""), told("ef")]);
        assert_eq!(lines("ab\nabcde", 4).await, [told("ab"), Err("a line of more than 4 bytes".to_owned())]);
    }
}
