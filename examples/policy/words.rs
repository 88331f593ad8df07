//! Numbers as they stand in a policy file.

use std::time::Duration;

use canary_core::policy::Unit;
use jiff::fmt::friendly::{Spacing, SpanPrinter};

/// Writes `1 stage`, `2 stages`.
pub(crate) fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Writes `1h30m`.
pub(crate) fn duration(time: Duration) -> String {
    const PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);
    PRINTER.unsigned_duration_to_string(&time)
}

/// Reads what a policy file calls a duration.
pub(crate) fn read_duration(text: &str) -> Option<Duration> {
    // A sign or `ago` would be read as well.
    let span: jiff::Span =
        text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())??;
    let signed = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(signed).ok()
}

/// Reads a duration above zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, &'static str> {
    read_duration(text)
        .filter(|time| !time.is_zero())
        .ok_or("expected a duration above zero, such as 15s")
}

/// Writes a fraction as `5%`.
pub(crate) fn percent(fraction: f64) -> String {
    // To eight digits, so that 0.07 is not shown as 7.000000000000001%.
    format!("{}%", (fraction * 1e8).round() / 1e6)
}

/// Keeps two digits after the point of a percentage.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

/// Writes a limit in a metric's unit.
pub(crate) fn limit(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Share => percent(value),
        Unit::Millis => {
            Duration::try_from_secs_f64(value / 1000.0).map_or_else(|_| unit.show(value), duration)
        }
        Unit::PerSecond => format!("{value}/s"),
        _ => value.to_string(),
    }
}
