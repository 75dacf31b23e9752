//! The few tools an image without a shell still needs.

use std::io::{BufRead as _, Error, IsTerminal as _, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

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
        "get" => return get(first),
        "sleep" => std::thread::sleep(Duration::from_secs(first.parse().map_err(Error::other)?)),
        "exit" => return Ok(ExitCode::from(first.parse::<u8>().map_err(Error::other)?)),
        "shell" => return shell(),
        _ => return Err(Error::other(format!("no tool `{name}`: env, echo, cat, ls, print, get, sleep, exit, shell"))),
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
