//! Sampan, with the operator beside its own: the same commands, one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sampan::Daemon::builder().operator(configrollout::ConfigRollout).suite(configrollout::conformance::suite()).run()
}
