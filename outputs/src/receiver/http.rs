//! A server that takes JSON lines over HTTP/1.1.

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;

use super::{Both, Received, Shared};

pub(super) fn converse(shared: &Shared, stream: &mut impl Both) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(headers) = head(&mut stream)? {
        let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let length: u64 = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        (&mut stream).take(length).read_to_end(&mut body)?;
        let is_known = shared.demands.header.as_ref().is_none_or(|(name, value)| header(name) == Some(value));
        let status = if !is_known {
            shared.memory().refusals.push("the header is missing".to_owned());
            "401 Unauthorized"
        } else if shared.take(lines(body, header("content-encoding"))?) {
            "204 No Content"
        } else {
            return Ok(());
        };
        let said = if is_known { "" } else { "who are you?" };
        let length = if is_known { String::new() } else { format!("content-length: {}\r\n", said.len()) };
        let close = if shared.demands.one_chunk_a_connection { "connection: close\r\n" } else { "" };
        write!(stream.get_mut(), "HTTP/1.1 {status}\r\n{length}{close}\r\n{said}")?;
        stream.get_mut().flush()?;
        if shared.demands.one_chunk_a_connection {
            break;
        }
    }
    Ok(())
}

/// The headers of a request, by their names in small letters. Nothing at the end.
fn head(stream: &mut impl BufRead) -> io::Result<Option<Vec<(String, String)>>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    if !first.starts_with("POST ") {
        return Err(io::Error::other(format!("not a POST: {first}")));
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { return Ok(Some(headers)) };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
}

fn lines(body: Vec<u8>, encoding: Option<&str>) -> io::Result<Vec<Received>> {
    let mut plain = Vec::new();
    match encoding {
        Some("gzip") => drop(MultiGzDecoder::new(body.as_slice()).read_to_end(&mut plain)?),
        _ => plain = body,
    }
    let records = serde_json::Deserializer::from_slice(&plain).into_iter();
    let received = records.map(|record| Ok(Received { tag: String::new(), time: None, record: record? }));
    received.collect()
}
