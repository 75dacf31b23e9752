//! Keys in the paths of JSON patches: `jsonpatch.escapeKey('example.com/name')`.

use super::super::operators::text_cost;
use super::super::{EvalError, Value};
use super::{Answer, Call};

pub(super) const NAMES: &[&str] = &["escapeKey"];
/// The room they are in. It is there where patches are made alone.
pub(in super::super) const ROOM: &str = "jsonpatch";

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    if call.room != Some(ROOM) {
        return None;
    }
    let (name, [Value::Text(key)]) = (call.name, call.arguments.as_slice()) else {
        return Some(Err(EvalError::no_such_overload()));
    };
    if name != "escapeKey" {
        return Some(Err(EvalError::no_such_overload()));
    }
    Some(call.budget.spend(text_cost(key.len())).map(|()| Value::text(key.replace('~', "~0").replace('/', "~1"))))
}
