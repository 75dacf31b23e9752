//! Lists, and lists as sets.

use std::cmp::Ordering;

use super::super::operators::{add, compare, equal, is_in};
use super::super::{EvalError, Value};
use super::{Answer, Call};

pub(super) const NAMES: &[&str] =
    &["isSorted", "sum", "min", "max", "indexOf", "lastIndexOf", "contains", "equivalent", "intersects"];

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    if call.room == Some("sets") {
        return Some(sets(call));
    }
    let items = call.target.as_ref().filter(|_| call.room.is_none())?.items()?;
    if let Err(error) = call.budget.spend(items.len() as u64) {
        return Some(Err(error));
    }
    match (call.name, call.arguments.as_slice()) {
        ("isSorted", []) => Some(is_sorted(&items, call)),
        ("sum", []) => Some(sum(items, call)),
        ("min", []) => Some(extreme(items, Ordering::Less, call)),
        ("max", []) => Some(extreme(items, Ordering::Greater, call)),
        ("indexOf", [wanted]) => Some(index_of(items.iter().enumerate(), &wanted.clone(), call)),
        ("lastIndexOf", [wanted]) => Some(index_of(items.iter().enumerate().rev(), &wanted.clone(), call)),
        _ => None,
    }
}

fn is_sorted<'a>(items: &[Value<'a>], call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    for pair in items.windows(2) {
        if let [left, right] = pair
            && compare(left, right, call.budget)? == Some(Ordering::Greater)
        {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(items: Vec<Value<'a>>, call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    let mut items = items.into_iter();
    let first = items.next().unwrap_or(Value::Int(0));
    items.try_fold(first, |sum, item| add(sum, item, call.budget))
}

fn extreme<'a>(items: Vec<Value<'a>>, wanted: Ordering, call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    let name = call.name;
    let mut items = items.into_iter();
    let mut found = items.next().ok_or_else(|| EvalError::failed(format!("{name} called on empty list")))?;
    for item in items {
        if compare(&item, &found, call.budget)? == Some(wanted) {
            found = item;
        }
    }
    Ok(found)
}

fn index_of<'a, 'i>(
    items: impl Iterator<Item = (usize, &'i Value<'a>)>,
    wanted: &Value<'a>,
    call: &mut Call<'a, '_>,
) -> Result<Value<'a>, EvalError>
where
    'a: 'i,
{
    for (place, item) in items {
        if equal(item, wanted, call.budget)? {
            return Ok(Value::Int(place as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn sets<'a>(call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    let [left, right] = call.arguments.as_slice() else { return Err(EvalError::no_such_overload()) };
    let (ours, theirs) = (left.items(), right.items());
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Err(EvalError::no_such_overload()) };
    let budget = &mut *call.budget;
    let mut all_in = |items: &[Value<'a>], of: &Value<'a>| -> Result<bool, EvalError> {
        for item in items {
            if !is_in(item, of, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(Value::Bool(match call.name {
        "contains" => all_in(&theirs, left)?,
        "equivalent" => all_in(&theirs, left)? && all_in(&ours, right)?,
        "intersects" => {
            for item in &ours {
                if is_in(item, right, call.budget)? {
                    return Ok(Value::Bool(true));
                }
            }
            false
        }
        _ => return Err(EvalError::no_such_overload()),
    }))
}
