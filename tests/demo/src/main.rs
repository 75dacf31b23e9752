//! The program inside the demo images: a web server that shows where it runs, and fails on request.
//!
//! `demo` serves HTTP; `demo env`, `demo cat FILE`, `demo ls DIR`, `demo print LINES [EVERY_MS]`, `demo exit CODE`,
//! `demo sleep SECONDS`, `demo get URL` and `demo shell` are there because the image holds nothing else: they are what `kubectl
//! exec`, exec probes and one-shot containers run.

mod http;
mod knobs;
mod pages;
mod tools;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::Guests;
use knobs::Knobs;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Clients that are connected and ask nothing more keep the server from stopping for so long.
const LONGEST_GOODBYE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        None => serve(),
        Some((tool, rest)) => tools::run(tool, rest),
    };
    result.unwrap_or_else(|error| {
        eprintln!("demo: {error}");
        ExitCode::FAILURE
    })
}

fn serve() -> std::io::Result<ExitCode> {
    let knobs = Arc::new(Knobs::from_environment());
    // The first process of a container ignores signals it has no handler for: without this, a stop takes the whole grace period.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let guests = Arc::new(Guests::default());
    let (stopping, leaving) = (Arc::clone(&knobs), Arc::clone(&guests));
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            println!("stopping");
            leaving.close();
            std::thread::sleep(stopping.stop_delay());
            leaving.wait_until_gone(LONGEST_GOODBYE);
            std::process::exit(0);
        }
    });
    if let Some((after, code)) = knobs.exit_on_its_own() {
        std::thread::spawn(move || {
            std::thread::sleep(after);
            println!("exiting with code {code}, as told");
            std::process::exit(code);
        });
    }
    http::serve(knobs.port(), &guests, move |request| pages::answer(&knobs, request))?;
    Ok(ExitCode::SUCCESS)
}
