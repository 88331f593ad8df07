//! When the evidence processes start again.

use std::time::Duration;

use crate::value::millis;

/// The shortest time between two starts.
const SHORTEST: Duration = Duration::from_secs(300);

/// Plans at which points of live time new copies of the evidence processes start.
///
/// A process that has seen a healthy hour is blind afterwards; so each is a
/// mixture over start times: half of its mass starts at once, the rest evenly
/// at later points, fixed before the rollout begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Starts {
    pub(super) spacing_ms: u64,
    pub(super) later: u64,
}

impl Starts {
    /// Plans the starts for a rollout that spends this much time at weights between 0 % and 100 %.
    #[must_use]
    pub fn over(mixed: Duration) -> Self {
        let total = millis(mixed);
        let spacing_ms = millis(SHORTEST).max(total / 64);
        Self { spacing_ms, later: total.div_ceil(spacing_ms).saturating_sub(1) }
    }

    /// Tells whether all starts at once.
    #[must_use]
    pub const fn is_one(self) -> bool {
        self.later == 0
    }

    /// Returns the mass that starts when `started` starts lie behind and `live` time has passed
    /// since the first, and how many lie behind then. Nothing lies behind before the first tick.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are at most 65 starts")]
    pub(super) fn due(self, started: u64, live: Duration) -> (f64, u64) {
        let due = 1 + self.later.min(millis(live) / self.spacing_ms);
        let (mut mass, mut first_later) = (0.0, started);
        if started == 0 {
            mass = if self.later == 0 { 1.0 } else { 0.5 };
            first_later = 1;
        }
        if due > first_later {
            mass += (due - first_later) as f64 / (2.0 * self.later as f64);
        }
        (mass, due.max(started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mass_starts_once_and_only_once() {
        for minutes in [0, 3, 5, 6, 30, 600, 100_000] {
            let starts = Starts::over(Duration::from_secs(minutes * 60));
            let (mut total, mut started) = (0.0, 0);
            for tick in 0..=minutes * 4 {
                let (mass, now) = starts.due(started, Duration::from_secs(tick * 15));
                total += mass;
                started = now;
            }
            assert!((total - 1.0_f64).abs() < 1e-9, "{minutes} min: {total}");
            assert_eq!(starts.due(started, Duration::MAX).0, 0.0);
        }
    }

    #[test]
    fn a_gap_starts_what_fell_into_it() {
        let starts = Starts::over(Duration::from_secs(1200));
        assert_eq!(starts.due(0, Duration::ZERO), (0.5, 1));
        assert_eq!(starts.due(1, Duration::from_secs(299)), (0.0, 1));
        let (mass, started) = starts.due(1, Duration::from_secs(650));
        assert!((mass - 2.0 / 6.0).abs() < 1e-15 && started == 3, "{mass} {started}");
    }
}
