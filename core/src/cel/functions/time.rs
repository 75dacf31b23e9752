//! Instants and lengths of time.

use jiff::tz::TimeZone;

use super::super::{EvalError, Value};
use super::{Answer, Call};

pub(super) const NAMES: &[&str] = &[
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1000 * MILLISECOND;

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    match (&call.target, call.arguments.as_slice()) {
        (Some(Value::Time(time)), []) => of_time(call.name, &time.to_zoned(TimeZone::UTC)),
        (Some(Value::Time(time)), [Value::Text(zone)]) => match TimeZone::get(zone) {
            Ok(zone) => of_time(call.name, &time.to_zoned(zone)),
            Err(error) => Some(Err(EvalError::failed(error.to_string()))),
        },
        (Some(Value::Duration(nanos)), []) => of_duration(call.name, *nanos),
        _ => None,
    }
}

fn of_time<'a>(name: &str, time: &jiff::Zoned) -> Answer<'a> {
    let number: i64 = match name {
        "getFullYear" => time.year().into(),
        "getMonth" => i64::from(time.month()) - 1,
        "getDate" => time.day().into(),
        "getDayOfMonth" => i64::from(time.day()) - 1,
        "getDayOfWeek" => time.weekday().to_sunday_zero_offset().into(),
        "getDayOfYear" => i64::from(time.day_of_year()) - 1,
        "getHours" => time.hour().into(),
        "getMinutes" => time.minute().into(),
        "getSeconds" => time.second().into(),
        "getMilliseconds" => time.millisecond().into(),
        _ => return None,
    };
    Some(Ok(Value::Int(number)))
}

fn of_duration<'a>(name: &str, nanos: i64) -> Answer<'a> {
    let number = match name {
        "getHours" => nanos / (3600 * SECOND),
        "getMinutes" => nanos / (60 * SECOND),
        "getSeconds" => nanos / SECOND,
        "getMilliseconds" => nanos / MILLISECOND % 1000,
        _ => return None,
    };
    Some(Ok(Value::Int(number)))
}
