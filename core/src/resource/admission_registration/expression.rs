//! Expressions on a request: what they may name.

use crate::cel::{COMPOSED, MadeType, Program, Typing};

/// What every expression on a request may name.
pub(crate) const REQUEST_NAMES: [&str; 4] = ["object", "oldObject", "request", "namespaceObject"];
/// Under which a policy's expressions find their parameters.
pub(crate) const PARAMETERS: &str = "params";
/// Under which they ask what somebody may do.
pub(crate) const AUTHORIZER: &str = "authorizer";

/// What an expression on a request may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestNaming<'a> {
    /// The request alone: conditions of webhooks.
    Request,
    /// Parameters as well: conditions of a policy.
    Parameters,
    /// Parameters, and what the expressions of these names come to.
    Variables(&'a [&'a str]),
    /// The same, but for what somebody may do: messages.
    Message(&'a [&'a str]),
    /// The same as those, and types to make a mutation of.
    Mutation(&'a [&'a str]),
}

impl<'a> RequestNaming<'a> {
    /// The names of other expressions it may look at; `None` where it may look at none.
    fn variables(self) -> Option<&'a [&'a str]> {
        match self {
            Self::Request | Self::Parameters => None,
            Self::Variables(known) | Self::Message(known) | Self::Mutation(known) => Some(known),
        }
    }
}

/// Compiles an expression on a request.
///
/// # Errors
/// Why it is none.
pub(crate) fn compile_on_request(source: &str, naming: RequestNaming<'_>) -> Result<Program, String> {
    let mut composed = Typing { is_closed: true, ..Typing::default() };
    let authorizer = ("requestResource".to_owned(), Typing::default());
    let authorizer = Typing { is_closed: true, fields: [authorizer].into(), ..Typing::default() };
    let mut names: Vec<(&str, Option<&Typing>)> = REQUEST_NAMES.iter().map(|name| (*name, None)).collect();
    if naming != RequestNaming::Request {
        names.push((PARAMETERS, None));
    }
    if !matches!(naming, RequestNaming::Message(_)) {
        names.push((AUTHORIZER, Some(&authorizer)));
    }
    if let Some(known) = naming.variables() {
        composed.fields = known.iter().map(|name| ((*name).to_owned(), Typing::default())).collect();
        names.push((COMPOSED, Some(&composed)));
    }
    let types = if matches!(naming, RequestNaming::Mutation(_)) { MadeType::OF_MUTATIONS } else { &[] };
    Program::compile_making(source, &names, types).map_err(|error| error.to_string())
}
