//! How much traffic there is, over time.

use std::time::Duration;

use super::steps::Steps;
use crate::value::{IntoDuration, millis};

const DAY: f64 = 86_400.0;

/// Says how many requests a second both sides have together; how many come is drawn around it.
///
/// A plain number is a constant rate.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Load(Shape);

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Constant(f64),
    Daily { mean: f64, swing: f64 },
    Bursts { usual: f64, burst: f64, every_ms: u64, lasts_ms: u64 },
    Recorded(Steps),
}

impl From<f64> for Load {
    fn from(requests_per_second: f64) -> Self {
        Self::constant(requests_per_second)
    }
}

impl Load {
    /// Is the same all the time.
    pub const fn constant(requests_per_second: f64) -> Self {
        Self(Shape::Constant(requests_per_second))
    }

    /// Swings around a mean within a day by this share of it, 0 to 1: lowest when the rollout
    /// begins, and highest twelve hours later.
    pub const fn daily(mean: f64, swing: f64) -> Self {
        let swing = if swing.is_nan() { 0.0 } else { swing.clamp(0.0, 1.0) };
        Self(Shape::Daily { mean, swing })
    }

    /// Is `usual`, but for the first part of each span `burst`: `Load::bursts(100.0, 1000.0, "10m", "30s")`.
    ///
    /// # Panics
    /// If a text is no span of time.
    #[track_caller]
    pub fn bursts(
        usual: f64,
        burst: f64,
        every: impl IntoDuration,
        lasts: impl IntoDuration,
    ) -> Self {
        let (every_ms, lasts_ms) =
            (millis(every.into_duration()).max(1), millis(lasts.into_duration()));
        Self(Shape::Bursts { usual, burst, every_ms, lasts_ms: lasts_ms.min(every_ms) })
    }

    /// Is what was recorded: each rate holds from its time since the begin to the next one's.
    pub fn recorded(points: impl IntoIterator<Item = (Duration, f64)>) -> Self {
        Self(Shape::Recorded(Steps::new(points)))
    }

    /// Returns the mean number of requests in a span of time, in milliseconds since the begin.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^53")]
    pub(super) fn requests(&self, from: u64, to: u64) -> f64 {
        let (a, b) = (from as f64 / 1000.0, to as f64 / 1000.0);
        let requests = match &self.0 {
            Shape::Constant(rate) => rate * (b - a),
            Shape::Daily { mean, swing } => {
                let turn = std::f64::consts::TAU / DAY;
                let swung = (libm::sin(turn * b) - libm::sin(turn * a)) / turn;
                mean * (b - a - swing * swung)
            }
            Shape::Bursts { usual, burst, every_ms, lasts_ms } => {
                let in_bursts = |to: u64| to / every_ms * lasts_ms + (to % every_ms).min(*lasts_ms);
                let bursting = (in_bursts(to) - in_bursts(from)) as f64 / 1000.0;
                usual * (b - a - bursting) + burst * bursting
            }
            Shape::Recorded(steps) => steps.sum(from, to),
        };
        requests.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn close(seen: f64, expected: f64) {
        assert!((seen - expected).abs() < 1e-6 * expected.abs().max(1.0), "{seen}, not {expected}");
    }

    #[test]
    fn a_day_has_its_mean_and_noon_its_peak() {
        let load = Load::daily(100.0, 0.8);
        close(load.requests(0, 24 * HOUR), 100.0 * DAY);
        let hour = |at: u64| load.requests(at * HOUR, (at + 1) * HOUR) / 3600.0;
        assert!(hour(0) < 22.0 && hour(12) > 178.0, "{} {}", hour(0), hour(12));
    }

    #[test]
    fn bursts_and_recordings_add_up() {
        let bursts = Load::bursts(10.0, 110.0, "10m", "30s");
        close(bursts.requests(0, HOUR), 10.0 * 3600.0 + 100.0 * 180.0);
        close(bursts.requests(615_000, 660_000), 10.0 * 45.0 + 100.0 * 15.0);
        let recorded = Load::recorded([
            (Duration::from_secs(60), 5.0),
            (Duration::ZERO, 1.0),
            (Duration::from_secs(120), 0.0),
        ]);
        close(recorded.requests(0, HOUR), 60.0 + 300.0);
        close(recorded.requests(59_000, 61_000), 6.0);
        close(recorded.requests(0, 24 * HOUR), recorded.requests(0, HOUR));
    }

    #[test]
    fn spans_that_follow_each_other_add_up() {
        for load in [Load::daily(50.0, 1.0), Load::bursts(1.0, 9.0, "7s", "2s"), Load::from(3.0)] {
            let parts: f64 = (0..100).map(|i| load.requests(i * 1_700, (i + 1) * 1_700)).sum();
            close(parts, load.requests(0, 170_000));
        }
    }
}
