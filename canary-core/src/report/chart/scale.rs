//! Where times and rates lie in the picture.

use std::time::Duration;

use super::{LEFT, RIGHT};
use crate::report::Series;
use crate::value::{Timestamp, millis};

/// Steps between two labels of time, in seconds.
const STEPS: [u64; 18] = [
    1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400,
    604_800,
];

/// Spreads the rollout's time over the width.
pub(super) struct Times {
    from: Timestamp,
    span_ms: u64,
}

impl Times {
    pub(super) fn new(from: Timestamp, until: Timestamp) -> Self {
        Self { from, span_ms: millis(until.since(from)).max(1_000) }
    }

    pub(super) fn until(&self) -> Timestamp {
        self.from + Duration::from_millis(self.span_ms)
    }

    #[expect(clippy::cast_precision_loss, reason = "a place in a picture needs no 53 bits")]
    pub(super) fn x(&self, at: Timestamp) -> f64 {
        let share = millis(at.since(self.from)) as f64 / self.span_ms as f64;
        LEFT + (RIGHT - LEFT) * share.min(1.0)
    }

    /// Returns at most nine times with their labels, from the begin on.
    pub(super) fn lines(&self) -> impl Iterator<Item = (Timestamp, String)> {
        let span = self.span_ms / 1000;
        let step = STEPS.into_iter().find(|step| span / step <= 8).unwrap_or(span / 8);
        (0..=span / step.max(1)).map(move |i| {
            let seconds = i * step;
            (self.from + Duration::from_secs(seconds), label(seconds))
        })
    }
}

fn label(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m, s) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, 0) => format!("{m} min"),
        (0, 0, m, s) => format!("{m}:{s:02}"),
        (0, h, 0, 0) => format!("{h} h"),
        (0, h, m, _) => format!("{h} h {m:02}"),
        (d, 0, _, _) => format!("{d} d"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// Spreads error rates over the height.
pub(super) struct Rates {
    /// What the top line stands for, a share.
    top: f64,
}

impl Rates {
    /// Takes one, two or five times a power of ten above all rates, and at least 0.1 %.
    pub(super) fn of(series: &Series) -> Self {
        let sides = |point: &crate::report::Point| [point.requests.stable, point.requests.canary];
        let rates = series.points.iter().flat_map(sides).filter_map(|counts| counts.error_rate());
        let highest = rates.fold(0.001, f64::max);
        let tops = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
        Self { top: tops.into_iter().find(|top| *top >= highest).unwrap_or(1.0) }
    }

    /// Returns a rate as a share of the height.
    pub(super) fn share(&self, rate: f64) -> f64 {
        rate / self.top
    }

    pub(super) fn lines(&self) -> [(f64, String); 3] {
        [0.0, 0.5, 1.0].map(|share| (share, format!("{} %", short(share * self.top * 100.0))))
    }
}

/// Writes a number without zeros that say nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
