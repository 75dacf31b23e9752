//! Sampan, with the operator beside its own: the same commands, one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let kinds = ship_greeting::kinds().into_iter();
    let daemon = kinds.fold(sampan::Daemon::builder(), sampan::Builder::resource);
    daemon.operator(ship_greeting::ShipGreetingOperator).suite(ship_greeting::conformance::suite()).run()
}
