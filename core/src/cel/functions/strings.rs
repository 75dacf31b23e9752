//! Texts and regular expressions.

use super::super::operators::text_cost;
use super::super::{EvalError, Value};
use super::{Answer, Call, text_of};

pub(super) const NAMES: &[&str] = &[
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "substring",
    "trim",
    "reverse",
    "join",
    "format",
    "quote",
    "find",
    "findAll",
];

/// How large a compiled regular expression may be.
const PATTERN_BYTES_MAX: usize = 1 << 18;
/// What compiling a regular expression costs, and what each of its bytes adds.
const PATTERN_COST: u64 = 500;
const PATTERN_BYTE_COST: u64 = 20;

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    if call.room == Some("strings") {
        let Some(Value::Text(text)) = call.arguments.first() else { return Some(Err(EvalError::no_such_overload())) };
        return Some(Ok(Value::text(format!("{:?}", &**text))));
    }
    if call.room.is_some() {
        return None;
    }
    if call.name == "matches" && call.target.is_none() && call.arguments.len() == 2 {
        call.target = Some(call.arguments.remove(0));
    }
    match call.target.clone() {
        Some(Value::Text(text)) => of_text(&text, call),
        Some(list @ (Value::List(_) | Value::Items(..))) if call.name == "join" => Some(join(&list, call)),
        _ => None,
    }
}

fn of_text<'a>(text: &str, call: &mut Call<'a, '_>) -> Answer<'a> {
    if let Err(error) = call.budget.spend(text_cost(text.len())) {
        return Some(Err(error));
    }
    let arguments = std::mem::take(&mut call.arguments);
    let answer = match (call.name, arguments.as_slice()) {
        ("contains", [Value::Text(part)]) => searched(text, part, call).map(|()| Value::Bool(text.contains(&**part))),
        ("startsWith", [Value::Text(part)]) => Ok(Value::Bool(text.starts_with(&**part))),
        ("endsWith", [Value::Text(part)]) => Ok(Value::Bool(text.ends_with(&**part))),
        ("matches", [Value::Text(pattern)]) => regex(pattern, text, call).map(|it| Value::Bool(it.is_match(text))),
        ("find", [Value::Text(pattern)]) => regex(pattern, text, call)
            .map(|it| Value::text(it.find(text).map(|found| found.as_str()).unwrap_or_default())),
        ("findAll", [Value::Text(pattern)]) => find_all(text, pattern, -1, call),
        ("findAll", [Value::Text(pattern), Value::Int(most)]) => find_all(text, pattern, *most, call),
        ("lowerAscii", []) => Ok(Value::text(text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Value::text(text.to_ascii_uppercase())),
        ("trim", []) => Ok(Value::text(text.trim())),
        ("reverse", []) => Ok(Value::text(text.chars().rev().collect::<String>())),
        ("charAt", [Value::Int(place)]) => char_at(text, *place),
        ("indexOf", [Value::Text(part)]) => searched(text, part, call).map(|()| index_of(text, part, 0)),
        ("indexOf", [Value::Text(part), Value::Int(from)]) => {
            searched(text, part, call).map(|()| index_of(text, part, usize::try_from(*from).unwrap_or_default()))
        }
        ("lastIndexOf", [Value::Text(part)]) => searched(text, part, call).map(|()| {
            let place = text.rfind(&**part).and_then(|at| text.get(..at));
            Value::Int(place.map_or(-1, |before| before.chars().count() as i64))
        }),
        ("replace", [Value::Text(from), Value::Text(to)]) => replace(text, from, to, -1, call),
        ("replace", [Value::Text(from), Value::Text(to), Value::Int(most)]) => replace(text, from, to, *most, call),
        ("split", [Value::Text(separator)]) => split(text, separator, -1, call),
        ("split", [Value::Text(separator), Value::Int(most)]) => split(text, separator, *most, call),
        ("substring", [Value::Int(from)]) => substring(text, *from, None),
        ("substring", [Value::Int(from), Value::Int(to)]) => substring(text, *from, Some(*to)),
        ("format", [list]) => format(text, list, call),
        _ => {
            call.arguments = arguments;
            return None;
        }
    };
    Some(answer)
}

/// Looking for a text in another may look at every place anew.
fn searched(text: &str, part: &str, call: &mut Call<'_, '_>) -> Result<(), EvalError> {
    call.budget.spend(text_cost(text.len() + part.len()))
}

fn regex(pattern: &str, text: &str, call: &mut Call<'_, '_>) -> Result<regex::Regex, EvalError> {
    call.budget.spend(PATTERN_COST + PATTERN_BYTE_COST * pattern.len() as u64)?;
    call.budget.spend(text_cost(text.len()) * (pattern.len() as u64 / 4 + 1))?;
    let built = regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|error| EvalError::failed(format!("illegal regex: {error}")))
}

fn find_all<'a>(text: &str, pattern: &str, most: i64, call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    let regex = regex(pattern, text, call)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let found: Vec<Value<'a>> = regex.find_iter(text).take(most).map(|found| Value::text(found.as_str())).collect();
    call.budget.spend(found.len() as u64)?;
    Ok(Value::list(found))
}

