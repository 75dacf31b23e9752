//! Single values: what is accepted for each type and how it is kept.

use serde_json::{Number, Value};

use super::Scalar;
use crate::object::Quantity;

/// Why a value does not fit its type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is of another type.
    Type,
    /// It is of the type, but says nothing of it.
    Value(String),
}

impl Scalar {
    /// What a message calls it.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Bytes => "a base64 string",
            Self::Time | Self::MicroTime => "an RFC 3339 time",
            Self::Boolean => "a boolean",
            Self::Int32 => "a 32-bit integer",
            Self::Int64 => "an integer",
            Self::Number => "a number",
            Self::IntOrString => "an integer or a string",
            Self::Quantity => "a quantity",
        }
    }

    /// What an explicit null stands for where a value must be: the zero of the type.
    pub(super) fn zero(self) -> Value {
        match self {
            Self::String | Self::Bytes => Value::from(""),
            Self::Boolean => Value::from(false),
            Self::Int32 | Self::Int64 | Self::Number | Self::IntOrString => Value::from(0),
            Self::Quantity => Value::from("0"),
            Self::Time | Self::MicroTime => Value::Null,
        }
    }

    /// Checks a value and brings it to the form that is kept.
    pub(super) fn accept(self, value: &mut Value) -> Result<(), Misfit> {
        match (self, &*value) {
            (Self::Boolean, Value::Bool(_))
            | (Self::String | Self::IntOrString, Value::String(_))
            | (Self::Number, Value::Number(_)) => return Ok(()),
            (Self::Bytes, Value::String(text)) => return check_base64(text),
            (Self::Quantity, Value::String(text)) => return check_quantity(text),
            (Self::Quantity, Value::Number(number)) => *value = Value::from(number.to_string()),
            (Self::Time, Value::String(text)) => *value = in_utc(text, "%Y-%m-%dT%H:%M:%SZ")?,
            (Self::MicroTime, Value::String(text)) => *value = in_utc(text, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
            (Self::Int64, Value::Number(number)) => *value = integer(number, i64::MIN, i64::MAX)?,
            (Self::Int32 | Self::IntOrString, Value::Number(number)) => {
                *value = integer(number, i64::from(i32::MIN), i64::from(i32::MAX))?;
            }
            _ => return Err(Misfit::Type),
        }
        Ok(())
    }
}

/// YAML and JavaScript write whole numbers as `3.0` and `1e3` too.
fn integer(number: &Number, least: i64, most: i64) -> Result<Value, Misfit> {
    /// Above 2^53 a float no longer holds every integer.
    const MOST_EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= MOST_EXACT)?;
        (!number.is_u64()).then_some(float as i64)
    });
    match whole {
        Some(whole) if (least..=most).contains(&whole) => Ok(Value::from(whole)),
        Some(_) => Err(Misfit::Value(format!("must be between {least} and {most}"))),
        None => Err(Misfit::Type),
    }
}

fn in_utc(text: &str, format: &str) -> Result<Value, Misfit> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| Misfit::Value("must be an RFC 3339 time, such as 2006-01-02T15:04:05Z".to_owned()))?;
    Ok(Value::from(time.strftime(format).to_string()))
}

fn check_quantity(text: &str) -> Result<(), Misfit> {
    Quantity::parse(text).map(drop).map_err(|error| Misfit::Value(error.to_string()))
}

fn check_base64(text: &str) -> Result<(), Misfit> {
    let padding = text.bytes().rev().take_while(|byte| matches!(byte, b'=' | b'\r' | b'\n'));
    let padding = padding.filter(|byte| *byte == b'=').count();
    let mut significant = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n'));
    let length = significant.clone().count();
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let body = length.saturating_sub(padding);
    if padding > 2 || length % 4 != 0 || !significant.by_ref().take(body).all(alphabet) {
        return Err(Misfit::Value("must be base64 with padding".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accepted(scalar: Scalar, json: &str) -> Result<Value, Misfit> {
        let mut value = serde_json::from_str(json).unwrap();
        scalar.accept(&mut value).map(|()| value)
    }

    #[test]
    fn whole_numbers_are_integers_however_written() {
        for (text, whole) in [("3", 3), ("3.0", 3), ("-1e3", -1000), ("0.0", 0)] {
            assert_eq!(accepted(Scalar::Int32, text), Ok(json!(whole)), "{text}");
        }
        assert_eq!(accepted(Scalar::Int32, "3.5"), Err(Misfit::Type));
        assert!(matches!(accepted(Scalar::Int32, "2147483648"), Err(Misfit::Value(_))));
        assert_eq!(accepted(Scalar::Int64, "2147483648"), Ok(json!(2_147_483_648_i64)));
        assert_eq!(accepted(Scalar::Int64, "18446744073709551615"), Err(Misfit::Type));
        assert_eq!(accepted(Scalar::Int64, "1e300"), Err(Misfit::Type));
    }

    #[test]
    fn a_quantity_may_be_a_number_and_keeps_its_spelling() {
        assert_eq!(accepted(Scalar::Quantity, "2"), Ok(json!("2")));
        assert_eq!(accepted(Scalar::Quantity, "0.5"), Ok(json!("0.5")));
        assert_eq!(accepted(Scalar::Quantity, "\"1024Mi\""), Ok(json!("1024Mi")));
        assert!(matches!(accepted(Scalar::Quantity, "\"1 GB\""), Err(Misfit::Value(_))));
    }

    #[test]
    fn times_are_kept_in_utc() {
        let time = |text: &str| accepted(Scalar::Time, &json!(text).to_string());
        assert_eq!(time("2020-01-02T03:04:05Z"), Ok(json!("2020-01-02T03:04:05Z")));
        assert_eq!(time("2020-01-02T03:04:05.9+01:00"), Ok(json!("2020-01-02T02:04:05Z")));
        assert!(matches!(time("yesterday"), Err(Misfit::Value(_))));
        let micro = accepted(Scalar::MicroTime, "\"2020-01-02T03:04:05Z\"");
        assert_eq!(micro, Ok(json!("2020-01-02T03:04:05.000000Z")));
    }

    #[test]
    fn base64_is_checked() {
        let check = |text: &str| accepted(Scalar::Bytes, &json!(text).to_string());
        for text in ["", "YQ==", "YWI=", "YWJj", "YWJj\nYWJj\n", "+/+/"] {
            assert!(check(text).is_ok(), "{text:?}");
        }
        for text in ["a", "YQ", "YQ=", "Y===", "Y=Q=", "YQ==YQ==", "é123", "a b="] {
            assert!(check(text).is_err(), "{text:?}");
        }
    }
}
