//! Numbers that change from time to time.

use std::time::Duration;

use crate::value::millis;

/// Holds a number from each of some times on; before the first time it is the first number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Steps(Vec<(u64, f64)>);

impl Steps {
    /// Takes times since the begin, in any order, each with what holds from it on.
    pub(super) fn new(points: impl IntoIterator<Item = (Duration, f64)>) -> Self {
        let mut points: Vec<_> =
            points.into_iter().map(|(from, value)| (millis(from), value)).collect();
        points.sort_by_key(|(from, _)| *from);
        Self(points)
    }

    /// Returns the number at a time, in milliseconds since the begin; `None` where there is none at all.
    pub(super) fn at(&self, at: u64) -> Option<f64> {
        let passed = self.0.partition_point(|(from, _)| *from <= at);
        self.0.get(passed.saturating_sub(1)).map(|(_, value)| *value)
    }

    /// Returns the next time after this one from which another number holds.
    pub(super) fn next_change(&self, at: u64) -> Option<u64> {
        self.0.iter().map(|(from, _)| *from).find(|from| *from > at)
    }

    /// Adds the number up over a span of time: a rate per second gives a count.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^53")]
    pub(super) fn sum(&self, from: u64, to: u64) -> f64 {
        let (mut sum, mut at) = (0.0, from);
        while at < to {
            let next = self.next_change(at).map_or(to, |next| next.min(to));
            sum += self.at(at).unwrap_or(0.0) * (next - at) as f64 / 1000.0;
            at = next;
        }
        sum
    }
}
