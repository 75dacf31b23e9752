//! What an unquoted word means: the YAML 1.1 rules Kubernetes tools read manifests by.
//!
//! `yes`, `on` and `y` are booleans, `0644` is octal, `1.0` is the integer 1, dates stay text.

use serde_json::{Number, Value};

/// Above this a double no longer holds every integer.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The value of a plain scalar without a tag.
///
/// # Errors
/// For numbers JSON cannot express: infinities and not-a-number.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Err(format!("{text} cannot be expressed in JSON: quote it if text is meant")),
        _ => {}
    }
    if let Some(truth) = boolean(text) {
        return Ok(Value::Bool(truth));
    }
    Ok(number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// The boolean a word stands for.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The number a word stands for; underscores between digits are ignored.
pub(super) fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, magnitude) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (radix, digits) = radix(magnitude);
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if !negative {
        return Some(value.into());
    }
    i64::try_from(-i128::from(value)).ok().map(Number::from)
}

fn radix(magnitude: &str) -> (u32, &str) {
    let prefixes = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)];
    for (prefix, radix) in prefixes {
        if let Some(digits) = magnitude.strip_prefix(prefix) {
            return (radix, digits);
        }
    }
    match magnitude.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => (8, digits),
        _ => (10, magnitude),
    }
}

/// A decimal fraction or exponent. One without a fractional part is the integer, as Go prints it.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_mantissa = mantissa.bytes().any(|byte| byte.is_ascii_digit())
        && mantissa.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && mantissa.bytes().filter(|byte| *byte == b'.').count() <= 1;
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !is_mantissa || !is_exponent {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expect: Value) {
        assert_eq!(plain(text), Ok(expect), "{text}");
    }

    #[test]
    fn words_of_truth_are_booleans() {
        for word in ["yes", "On", "true", "Y"] {
            check(word, json!(true));
        }
        for word in ["no", "OFF", "False", "n"] {
            check(word, json!(false));
        }
        check("yEs", json!("yEs"));
        check("norway", json!("norway"));
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        check("0644", json!(420));
        check("0o17", json!(15));
        check("0x1F", json!(31));
        check("0b101", json!(5));
        check("1_000", json!(1000));
        check("-12", json!(-12));
        check("+5", json!(5));
        check("089", json!(89));
        check("1.0", json!(1));
        check("1e3", json!(1000));
        check("0.5", json!(0.5));
        check("-.5", json!(-0.5));
        check("18446744073709551615", json!(u64::MAX));
        check("-9223372036854775808", json!(i64::MIN));
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for text in
            ["1.2.3", "10.0.0.1", "100m", "1Gi", "-", "+", ".", "--5", "0x", "1e", "2024-01-02", "12:30:45", "-+5"]
        {
            check(text, json!(text));
        }
    }

    #[test]
    fn nothing_is_null_and_infinity_is_refused() {
        check("", json!(null));
        check("~", json!(null));
        assert!(plain("-.inf").is_err());
    }
}
