//! Sampan: Kubernetes manifests, run from one binary and a directory. As a library: [`Daemon`] puts a binary together that
//! carries operators of its author beside those of Sampan.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `args` | what can be typed |
//! | `builder` | a binary of one's own |
//! | `daemon` | `sampan up`: everything put together |
//! | `node` | `sampan node`: this machine as a node of a cluster elsewhere |
//! | `commands` | the commands that ask a running cluster, or need none |
//! | `api`, `control` | how they ask it |
//! | `data` | what lies where in the data folder |
//! | `operators` | the operators this binary carries |
//! | `suites` | what is proved of them |
//! | `plugin_suite` | what is proved of a plugin |
//! | `overview` | the answer of `sampan status` |
//! | `say` | how commands print |
//! | `simulate` | the whole system on virtual time, with faults |

mod api;
mod args;
mod builder;
mod commands;
mod control;
mod daemon;
mod data;
mod kept_logs;
mod node;
mod operators;
mod overview;
mod plugin_suite;
mod say;
mod simulate;
mod suites;

use anyhow::Result;
/// Suites, worlds, and who acts in them: what operators are proved with.
pub use sampan_conformance as conformance;
/// The framework operators are written with.
pub use sampan_core as core;
/// Charts, machines and traces.
pub use sampan_machine as machine;

pub use builder::{Builder, Daemon, suite_of};
pub use plugin_suite::kinds;

use args::Command;
use operators::Carried;

fn run(command: Command, carried: &Carried) -> Result<()> {
    match command {
        Command::Up(arguments) => daemon::run(&arguments, carried),
        Command::Node(arguments) => node::run(&arguments),
        Command::Token(command) => commands::token::run(&command),
        Command::Down(arguments) => commands::down::run(&arguments),
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Why(arguments) => commands::why::run(&arguments),
        Command::History(arguments) => commands::history::run(&arguments),
        Command::Replay(arguments) => commands::replay::run(&arguments),
        Command::Logs(arguments) => commands::logs::run(&arguments),
        Command::Conformance(arguments) => commands::conformance::run(&arguments, carried),
        Command::Operator(command) => commands::operator::run(&command),
        Command::Graph(arguments) => commands::graph::run(&arguments, carried),
        Command::Kubeconfig(arguments) => commands::kubeconfig::run(&arguments),
        Command::Prune(arguments) => commands::prune::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Version(arguments) => commands::version::run(&arguments),
        Command::Confine(arguments) => commands::confine::run(arguments),
    }
}
