//! What the options say.

use std::time::Duration;

use canary_core::simulate::Opening;
use canary_core::value::Timestamp;

use crate::words::read_duration;

pub(crate) fn requests(text: &str) -> Result<f64, &'static str> {
    number(text, |rps| rps > 0.0 && rps <= 1e6)
        .ok_or("expected requests a second, more than 0 and at most 1000000")
}

pub(crate) fn share(text: &str) -> Result<f64, &'static str> {
    fraction(text, |rate| (0.0..=1.0).contains(&rate))
        .ok_or("expected a share from 0 to 1, such as 0.05 or 5%")
}

pub(crate) fn failing(text: &str) -> Result<f64, &'static str> {
    fraction(text, |rate| rate > 0.0 && rate < 1.0)
        .ok_or("expected a share above 0 and below 1, such as 0.001 or 0.1%")
}

pub(crate) fn times(text: &str) -> Result<f64, &'static str> {
    number(text, |times| times > 1.0 && times <= 1e6)
        .ok_or("expected a number above 1 and at most 1000000, such as 3")
}

pub(crate) fn latency(text: &str) -> Result<Duration, &'static str> {
    let plain = text.parse().ok();
    let with_unit = || read_duration(text).map(|time| time.as_secs_f64() * 1000.0);
    plain
        .or_else(with_unit)
        .filter(|ms| (0.001..=3.6e6).contains(ms))
        .map(|ms| Duration::from_secs_f64(ms / 1000.0))
        .ok_or("expected milliseconds from 0.001 to 3600000, such as 100 or 100ms")
}

pub(crate) fn time(text: &str) -> Result<Duration, &'static str> {
    read_duration(text).ok_or("expected a time, such as 90s, 20m or 1h30m")
}

/// Reads `20m+10m`: from when, and for how long.
pub(crate) fn span(text: &str) -> Result<(Duration, Duration), &'static str> {
    let read = || {
        let (from, length) = text.split_once('+')?;
        Some((read_duration(from)?, read_duration(length)?))
    };
    read().ok_or("expected FROM+LENGTH, such as 20m+10m")
}

/// Reads `2026-11-20T22:00Z`.
pub(crate) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    let at = || {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
    };
    at().ok_or("expected a time with its zone, such as 2026-11-20T22:00Z or 2026-11-20T23:00+01:00")
}

pub(crate) fn samples(text: &str) -> Result<usize, &'static str> {
    let read = text.parse().ok().filter(|samples| (1..=100_000_000).contains(samples));
    read.ok_or("expected a number of samples from 1 to 100000000")
}

pub(crate) fn gauge(text: &str) -> Result<(String, f64), &'static str> {
    let read = || {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), number(value, f64::is_finite)?))
    };
    read().ok_or("expected NAME=NUMBER, such as cpu=0.9")
}

/// Reads `namespace=shop`.
pub(crate) fn variable(text: &str) -> Result<(String, String), &'static str> {
    let read = |(name, value): (&str, &str)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = name.chars().all(is_name) && name.starts_with(|c: char| !c.is_ascii_digit());
        named.then(|| (name.to_owned(), value.to_owned()))
    };
    text.split_once('=').and_then(read).ok_or("expected NAME=VALUE, such as namespace=shop")
}

/// Reads `oncall=30m`: who is asked, and what comes of it.
pub(crate) fn opening(text: &str) -> Result<(String, Opening), &'static str> {
    let read = || {
        let (name, when) = text.split_once('=')?;
        let opening = match when {
            "never" => Opening::Never,
            "reject" => Opening::Rejects,
            when => Opening::After(read_duration(when)?),
        };
        Some((name.to_owned(), opening))
    };
    read().ok_or("expected NAME=never, NAME=reject or NAME=TIME, such as oncall=30m")
}

/// Reads `0.05`, and `5%` as the same.
fn fraction(text: &str, fits: impl FnOnce(f64) -> bool) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(percent) => number(percent, |_| true)
            .map(|percent| percent / 100.0)
            .filter(|fraction| fits(*fraction)),
        None => number(text, fits),
    }
}

fn number(text: &str, fits: impl FnOnce(f64) -> bool) -> Option<f64> {
    text.parse().ok().filter(|number| fits(*number))
}
