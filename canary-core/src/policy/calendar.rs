//! When a gate is open by the calendar.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::Calendar;
use crate::value::Timestamp;

/// How far ahead the end of an unbroken run of minutes is looked for.
const MINUTES_AHEAD: i64 = 32 * 24 * 60;

const MINUTE_MS: i64 = 60_000;

/// Tells that a calendar means no times, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CalendarError {
    message: String,
    zone: bool,
}

impl CalendarError {
    /// Tells whether it is the time zone that is not known; otherwise it is the cron expression.
    #[must_use]
    pub const fn is_zone(&self) -> bool {
        self.zone
    }

    fn zone(zone: &str) -> Self {
        Self { message: format!("`{zone}` is no time zone that is known"), zone: true }
    }

    fn cron(cron: &str, why: impl std::fmt::Display) -> Self {
        Self { message: format!("`{cron}` is no cron expression: {why}"), zone: false }
    }
}

/// Holds a calendar that was understood.
#[derive(Clone, Debug)]
pub struct OpeningHours {
    calendar: Calendar,
    cron: Cron,
    zone: TimeZone,
}

impl Calendar {
    /// Reads the cron expression and the time zone, by the time-zone data that the library was built with.
    ///
    /// # Errors
    /// [`CalendarError`] where one of them cannot be read.
    pub fn parse(&self) -> Result<OpeningHours, CalendarError> {
        Ok(OpeningHours { calendar: self.clone(), cron: self.minutes()?, zone: self.time_zone()? })
    }

    /// Returns everything that cannot be read.
    pub(super) fn errors(&self) -> impl Iterator<Item = CalendarError> {
        self.minutes().err().into_iter().chain(self.time_zone().err())
    }

    fn minutes(&self) -> Result<Cron, CalendarError> {
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        parser.parse(&self.cron).map_err(|error| CalendarError::cron(&self.cron, error))
    }

    fn time_zone(&self) -> Result<TimeZone, CalendarError> {
        let zones = TimeZoneDatabase::bundled();
        zones.get(&self.zone).map_err(|_| CalendarError::zone(&self.zone))
    }
}

impl OpeningHours {
    /// Tells whether the gate is open in the minute of this time.
    ///
    /// # Errors
    /// [`CalendarError`] where the time lies beyond all calendars.
    pub fn is_open(&self, now: Timestamp) -> Result<bool, CalendarError> {
        self.is_meant(&self.minute_of(now)?).map(|meant| meant != self.calendar.freeze)
    }

    /// Returns the first minute after this one from which on the gate is open where it was closed, or closed where
    /// it was open; `None` where that is not known, because it does not change within a month.
    ///
    /// # Errors
    /// As for [`is_open`](Self::is_open).
    pub fn next_change(&self, now: Timestamp) -> Result<Option<Timestamp>, CalendarError> {
        let minute = self.minute_of(now)?;
        if !self.is_meant(&minute)? {
            let next = self.cron.find_next_occurrence(&minute, false);
            return Ok(next.ok().and_then(|next| at(&next)));
        }
        for ahead in 1..=MINUTES_AHEAD {
            let later = at(&minute).map(|at| at + std::time::Duration::from_millis(minutes(ahead)));
            let Some(later) = later else { break };
            if !self.is_meant(&self.minute_of(later)?)? {
                return Ok(Some(later));
            }
        }
        Ok(None)
    }

    fn is_meant(&self, minute: &Zoned) -> Result<bool, CalendarError> {
        self.cron
            .is_time_matching(minute)
            .map_err(|error| CalendarError::cron(&self.calendar.cron, error))
    }

    fn minute_of(&self, now: Timestamp) -> Result<Zoned, CalendarError> {
        i64::try_from(now.as_millis())
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms - ms.rem_euclid(MINUTE_MS)).ok())
            .map(|at| at.to_zoned(self.zone.clone()))
            .ok_or_else(|| CalendarError::cron(&self.calendar.cron, "the time lies too far ahead"))
    }
}

fn at(time: &Zoned) -> Option<Timestamp> {
    u64::try_from(time.timestamp().as_millisecond()).ok().map(Timestamp::from_millis)
}

const fn minutes(count: i64) -> u64 {
    (count * MINUTE_MS).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        at(&text.parse::<jiff::Timestamp>().unwrap().to_zoned(TimeZone::UTC)).unwrap()
    }

    #[test]
    fn office_hours_follow_the_clock_of_their_zone() {
        let hours = Calendar::open("* 9-16 * * MON-THU", "Europe/Berlin").parse().unwrap();
        // The clocks of Berlin are two hours ahead in summer, one in winter.
        for (at, open) in [
            ("2026-07-06T06:59:59.999Z", false),
            ("2026-07-06T07:00:00Z", true),
            ("2026-07-06T14:59:59Z", true),
            ("2026-07-06T15:00:00Z", false),
            ("2026-12-07T07:59:00Z", false),
            ("2026-12-07T08:00:30Z", true),
            ("2026-07-10T10:00:00Z", false),
        ] {
            assert_eq!(hours.is_open(time(at)).unwrap(), open, "{at}");
        }
        let thursday_noon = time("2026-07-09T10:00:12Z");
        let closes = hours.next_change(thursday_noon).unwrap().unwrap();
        assert_eq!(closes, time("2026-07-09T15:00:00Z"));
        assert_eq!(hours.next_change(closes).unwrap().unwrap(), time("2026-07-13T07:00:00Z"));
    }

    #[test]
    fn a_freeze_is_closed_where_a_window_is_open() {
        let freeze = Calendar::freeze("* * 20-31 12 *", "UTC").parse().unwrap();
        assert!(freeze.is_open(time("2026-12-19T23:59:59Z")).unwrap());
        let begins = freeze.next_change(time("2026-11-01T00:00:00Z")).unwrap().unwrap();
        assert_eq!(begins, time("2026-12-20T00:00:00Z"));
        assert!(!freeze.is_open(begins).unwrap());
        assert_eq!(freeze.next_change(begins).unwrap().unwrap(), time("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn what_never_changes_says_so() {
        let always = Calendar::open("* * * * *", "UTC").parse().unwrap();
        assert_eq!(always.next_change(time("2026-01-01T00:00:00Z")).unwrap(), None);
        assert!(always.is_open(Timestamp::from_millis(u64::MAX)).is_err());
    }

    #[test]
    fn a_calendar_that_means_nothing_is_refused() {
        let refused = |cron: &str, zone: &str| Calendar::open(cron, zone).parse().unwrap_err();
        for cron in ["", "* * * *", "0 * * * * *", "* 25 * * *", "@reboot", "* * * * FOO"] {
            assert!(!refused(cron, "UTC").is_zone(), "{cron}");
        }
        assert!(refused("* * * * *", "Europe/Nowhere").is_zone());
    }
}
