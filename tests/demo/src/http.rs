//! As much of HTTP/1.1 as a demo needs: one request per connection, a thread for each.

use std::io::{BufRead as _, BufReader, Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A request line and its headers may hold so many bytes together.
const LARGEST_HEAD_BYTES: u64 = 16 * 1024;
/// A client that says nothing for so long is let go.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What was asked.
#[derive(Debug)]
pub(crate) struct Request {
    /// GET, POST, …
    pub(crate) method: String,
    /// The path before the question mark.
    pub(crate) path: String,
    /// What follows the question mark.
    pub(crate) query: String,
}

impl Request {
    /// The value of `key` in the query, as a number.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).find_map(|(_, value)| value.parse().ok())
    }
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Response {
    /// 200, 404, …
    pub(crate) status: u16,
    /// Plain text.
    pub(crate) body: String,
    /// Ends the process with this code once the answer is on its way.
    pub(crate) then_exit: Option<i32>,
}

impl Response {
    /// An answer and nothing more.
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), then_exit: None }
    }
}

/// Serves for ever.
///
/// # Errors
/// When the port cannot be had.
pub(crate) fn serve(port: u16, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on port {port}");
    let answer = Arc::new(answer);
    for connection in listener.incoming() {
        let (Ok(connection), answer) = (connection, Arc::clone(&answer)) else { continue };
        std::thread::spawn(move || {
            // A client that hangs up early is its own affair.
            let _ = converse(&connection, &*answer);
        });
    }
    Ok(())
}

fn converse(connection: &TcpStream, answer: &impl Fn(&Request) -> Response) -> Result<()> {
    connection.set_read_timeout(Some(READ_TIMEOUT))?;
    let Some(request) = read_request(connection)? else { return Ok(()) };
    let response = answer(&request);
    println!("{} {} {}", request.method, request.path, response.status);
    write_response(connection, &response)?;
    if let Some(code) = response.then_exit {
        std::process::exit(code);
    }
    Ok(())
}

fn read_request(connection: &TcpStream) -> Result<Option<Request>> {
    let mut lines = BufReader::new(connection.take(LARGEST_HEAD_BYTES)).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    for line in lines.by_ref() {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Some(Request { method: method.to_owned(), path: path.to_owned(), query: query.to_owned() }))
}

fn write_response(mut connection: &TcpStream, response: &Response) -> Result<()> {
    let reason = match response.status {
        200 => "OK",
        404 => "Not Found",
        _ => "Service Unavailable",
    };
    write!(
        connection,
        "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        response.status,
        response.body.len(),
        response.body
    )?;
    connection.flush()
}
