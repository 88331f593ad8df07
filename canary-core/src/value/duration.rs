//! Spans of time as tests write them.

use std::time::Duration;

/// Is a span of time: a [`Duration`], or for tests a text such as `"1h30m"`, `"20m"` or `"500ms"`.
///
/// # Panics
/// The conversion panics on a text that is no span of time: a test that says something else than it means must fail.
pub trait IntoDuration {
    /// Returns the span of time.
    fn into_duration(self) -> Duration;
}

impl IntoDuration for Duration {
    fn into_duration(self) -> Duration {
        self
    }
}

impl IntoDuration for &str {
    #[track_caller]
    fn into_duration(self) -> Duration {
        read(self).unwrap_or_else(|| {
            panic!("`{self}` is no span of time: write `20m`, `1h30m`, `90s`, `500ms` or `1d`")
        })
    }
}

/// Reads whole numbers with units, the larger units first or not.
fn read(text: &str) -> Option<Duration> {
    let mut sum = None;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(millis)?;
        sum = Some(sum.unwrap_or(0_u64).checked_add(part)?);
        rest = tail;
    }
    sum.map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_a_policy_file_writes_it() {
        for (text, ms) in [
            ("20m", 1_200_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1d", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(read(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "20", "m", "20 m", "-5m", "1.5h", "20x", "99999999999999999999d"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
