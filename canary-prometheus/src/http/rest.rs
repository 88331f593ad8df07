//! How long a server asks to be left alone.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// Reads `Retry-After`: seconds, or the time at which to come back.
///
/// Such a time is compared with the server's own `Date`: what our clock shows does not matter then. Who sends no
/// `Date`, which only servers without a clock may leave out, asks for nothing.
pub(super) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(after).ok()?;
    let now = httpdate::parse_http_date(text(DATE)?).ok()?;
    until.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    const NOW: &str = "Sun, 01 Mar 2026 12:00:00 GMT";

    fn read(after: &'static str, date: Option<&'static str>) -> Option<u64> {
        let headers = [(RETRY_AFTER, Some(after)), (DATE, date)];
        let headers = headers
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::from_static(text?))));
        asked_for(&HeaderMap::from_iter(headers)).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_the_three_forms_of_a_date_are_understood() {
        for (after, seconds) in [
            ("7", 7),
            (" 120 ", 120),
            ("0", 0),
            ("Sun, 01 Mar 2026 12:01:30 GMT", 90),
            ("Sunday, 01-Mar-26 12:01:30 GMT", 90),
            ("Sun Mar  1 12:01:30 2026", 90),
        ] {
            assert_eq!(read(after, Some(NOW)), Some(seconds), "{after}");
        }
        assert_eq!(read("7", None), Some(7));
    }

    #[test]
    fn what_is_over_or_makes_no_sense_asks_for_nothing() {
        for after in ["Sun, 01 Mar 2026 11:59:59 GMT", "soon", "-1", "1.5", ""] {
            assert_eq!(read(after, Some(NOW)), None, "{after}");
        }
        let later = "Sun, 01 Mar 2026 12:01:30 GMT";
        assert_eq!((read(later, None), read(later, Some("today"))), (None, None));
    }
}
