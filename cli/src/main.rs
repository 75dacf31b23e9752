//! Sampan: Kubernetes manifests, run from one binary and a directory.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `args` | what can be typed |
//! | `daemon` | `sampan up`: everything put together |
//! | `commands` | the commands that ask a running cluster, or need none |
//! | `api`, `control` | how they ask it |
//! | `data` | what lies where in the data folder |
//! | `operators` | the operators this binary carries |
//! | `overview` | the answer of `sampan status` |
//! | `simulate` | the whole system on virtual time, with faults |

mod api;
mod args;
mod commands;
mod control;
mod daemon;
mod data;
mod operators;
mod overview;
mod simulate;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use args::{Arguments, Command};

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sampan: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Up(arguments) => daemon::run(&arguments),
        Command::Down(arguments) => commands::down::run(&arguments),
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Why(arguments) => commands::why::run(&arguments),
        Command::History(arguments) => commands::history::run(&arguments),
        Command::Graph(arguments) => commands::graph::run(&arguments),
        Command::Kubeconfig(arguments) => commands::kubeconfig::run(&arguments),
        Command::Prune(arguments) => commands::prune::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Version(arguments) => commands::version::run(&arguments),
    }
}
