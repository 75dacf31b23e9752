//! Expressions on a request: what they may name.

use crate::cel::{COMPOSED, Program, Typing};

/// What every expression on a request may name.
pub(crate) const REQUEST_NAMES: [&str; 4] = ["object", "oldObject", "request", "namespaceObject"];
/// Under which a policy's expressions find their parameters.
pub(crate) const PARAMETERS: &str = "params";

/// What an expression on a request may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestNaming<'a> {
    /// The request alone: conditions of webhooks.
    Request,
    /// Parameters as well: conditions of a policy.
    Parameters,
    /// Parameters, and what the expressions of these names come to.
    Variables(&'a [&'a str]),
}

/// Compiles an expression on a request.
///
/// # Errors
/// Why it is none.
pub(crate) fn compile_on_request(source: &str, naming: RequestNaming<'_>) -> Result<Program, String> {
    let mut composed = Typing { is_closed: true, ..Typing::default() };
    let mut names: Vec<(&str, Option<&Typing>)> = REQUEST_NAMES.iter().map(|name| (*name, None)).collect();
    if naming != RequestNaming::Request {
        names.push((PARAMETERS, None));
    }
    if let RequestNaming::Variables(known) = naming {
        composed.fields = known.iter().map(|name| ((*name).to_owned(), Typing::default())).collect();
        names.push((COMPOSED, Some(&composed)));
    }
    Program::compile(source, &names).map_err(|error| error.to_string())
}
