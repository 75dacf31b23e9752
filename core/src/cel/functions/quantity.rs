//! Amounts of resources.

use std::cmp::Ordering;

use super::super::{EvalError, Value};
use super::{Answer, Call};
use crate::object::Quantity;

pub(super) const NAMES: &[&str] = &[
    "quantity",
    "isQuantity",
    "sign",
    "isInteger",
    "asInteger",
    "asApproximateFloat",
    "add",
    "sub",
    "isLessThan",
    "isGreaterThan",
    "compareTo",
];

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    match (call.room, &call.target, call.arguments.as_slice()) {
        (None, None, [Value::Text(text)]) => match call.name {
            "quantity" => Some(parse(text).map(Value::Quantity)),
            "isQuantity" => Some(Ok(Value::Bool(parse(text).is_ok()))),
            _ => None,
        },
        (None, Some(Value::Quantity(quantity)), arguments) => of_quantity(call.name, quantity, arguments),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Quantity, EvalError> {
    Quantity::parse(text).map_err(|error| EvalError::failed(error.to_string()))
}

fn of_quantity<'a>(name: &str, quantity: &Quantity, arguments: &[Value<'a>]) -> Answer<'a> {
    let other = match arguments {
        [] => None,
        [Value::Quantity(other)] => Some(other.clone()),
        [Value::Int(units)] => Some(Quantity::from_units(*units)),
        _ => return None,
    };
    Some(match (name, other) {
        ("sign", None) => Ok(Value::Int(match (quantity.is_zero(), quantity.is_negative()) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        })),
        ("isInteger", None) => Ok(Value::Bool(quantity.is_whole())),
        ("asInteger", None) if quantity.is_whole() => Ok(Value::Int(quantity.value())),
        ("asInteger", None) => Err(EvalError::failed("cannot convert value to integer")),
        ("asApproximateFloat", None) => Ok(Value::Double(quantity.milli_value() as f64 / 1000.0)),
        ("add", Some(other)) => Ok(Value::Quantity(quantity.plus(&other))),
        ("sub", Some(other)) => Ok(Value::Quantity(quantity.minus(&other))),
        ("isLessThan", Some(other)) => Ok(Value::Bool(quantity < &other)),
        ("isGreaterThan", Some(other)) => Ok(Value::Bool(quantity > &other)),
        ("compareTo", Some(other)) => Ok(Value::Int(match quantity.cmp(&other) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        })),
        _ => return None,
    })
}
