//! As much of HTTP/1.1 as a blocking client needs, over whatever carries bytes.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// GET, POST, …
    pub method: &'a str,
    /// Who is asked, as the `Host` header says.
    pub host: &'a str,
    /// The path with its query.
    pub path: &'a str,
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
    let Request { method, host, path, content_type, body } = request;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let stream = connection.get_mut();
    stream.write_all(&[head.as_bytes(), body].concat()).context("failed to send the request")?;
    stream.flush()?;
    read_answer(connection)
}

fn read_answer(reader: &mut impl BufRead) -> Result<Answer> {
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
    answer.body = read_body(reader, &answer)?;
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
    loop {
        let size = read_line(reader)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16)?;
        reader.take(size).read_to_end(&mut body)?;
        read_line(reader)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        bail!("the server closed the connection");
    }
    Ok(line.trim_end().to_owned())
}
