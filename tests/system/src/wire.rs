//! As much of HTTP/1.1 as a blocking client needs, over whatever carries bytes.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// What most requests say and most answers are.
pub const JSON: &str = "application/json";

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// GET, POST, …
    pub method: &'a str,
    /// Who is asked, as the `Host` header says.
    pub host: &'a str,
    /// The path with its query.
    pub path: &'a str,
    /// What the answer may be.
    pub accept: &'a str,
    /// What the body is.
    pub content_type: &'a str,
    /// The body, as it is sent.
    pub body: &'a [u8],
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("no JSON in answer {}: {}", self.status, self.text()))
    }

    /// Whether the server closes the connection after this answer.
    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request and waits for its answer.
///
/// # Errors
/// When the connection breaks, or what comes is no HTTP.
pub fn exchange<S: Read + Write>(connection: &mut BufReader<S>, request: &Request<'_>) -> Result<Answer> {
    send(connection, request)?;
    let mut answer = read_head(connection)?;
    answer.body = read_body(connection, &answer)?;
    Ok(answer)
}

/// Sends a request whose answer comes piece by piece, as that of a watch, and gives the lines as they come.
///
/// # Errors
/// When the connection breaks, or the answer is none of the kind.
pub fn follow<S: Read + Write>(mut connection: BufReader<S>, request: &Request<'_>) -> Result<Lines<S>> {
    send(&mut connection, request)?;
    let answer = read_head(&mut connection)?;
    let is_stream = answer.status == 200 && answer.header("transfer-encoding") == Some("chunked");
    ensure!(is_stream, "{} {}: {} is no stream", request.method, request.path, answer.status);
    Ok(Lines { connection, received: Vec::new() })
}

/// The lines of an answer that comes piece by piece.
#[derive(Debug)]
pub struct Lines<S: Read> {
    connection: BufReader<S>,
    received: Vec<u8>,
}

impl<S: Read> Iterator for Lines<S> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(Ok(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            match read_chunk(&mut self.connection, &mut self.received) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn send<S: Read + Write>(connection: &mut BufReader<S>, request: &Request<'_>) -> Result<()> {
    let Request { method, host, path, accept, content_type, body } = request;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let stream = connection.get_mut();
    stream.write_all(&[head.as_bytes(), body].concat()).context("failed to send the request")?;
    stream.flush()?;
    Ok(())
}

fn read_head(reader: &mut impl BufRead) -> Result<Answer> {
    let first = read_line(reader)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut answer = Answer {
        status: status.with_context(|| format!("no HTTP answer, but `{first}`"))?,
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(answer)
}

fn read_body(reader: &mut impl BufRead, answer: &Answer) -> Result<Vec<u8>> {
    if answer.header("transfer-encoding") == Some("chunked") {
        return read_chunks(reader);
    }
    let length: u64 = answer.header("content-length").unwrap_or("0").parse()?;
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(body)
}

fn read_chunks(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while read_chunk(reader, &mut body)? > 0 {}
    Ok(body)
}

/// Reads one piece; how large it was.
fn read_chunk(reader: &mut impl BufRead, into: &mut Vec<u8>) -> Result<u64> {
    let size = read_line(reader)?;
    let size = u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16)?;
    reader.take(size).read_to_end(into)?;
    read_line(reader)?;
    Ok(size)
}

fn read_line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        bail!("the server closed the connection");
    }
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A server that has said everything already.
    struct Canned {
        answers: Cursor<&'static [u8]>,
        asked: Vec<u8>,
    }

    impl Read for Canned {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.answers.read(into)
        }
    }

    impl Write for Canned {
        fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
            self.asked.write(from)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn asked_of(answers: &'static str, times: usize) -> Vec<Result<Answer>> {
        let mut server = BufReader::new(Canned { answers: Cursor::new(answers.as_bytes()), asked: Vec::new() });
        let request =
            Request { method: "GET", host: "h", path: "/p", accept: JSON, content_type: "text/plain", body: b"" };
        (0..times).map(|_| exchange(&mut server, &request)).collect()
    }

    #[test]
    fn answers_on_one_connection_are_kept_apart() {
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n";
        let answers: Vec<Answer> = asked_of(both, 2).into_iter().map(Result::unwrap).collect();
        assert_eq!((answers[0].status, answers[0].text().as_str(), answers[0].closes()), (200, "abc", false));
        assert_eq!((answers[1].status, answers[1].text().as_str(), answers[1].closes()), (404, "", true));
    }

    #[test]
    fn chunks_are_joined() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert_eq!(asked_of(chunked, 1)[0].as_ref().unwrap().text(), "abcde");
    }

    #[test]
    fn lines_are_given_as_they_come_whatever_the_pieces() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n7\r\n\ntwo\nth\r\n4\r\nree\n\r\n0\r\n\r\n";
        let server = BufReader::new(Canned { answers: Cursor::new(chunked.as_bytes()), asked: Vec::new() });
        let request =
            Request { method: "GET", host: "h", path: "/p", accept: JSON, content_type: "text/plain", body: b"" };
        let lines: Vec<String> = follow(server, &request).unwrap().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_connection_that_ends_is_an_error() {
        assert!(asked_of("", 1)[0].is_err());
        assert!(asked_of("hello\r\n\r\n", 1)[0].is_err());
    }
}
