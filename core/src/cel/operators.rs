//! Equality, order and arithmetic.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::SignedDuration;

use super::{Budget, EvalError, Made, Value};

pub(super) const CONDITIONAL: &str = "_?_:_";
pub(super) const AND: &str = "_&&_";
pub(super) const OR: &str = "_||_";
pub(super) const NOT: &str = "!_";
pub(super) const SUBTRACT: &str = "_-_";
pub(super) const ADD: &str = "_+_";
pub(super) const MULTIPLY: &str = "_*_";
pub(super) const DIVIDE: &str = "_/_";
pub(super) const MODULO: &str = "_%_";
pub(super) const EQUALS: &str = "_==_";
pub(super) const NOT_EQUALS: &str = "_!=_";
pub(super) const GREATER_EQUALS: &str = "_>=_";
pub(super) const LESS_EQUALS: &str = "_<=_";
pub(super) const GREATER: &str = "_>_";
pub(super) const LESS: &str = "_<_";
pub(super) const NEGATE: &str = "-_";
pub(super) const INDEX: &str = "_[_]";
pub(super) const OPTIONAL_INDEX: &str = "_[?_]";
pub(super) const OPTIONAL_SELECT: &str = "_?._";
pub(super) const NOT_STRICTLY_FALSE: &str = "@not_strictly_false";
pub(super) const IN: &str = "@in";

const ALL: [&str; 21] = [
    CONDITIONAL,
    AND,
    OR,
    NOT,
    SUBTRACT,
    ADD,
    MULTIPLY,
    DIVIDE,
    MODULO,
    EQUALS,
    NOT_EQUALS,
    GREATER_EQUALS,
    LESS_EQUALS,
    GREATER,
    LESS,
    NEGATE,
    INDEX,
    OPTIONAL_INDEX,
    OPTIONAL_SELECT,
    NOT_STRICTLY_FALSE,
    IN,
];

/// Whether the parser's name of a function is that of an operator.
pub(super) fn is_operator(name: &str) -> bool {
    ALL.contains(&name)
}

/// Texts and lists are gone through in so many bytes, or one item, for one unit of cost.
pub(super) const BYTES_PER_COST: u64 = 10;

/// What going through so many bytes costs.
pub(super) fn text_cost(bytes: usize) -> u64 {
    bytes as u64 / BYTES_PER_COST + 1
}

/// Whether two values are equal. Numbers of different types are compared by what they say.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    budget.spend(1)?;
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => {
            budget.spend(text_cost(left.len().min(right.len())))?;
            **left == **right
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            budget.spend(text_cost(left.len().min(right.len())))?;
            left == right
        }
        (Value::Time(left), Value::Time(right)) => left == right,
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::Quantity(left), Value::Quantity(right)) => left == right,
        (Value::Url(left), Value::Url(right)) => left == right,
        (Value::Ip(left), Value::Ip(right)) => left == right,
        (Value::Cidr(left, bits), Value::Cidr(right, others)) => left == right && bits == others,
        (Value::Optional(left), Value::Optional(right)) => match (left, right) {
            (Some(left), Some(right)) => equal(left, right, budget)?,
            (left, right) => left.is_none() && right.is_none(),
        },
        (Value::Made(left), Value::Made(right)) => made_equal(left, right, budget)?,
        _ => match numbers(left, right) {
            Ok(order) => order == Some(Ordering::Equal),
            Err(NotNumbers) => collections_equal(left, right, budget)?,
        },
    })
}

