//! A binary of one's own: Sampan with more operators.

use std::process::ExitCode;

use clap::Parser as _;
use sampan_conformance::Suite;
use sampan_core::operator::Operator;
use sampan_core::resource::ResourceDefinition;

use crate::args::Arguments;
use crate::operators::{Carried, definitions};
use crate::say::Unheard;

/// Sampan as a binary of one's own, with all its commands.
#[derive(Debug, Clone, Copy)]
pub struct Daemon;

impl Daemon {
    /// Begins with what Sampan carries itself.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// The suite of an operator of one's own, in a cluster that serves what Sampan serves. Its specs, laws and worlds are its author's.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    definitions().into_iter().fold(Suite::of(operator), Suite::serving)
}

/// Puts a binary together.
///
/// # Example
/// ```no_run
/// # use sampan_replicaset::ReplicaSetOperator as Mine;
/// fn main() -> std::process::ExitCode {
///     sampan::Daemon::builder().operator(Mine).run()
/// }
/// ```
#[derive(Default)]
pub struct Builder {
    carried: Carried,
}

impl Builder {
    /// Runs an operator beside those of Sampan.
    pub fn operator(mut self, operator: impl Operator + Clone) -> Self {
        self.carried.add_operator(operator);
        self
    }

    /// Serves a resource type defined in Rust. One that comes as a CustomResourceDefinition needs no word here.
    pub fn resource(mut self, definition: ResourceDefinition) -> Self {
        self.carried.add_definition(definition);
        self
    }

    /// Proves an operator by `conformance`, beside those of Sampan.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.carried.add_suite(suite);
        self
    }

    /// Does what the command line says: `up`, `status`, `why`, `graph` and all the rest.
    pub fn run(self) -> ExitCode {
        match crate::run(Arguments::parse().command, &self.carried) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.is::<Unheard>() => Unheard::exit_code(),
            Err(error) => {
                eprintln!("sampan: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}
