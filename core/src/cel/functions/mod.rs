//! The functions of expressions: those of the language, and those Kubernetes adds.

pub(super) mod authorizer;
mod convert;
pub(super) mod json_patch;
mod lists;
mod net;
mod quantity;
mod strings;
mod time;
pub(super) mod url;

use super::{Budget, EvalError, Value};

pub(super) use convert::{text_of, type_named};

/// A function and what it is called with.
pub(super) struct Call<'a, 'b> {
    /// The room of functions it is of, such as `sets`.
    pub(super) room: Option<&'a str>,
    /// Its name.
    pub(super) name: &'a str,
    /// What it is called on.
    pub(super) target: Option<Value<'a>>,
    /// What it is called with.
    pub(super) arguments: Vec<Value<'a>>,
    /// What it may cost.
    pub(super) budget: &'b mut Budget,
}

/// What a room of functions answers: nothing where the call is not for it.
type Answer<'a> = Option<Result<Value<'a>, EvalError>>;

const ROOMS: [&str; 6] = ["sets", "base64", "strings", "ip", "optional", json_patch::ROOM];

/// Whether a name stands for a room of functions.
pub(super) fn is_room(name: &str) -> bool {
    ROOMS.contains(&name)
}

/// Whether there is a function of that name.
pub(super) fn is_known(name: &str) -> bool {
    [
        authorizer::NAMES,
        convert::NAMES,
        json_patch::NAMES,
        lists::NAMES,
        net::NAMES,
        quantity::NAMES,
        strings::NAMES,
        time::NAMES,
        url::NAMES,
    ]
    .iter()
    .any(|names| names.contains(&name))
}

/// The value of a function.
pub(super) fn call<'a>(mut call: Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    call.budget.spend(1)?;
    let rooms = [
        convert::call,
        strings::call,
        lists::call,
        net::call,
        quantity::call,
        time::call,
        url::call,
        authorizer::call,
        json_patch::call,
    ];
    for room in rooms {
        if let Some(answer) = room(&mut call) {
            return answer;
        }
    }
    Err(EvalError::no_such_overload())
}