fn char_at<'a>(text: &str, place: i64) -> Result<Value<'a>, EvalError> {
    let wanted = usize::try_from(place).ok();
    let found = wanted.and_then(|place| text.chars().nth(place).map(String::from));
    let is_end = wanted == Some(text.chars().count());
    match found.or_else(|| is_end.then(String::new)) {
        Some(found) => Ok(Value::text(found)),
        None => Err(EvalError::failed(format!("index out of range: {place}"))),
    }
}

fn index_of<'a>(text: &str, part: &str, from: usize) -> Value<'a> {
    let start = text.char_indices().nth(from).map_or(text.len(), |(at, _)| at);
    let found = text.get(start..).and_then(|rest| rest.find(part)).and_then(|at| text.get(..start + at));
    Value::Int(found.map_or(-1, |before| before.chars().count() as i64))
}

fn replace<'a>(text: &str, from: &str, to: &str, most: i64, call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    let count = text.matches(from).count().min(usize::try_from(most).unwrap_or(usize::MAX));
    call.budget.spend(text_cost(text.len() + count.saturating_mul(to.len())))?;
    Ok(Value::text(text.replacen(from, to, count)))
}

fn split<'a>(text: &str, separator: &str, most: i64, call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    call.budget.spend(text.len() as u64 + 1)?;
    let parts: Vec<String> = match (most, separator) {
        (0, _) => Vec::new(),
        (_, "") => text.chars().map(String::from).collect(),
        (..=-1, _) => text.split(separator).map(str::to_owned).collect(),
        (most, _) => text.splitn(most as usize, separator).map(str::to_owned).collect(),
    };
    Ok(Value::list(parts.into_iter().map(Value::text).collect()))
}

fn substring<'a>(text: &str, from: i64, to: Option<i64>) -> Result<Value<'a>, EvalError> {
    let count = text.chars().count() as i64;
    let to = to.unwrap_or(count);
    if from < 0 || to > count || from > to {
        return Err(EvalError::failed(format!(
            "index out of range: {}",
            if from < 0 || from > to { from } else { to }
        )));
    }
    Ok(Value::text(text.chars().skip(from as usize).take((to - from) as usize).collect::<String>()))
}

fn join<'a>(list: &Value<'a>, call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    let separator = match call.arguments.first() {
        None => String::new(),
        Some(separator) => text_of(separator).ok_or_else(EvalError::no_such_overload)?,
    };
    let mut joined = String::new();
    for (place, item) in list.items().unwrap_or_default().iter().enumerate() {
        let Value::Text(text) = item else { return Err(EvalError::no_such_overload()) };
        call.budget.spend(text_cost(text.len() + separator.len()))?;
        if place > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(text);
    }
    Ok(Value::text(joined))
}

/// `%s`, `%d`, `%f` with a precision, `%x`, `%%`.
fn format<'a>(template: &str, list: &Value<'a>, call: &mut Call<'a, '_>) -> Result<Value<'a>, EvalError> {
    let mut out = String::new();
    let mut next = list.items().ok_or_else(EvalError::no_such_overload)?.into_iter();
    let mut rest = template.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut verb = rest.next();
        let mut precision = None;
        if verb == Some('.') {
            verb = rest.next();
            while let Some(digit) = verb.and_then(|it| it.to_digit(10)) {
                precision = Some((precision.unwrap_or(0) * 10 + digit as usize).min(100));
                verb = rest.next();
            }
        }
        if verb == Some('%') {
            out.push('%');
            continue;
        }
        let value = next.next().ok_or_else(|| EvalError::failed("index out of range: too few values to format"))?;
        let text = match (verb, &value) {
            (Some('s'), value) => shown(value, call)?,
            (Some('d'), Value::Int(_) | Value::Uint(_)) => text_of(&value).unwrap_or_default(),
            (Some('f'), Value::Double(number)) => format!("{number:.*}", precision.unwrap_or(6)),
            (Some('f'), Value::Int(number)) => format!("{:.*}", precision.unwrap_or(6), *number as f64),
            (Some('x'), Value::Int(number)) => format!("{number:x}"),
            (Some('X'), Value::Int(number)) => format!("{number:X}"),
            _ => return Err(EvalError::failed("could not parse formatting clause")),
        };
        call.budget.spend(text_cost(text.len()))?;
        out.push_str(&text);
    }
    Ok(Value::text(out))
}

/// A value as a message shows it, lists and maps included.
fn shown(value: &Value<'_>, call: &mut Call<'_, '_>) -> Result<String, EvalError> {
    call.budget.spend(1)?;
    if let Some(text) = text_of(value) {
        return Ok(text);
    }
    if let Some(keys) = value.keys() {
        let mut parts = Vec::new();
        for key in keys {
            let found = key.as_key().and_then(|key| value.entry(&key)).unwrap_or(Value::Null);
            parts.push(format!("{}: {}", shown(&key, call)?, shown(&found, call)?));
        }
        return Ok(format!("{{{}}}", parts.join(", ")));
    }
    match value.items() {
        Some(items) => {
            let parts = items.iter().map(|item| shown(item, call)).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("[{}]", parts.join(", ")))
        }
        None => Ok("null".to_owned()),
    }
}