fn made_equal(left: &Made<'_>, right: &Made<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    if left.type_name != right.type_name || !left.fields.keys().eq(right.fields.keys()) {
        return Ok(false);
    }
    for (left, right) in left.fields.values().zip(right.fields.values()) {
        if !equal(left, right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn collections_equal(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    let count = left.count();
    if count.is_none() || count != right.count() || left.type_name() != right.type_name() {
        return Ok(false);
    }
    for index in 0..count.unwrap_or_default() {
        if let (Some(left), Some(right)) = (left.item(index), right.item(index))
            && !equal(&left, &right, budget)?
        {
            return Ok(false);
        }
    }
    for key in left.keys().unwrap_or_default() {
        budget.spend(1)?;
        let key = key.as_key().ok_or_else(EvalError::no_such_overload)?;
        let (Some(left), Some(right)) = (left.entry(&key), right.entry(&key)) else { return Ok(false) };
        if !equal(&left, &right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Two values that are not both numbers.
struct NotNumbers;

/// The order of two numbers; none where one of them is NaN.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, NotNumbers> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    let float = |value: &Value<'_>| match value {
        Value::Double(number) => Ok(*number),
        other => whole(other).map(|number| number as f64).ok_or(NotNumbers),
    };
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Ok(Some(left.cmp(&right))),
        _ => Ok(float(left)?.partial_cmp(&float(right)?)),
    }
}

/// The order of two values that have one.
pub(super) fn compare(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<Option<Ordering>, EvalError> {
    Ok(match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            budget.spend(text_cost(left.len().min(right.len())))?;
            Some((**left).cmp(&**right))
        }
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        _ => numbers(left, right).map_err(|NotNumbers| EvalError::no_such_overload())?,
    })
}

/// Whether a value is among the items of a list or the keys of a map.
pub(super) fn is_in(value: &Value<'_>, of: &Value<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    if of.keys().is_some() {
        budget.spend(1)?;
        return Ok(value.as_key().is_some_and(|key| of.entry(&key).is_some()));
    }
    let count = of.count().ok_or_else(EvalError::no_such_overload)?;
    for item in (0..count).filter_map(|index| of.item(index)) {
        if equal(value, &item, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The sum of two values: also a longer text or list.
pub(super) fn add<'a>(left: Value<'a>, right: Value<'a>, budget: &mut Budget) -> Result<Value<'a>, EvalError> {
    Ok(match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            budget.spend(text_cost(left.len() + right.len()))?;
            Value::text(format!("{}{}", &*left, &*right))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            budget.spend(text_cost(left.len() + right.len()))?;
            Value::Bytes([&*left, &*right].concat().into())
        }
        (Value::Time(time), Value::Duration(nanos)) | (Value::Duration(nanos), Value::Time(time)) => {
            Value::Time(time.checked_add(SignedDuration::from_nanos(nanos)).map_err(|_| overflow())?)
        }
        (Value::Duration(left), Value::Duration(right)) => {
            Value::Duration(left.checked_add(right).ok_or_else(overflow)?)
        }
        (left, right) if left.type_name() == "list" && right.type_name() == "list" => joined(left, &right, budget)?,
        (left, right) => arithmetic(ADD, &left, &right)?,
    })
}

/// A list and another after it.
pub(super) fn joined<'a>(left: Value<'a>, right: &Value<'a>, budget: &mut Budget) -> Result<Value<'a>, EvalError> {
    let (ours, others) = (left.count().unwrap_or_default(), right.count().unwrap_or_default());
    budget.spend((ours + others) as u64 + 1)?;
    let mut items = left.items().unwrap_or_default();
    items.extend(right.items().unwrap_or_default());
    Ok(Value::List(Arc::new(items)))
}

/// The difference of two values.
pub(super) fn subtract<'a>(left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, EvalError> {
    Ok(match (left, right) {
        (Value::Time(left), Value::Time(right)) => {
            let between = left.duration_since(*right);
            Value::Duration(i64::try_from(between.as_nanos()).map_err(|_| overflow())?)
        }
        (Value::Time(time), Value::Duration(nanos)) => {
            Value::Time(time.checked_sub(SignedDuration::from_nanos(*nanos)).map_err(|_| overflow())?)
        }
        (Value::Duration(left), Value::Duration(right)) => {
            Value::Duration(left.checked_sub(*right).ok_or_else(overflow)?)
        }
        (left, right) => arithmetic(SUBTRACT, left, right)?,
    })
}

/// Arithmetic on two numbers of one type.
pub(super) fn arithmetic<'a>(operator: &str, left: &Value<'_>, right: &Value<'_>) -> Result<Value<'a>, EvalError> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => {
            let (left, right) = (*left, *right);
            check_divisor(operator, right == 0)?;
            let result = match operator {
                ADD => left.checked_add(right),
                SUBTRACT => left.checked_sub(right),
                MULTIPLY => left.checked_mul(right),
                DIVIDE => left.checked_div(right),
                _ => left.checked_rem(right),
            };
            result.map(Value::Int).ok_or_else(overflow)
        }
        (Value::Uint(left), Value::Uint(right)) => {
            let (left, right) = (*left, *right);
            check_divisor(operator, right == 0)?;
            let result = match operator {
                ADD => left.checked_add(right),
                SUBTRACT => left.checked_sub(right),
                MULTIPLY => left.checked_mul(right),
                DIVIDE => left.checked_div(right),
                _ => left.checked_rem(right),
            };
            result.map(Value::Uint).ok_or_else(overflow)
        }
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(match operator {
            ADD => left + right,
            SUBTRACT => left - right,
            MULTIPLY => left * right,
            DIVIDE => left / right,
            _ => return Err(EvalError::no_such_overload()),
        })),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn check_divisor(operator: &str, is_zero: bool) -> Result<(), EvalError> {
    match (operator, is_zero) {
        (DIVIDE, true) => Err(EvalError::failed("division by zero")),
        (MODULO, true) => Err(EvalError::failed("modulus by zero")),
        _ => Ok(()),
    }
}

/// The value turned around.
pub(super) fn negate<'a>(value: &Value<'a>) -> Result<Value<'a>, EvalError> {
    match value {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(overflow),
        Value::Double(number) => Ok(Value::Double(-number)),
        _ => Err(EvalError::no_such_overload()),
    }
}

pub(super) fn overflow() -> EvalError {
    EvalError::failed("integer overflow")
}
