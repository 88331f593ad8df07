//! What services tell of their requests themselves, under the usual names.

use super::{Names, Preset};
use crate::builder::LatencyUnit;

/// Asks `http_requests_total` (bad with a `status` of 5xx) and `http_request_duration_seconds` by a label that tells the
/// versions apart, such as `version`.
#[must_use]
pub fn by_label(label: &str, stable: impl Into<String>, canary: impl Into<String>) -> Preset {
    let mut preset = Names::new(stable, canary).requests_and_latency(
        "http_requests_total",
        // Three braces in a row would be no template.
        r#" {{ label }}="{{ version }}""#,
        r#"status=~"5..""#,
        "http_request_duration_seconds_bucket",
        LatencyUnit::Seconds,
    );
    preset.fill_in("label", label);
    preset
}
