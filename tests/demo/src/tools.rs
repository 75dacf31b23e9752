//! The few tools an image without a shell still needs.

use std::io::{BufRead as _, Error, IsTerminal as _, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::pages;

/// Runs the tool called `name`.
///
/// # Errors
/// When there is no such tool, or it fails.
pub(crate) fn run(name: &str, arguments: &[String]) -> Result<ExitCode> {
    let first = arguments.first().map_or("", String::as_str);
    match name {
        "env" => print!("{}", pages::environment()),
        "echo" => println!("{}", arguments.join(" ")),
        "cat" => cat(first)?,
        "ls" => list(first)?,
        "print" => print_lines(first, arguments.get(1).map_or("0", String::as_str))?,
        "requests" => print_requests(first, arguments.get(1).map_or("", String::as_str))?,
        "get" => return get(first),
        "sleep" => std::thread::sleep(Duration::from_secs(first.parse().map_err(Error::other)?)),
        "exit" => return Ok(ExitCode::from(first.parse::<u8>().map_err(Error::other)?)),
        "shell" => return shell(),
        _ => {
            return Err(Error::other(format!(
                "no tool `{name}`: env, echo, cat, ls, print, requests, get, sleep, exit, shell"
            )));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies a file, or standard input where none is named.
fn cat(path: &str) -> Result<()> {
    let mut out = std::io::stdout();
    if path.is_empty() {
        std::io::copy(&mut std::io::stdin(), &mut out)?;
    } else {
        std::io::copy(&mut std::fs::File::open(path)?, &mut out)?;
    }
    out.flush()
}

fn list(path: &str) -> Result<()> {
    let folder = if path.is_empty() { "." } else { path };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    for name in names {
        println!("{name}");
    }
    Ok(())
}

/// Prints lines, one every so many milliseconds.
fn print_lines(count: &str, every_ms: &str) -> Result<()> {
    let count: u64 = count.parse().map_err(Error::other)?;
    let every = Duration::from_millis(every_ms.parse().map_err(Error::other)?);
    for line in 1..=count {
        println!("line {line}");
        if !every.is_zero() {
            std::thread::sleep(every);
        }
    }
    Ok(())
}

/// How often lines are printed that are due by then.
const PRINT_EVERY: Duration = Duration::from_millis(10);

/// Prints numbered lines as a server tells of its requests, so many a second; each in a write of its own.
fn print_requests(count: &str, per_second: &str) -> Result<()> {
    let (count, per_second): (u64, f64) =
        (count.parse().map_err(Error::other)?, per_second.parse().map_err(Error::other)?);
    let (started, mut seed) = (Instant::now(), 1_u64);
    let mut out = std::io::stdout().lock();
    for line in 1..=count {
        while (started.elapsed().as_secs_f64() * per_second) < line as f64 {
            std::thread::sleep(PRINT_EVERY);
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (item, milliseconds, client) = (seed >> 50, seed >> 33 & 0x3f, seed >> 24 & 0xff);
        writeln!(out, "request {line} GET /shop/items/{item} 200 in {milliseconds} ms for 10.244.1.{client}")?;
    }
    Ok(())
}

/// Fetches `http://host:port/path`; exits with 0 where the answer is a success.
fn get(url: &str) -> Result<ExitCode> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    print!("{body}");
    let success = head.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads lines and runs each as a tool: enough for `kubectl exec -it`.
fn shell() -> Result<ExitCode> {
    println!("demo shell, {}", if std::io::stdin().is_terminal() { "on a terminal" } else { "not on a terminal" });
    for line in std::io::stdin().lock().lines() {
        let words: Vec<String> = line?.split_whitespace().map(str::to_owned).collect();
        match words.split_first() {
            None => {}
            Some((tool, rest)) if tool == "exit" => {
                return Ok(ExitCode::from(rest.first().and_then(|code| code.parse::<u8>().ok()).unwrap_or(0)));
            }
            Some((tool, rest)) => {
                if let Err(error) = run(tool, rest) {
                    println!("{error}");
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
