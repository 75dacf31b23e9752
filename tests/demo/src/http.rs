//! As much of HTTP/1.1 as a demo needs: a thread for each connection, which is kept where the client wants that.

use std::io::{BufRead as _, BufReader, Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
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
    /// Whether the client goes on with the same connection.
    keeps_connection: bool,
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

/// Who is connected, and whether they are to be sent away.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    count: Mutex<usize>,
    fewer: Condvar,
    is_closing: AtomicBool,
}

impl Guests {
    /// From now on every answer is the last of its connection, and says so: a client that keeps connections opens its next one
    /// elsewhere. Whoever is connected already is answered.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// Waits until nobody is connected any more, but no longer than `longest`.
    pub(crate) fn wait_until_gone(&self, longest: Duration) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.fewer.wait_timeout_while(count, longest, |count| *count > 0));
    }

    fn are_welcome(&self) -> bool {
        !self.is_closing.load(Ordering::SeqCst)
    }

    fn change(&self, change: impl FnOnce(&mut usize)) {
        change(&mut self.count.lock().unwrap_or_else(PoisonError::into_inner));
        self.fewer.notify_all();
    }
}

/// Serves for ever.
///
/// # Errors
/// When the port cannot be had.
pub(crate) fn serve(
    port: u16,
    guests: &Arc<Guests>,
    answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on port {port}");
    let answer = Arc::new(answer);
    for connection in listener.incoming() {
        let (Ok(connection), guests, answer) = (connection, Arc::clone(guests), Arc::clone(&answer)) else { continue };
        guests.change(|count| *count += 1);
        std::thread::spawn(move || {
            // A client that hangs up early is its own affair.
            let _ = converse(&connection, &guests, &*answer);
            drop(connection);
            guests.change(|count| *count -= 1);
        });
    }
    Ok(())
}

fn converse(connection: &TcpStream, guests: &Guests, answer: &impl Fn(&Request) -> Response) -> Result<()> {
    connection.set_read_timeout(Some(READ_TIMEOUT))?;
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    while let Some(request) = read_request(&mut reader)? {
        let response = answer(&request);
        println!("{} {} {}", request.method, request.path, response.status);
        let is_kept = request.keeps_connection && guests.are_welcome();
        write_response(connection, &response, is_kept)?;
        if let Some(code) = response.then_exit {
            std::process::exit(code);
        }
        if !is_kept {
            break;
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Result<Option<Request>> {
    let mut lines = reader.take(LARGEST_HEAD_BYTES).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut keeps_connection = first.ends_with(" HTTP/1.1");
    for line in lines.by_ref() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        // A body is not read: what follows it could not be told from it.
        let line = line.replace(' ', "");
        let length = line.strip_prefix("content-length:").unwrap_or("0");
        let has_body = length != "0" || line.starts_with("transfer-encoding:");
        keeps_connection &= !has_body && line != "connection:close";
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Some(Request { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), keeps_connection }))
}

fn write_response(mut connection: &TcpStream, response: &Response, is_kept: bool) -> Result<()> {
    let reason = match response.status {
        200 => "OK",
        404 => "Not Found",
        _ => "Service Unavailable",
    };
    let (status, body) = (response.status, &response.body);
    let (length, connection_is) = (body.len(), if is_kept { "keep-alive" } else { "close" });
    // In one piece: what is sent in several waits for the client's word between them.
    let whole = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: {connection_is}\r\n\r\n{body}"
    );
    connection.write_all(whole.as_bytes())
}
