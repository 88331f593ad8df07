//! Points and spans of time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Names an instant in whole milliseconds since the Unix epoch.
///
/// The pure rooms never read a clock: whoever steps the machine hands the time
/// in. Within one process it should be a start time plus monotonic time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The first instant: 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// Returns the instant `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time that passed since `earlier`, zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(millis(rhs)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(millis(rhs)))
    }
}

/// Returns the whole milliseconds of a duration, at most `u64::MAX`.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Writes RFC 3339 in UTC with milliseconds: `2026-03-01T12:31:07.412Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (h, m, s) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
        let ms = rest % 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Turns days since 1970-01-01 into a date of the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// Spans the time after `after` up to and including `until`.
///
/// Two windows where one's `until` is the other's `after` share no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Window {
    /// The excluded begin.
    #[serde(rename = "after_ms")]
    pub after: Timestamp,
    /// The included end, never before `after`.
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
}

impl Window {
    /// Returns the window between two instants; empty if they are reversed.
    #[must_use]
    pub fn new(after: Timestamp, until: Timestamp) -> Self {
        Self { after, until: until.max(after) }
    }

    /// Returns its length.
    #[must_use]
    pub fn length(self) -> Duration {
        self.until.since(self.after)
    }

    /// Tells whether no time lies in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.until <= self.after
    }
}

/// Writes a span of time in its two largest units: `14 min 3 s`.
pub(crate) struct Span(pub(crate) u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_millis(self.0).as_secs_f64();
        let whole = self.0 / 1000;
        let two = |f: &mut fmt::Formatter<'_>, big, large, small, unit| match small {
            0 => write!(f, "{big} {large}"),
            small => write!(f, "{big} {large} {small} {unit}"),
        };
        match whole {
            _ if self.0 == 0 => f.write_str("0 s"),
            0..10 => write!(f, "{seconds:.1} s"),
            10..60 => write!(f, "{whole} s"),
            60..3600 => two(f, whole / 60, "min", whole % 60, "s"),
            3600..86_400 => two(f, whole / 3600, "h", whole / 60 % 60, "min"),
            _ => two(f, whole / 86_400, "d", whole / 3600 % 24, "h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_shown_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_772_368_267_412, "2026-03-01T12:31:07.412Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
            (7_263_129_600_000, "2200-02-28T00:00:00.000Z"),
            (7_263_216_000_000, "2200-03-01T00:00:00.000Z"),
            (13_574_563_200_000, "2400-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_millis(ms).to_string(), text);
        }
        assert!(!Timestamp::from_millis(u64::MAX).to_string().is_empty());
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let early = Timestamp::from_millis(5);
        assert_eq!(early - Duration::from_secs(1), Timestamp::EPOCH);
        assert_eq!(
            Timestamp::from_millis(u64::MAX) + Duration::MAX,
            Timestamp::from_millis(u64::MAX)
        );
        assert_eq!(Timestamp::EPOCH.since(early), Duration::ZERO);
        assert!(Window::new(early, Timestamp::EPOCH).is_empty());
    }
}
