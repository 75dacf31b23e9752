//! Columns and cells of `kubectl get`, and the spellings they share.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use super::read::{items, text};
use super::{Cell, Column};

/// What is shown where there is nothing.
pub const NONE: &str = "<none>";
/// What is shown where it is not known.
pub const UNKNOWN: &str = "<unknown>";

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

impl Column {
    /// A column of texts that is always shown.
    pub const fn text(name: &'static str, description: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: Cow::Borrowed("string"),
            format: Cow::Borrowed(""),
            description: Cow::Borrowed(description),
            priority: 0,
        }
    }

    /// A column of integers that is always shown.
    pub fn integer(name: &'static str, description: &'static str) -> Self {
        Self { kind: Cow::Borrowed("integer"), ..Self::text(name, description) }
    }

    /// A column of booleans that is always shown.
    pub fn boolean(name: &'static str, description: &'static str) -> Self {
        Self { kind: "boolean".into(), ..Self::text(name, description) }
    }

    /// The name, for kinds whose first cell is not the object's name alone.
    pub fn name(description: &'static str) -> Self {
        Self { format: "name".into(), ..Self::text("Name", description) }
    }

    /// The time since an object was created.
    pub const fn age() -> Self {
        Self::text("Age", "Time since the object was created, in days, hours, minutes and seconds.")
    }

    /// Shown with `-o wide` only.
    #[must_use]
    pub fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

/// The time since the object was created.
pub fn age(object: &Value, now: Timestamp) -> Cell {
    since(text(object, "/metadata/creationTimestamp"), now).into()
}

/// The time since an instant in RFC 3339; `<unknown>` where it is missing.
pub fn since(instant: &str, now: Timestamp) -> String {
    match instant.parse::<Timestamp>() {
        Ok(instant) => duration(now.as_second() - instant.as_second()),
        Err(_) => UNKNOWN.to_owned(),
    }
}

/// A number of seconds in the two units that matter, as `5m30s` or `2d4h`.
pub fn duration(seconds: i64) -> String {
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two_units(seconds, MINUTE, 'm', 1, 's'),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two_units(seconds, HOUR, 'h', MINUTE, 'm'),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two_units(seconds, DAY, 'd', HOUR, 'h'),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two_units(seconds, YEAR, 'y', DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}

fn two_units(seconds: i64, large: i64, large_name: char, small: i64, small_name: char) -> String {
    match (seconds % large) / small {
        0 => format!("{}{large_name}", seconds / large),
        rest => format!("{}{large_name}{rest}{small_name}", seconds / large),
    }
}

/// The text, or `<none>` where it is empty.
pub fn or_none(text: &str) -> Cell {
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// The names and the images of the containers at a JSON pointer, comma-separated.
pub fn containers_and_images(object: &Value, pointer: &str) -> [Cell; 2] {
    ["/name", "/image"].map(|field| {
        let listed: Vec<&str> = items(object, pointer).map(|container| text(container, field)).collect();
        listed.join(",").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (8 * HOUR, "8h"),
            (47 * HOUR, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + HOUR, "2d1h"),
            (8 * DAY, "8d"),
            (729 * DAY, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + DAY, "2y1d"),
            (9 * YEAR, "9y"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn an_unknown_time_says_so() {
        assert_eq!(since("", Timestamp::UNIX_EPOCH), "<unknown>");
        assert_eq!(since("1969-12-31T23:59:00Z", Timestamp::UNIX_EPOCH), "60s");
    }
}
