//! Schedules of CronJobs: five fields of minutes, hours, days, months and weekdays, or a word such as `@daily`.

use std::collections::BTreeSet;

/// A field: its smallest and its largest number, and the names of numbers.
struct Bounds {
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const FIELDS: [Bounds; 5] = [
    Bounds { least: 0, most: 59, names: &[] },
    Bounds { least: 0, most: 23, names: &[] },
    Bounds { least: 1, most: 31, names: &[] },
    Bounds {
        least: 1,
        most: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Bounds { least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// Words that stand for five fields.
const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// When a CronJob is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// At every minute that all fields allow.
    Fields {
        /// Minutes, hours, days of the month, months, weekdays (Sunday is 0).
        allowed: [BTreeSet<u8>; 5],
        /// Whether any day of the month will do, and any weekday: where neither, one of both is enough.
        any_day: [bool; 2],
    },
    /// So many seconds after the last time.
    Every(i64),
}

impl Schedule {
    /// Reads a schedule; a leading `TZ=…` or `CRON_TZ=…` is passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let zoned = text.starts_with("TZ=") || text.starts_with("CRON_TZ=");
        let text = if zoned { text.split_once(' ').map_or("", |(_, rest)| rest.trim()) } else { text };
        if let Some(every) = text.strip_prefix("@every ") {
            return seconds(every)
                .map(Self::Every)
                .ok_or_else(|| format!("failed to parse duration {text}: time: invalid duration {every:?}"));
        }
        if text.starts_with('@') {
            let known = DESCRIPTORS.iter().find(|(word, _)| *word == text);
            return known
                .map_or_else(|| Err(format!("unrecognized descriptor: {text}")), |(_, fields)| Self::parse(fields));
        }
        let written: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = written.as_slice() else {
            let (found, shown) = (written.len(), written.join(" "));
            return Err(format!("expected exactly 5 fields, found {found}: [{shown}]"));
        };
        let any = |field: &str| field.split(',').any(|part| part.starts_with(['*', '?']) && !part.contains('/'));
        let any_day = [any(day), any(weekday)];
        let [minutes, hours, days, months, weekdays] = &FIELDS;
        let allowed = [
            minutes.numbers(minute)?,
            hours.numbers(hour)?,
            days.numbers(day)?,
            months.numbers(month)?,
            weekdays.numbers(weekday)?,
        ];
        Ok(Self::Fields { allowed, any_day })
    }
}

impl Bounds {
    fn numbers(&self, field: &str) -> Result<BTreeSet<u8>, String> {
        let mut numbers = BTreeSet::new();
        for part in field.split(',').filter(|part| !part.is_empty()) {
            let (start, end, step) = self.range(part)?;
            numbers.extend((start..=end).step_by(step.into()));
        }
        Ok(numbers)
    }

    /// The first and the last number of a part such as `1-5/2`, and the step.
    fn range(&self, part: &str) -> Result<(u8, u8, u8), String> {
        let (span, step) = match part.split('/').collect::<Vec<_>>().as_slice() {
            [span] => (*span, None),
            [span, step] => (*span, Some(number(step)?)),
            _ => return Err(format!("too many slashes: {part}")),
        };
        let limits: Vec<&str> = span.split('-').collect();
        let (least, most) = (u64::from(self.least), u64::from(self.most));
        let (start, end) = match limits.as_slice() {
            ["*" | "?"] => (least, most),
            ["*" | "?", _] => (least, most),
            // `5/10` is from 5 on.
            [only] if step.is_some() => (self.number(only)?, most),
            [only] => (self.number(only)?, self.number(only)?),
            [start, end] => (self.number(start)?, self.number(end)?),
            _ => return Err(format!("too many hyphens: {part}")),
        };
        if start < least {
            return Err(format!("beginning of range ({start}) below minimum ({least}): {part}"));
        }
        if end > most {
            return Err(format!("end of range ({end}) above maximum ({most}): {part}"));
        }
        if start > end {
            return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
        }
        if step == Some(0) {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
        Ok((small(start), small(end), small(step.unwrap_or(1))))
    }

    fn number(&self, text: &str) -> Result<u64, String> {
        let lower = text.to_lowercase();
        let named = self.names.iter().position(|name| *name == lower);
        match named.and_then(|place| u64::try_from(place).ok()) {
            Some(place) => Ok(place + u64::from(self.least)),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"))
}

/// The seconds of a duration such as `1h30m`; at least one.
fn seconds(duration: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = duration;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        total += amount.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    #[allow(clippy::cast_possible_truncation, reason = "cut off to whole seconds, and what does not fit is capped")]
    (!duration.is_empty()).then_some((total as i64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> Vec<Vec<u8>> {
        match Schedule::parse(text) {
            Ok(Schedule::Fields { allowed, .. }) => {
                allowed.iter().map(|field| field.iter().copied().collect()).collect()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn fields_are_lists_of_ranges_with_steps() {
        assert_eq!(
            allowed("0,30 9-11 */15 jan-MAR mon")[..],
            [vec![0, 30], vec![9, 10, 11], vec![1, 16, 31], vec![1, 2, 3], vec![1]]
        );
        assert_eq!(allowed("50/5 0 1 1 0")[0], [50, 55]);
        assert_eq!(Schedule::parse("@daily"), Schedule::parse("0 0 * * *"));
        assert_eq!(Schedule::parse("@every 1h30m"), Ok(Schedule::Every(5400)));
    }

    #[test]
    fn what_is_wrong_with_a_schedule_is_told_as_by_kubernetes() {
        let cases = [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
        ];
        for (text, why) in cases {
            assert_eq!(Schedule::parse(text), Err(why.to_owned()), "{text}");
        }
    }
}
