//! The rules that compare the canary's success rate with a fixed number, minute by minute.

use super::super::Requests;
use super::{Judge, Minutes};

fn success_rate(minute: Requests) -> Option<f64> {
    minute.canary.error_rate().map(|rate| 1.0 - rate)
}

/// Flagger with its usual `threshold: 5` and `interval: 1m`.
///
/// Every check that fails, or finds nothing, adds one to a counter that nothing resets; the canary is taken back at
/// the look after it has reached five.
#[derive(Debug)]
pub(super) struct Flagger {
    least: f64,
    minutes: Minutes,
    failed: u32,
}

impl Flagger {
    pub(super) fn new(least: f64) -> Self {
        Self { least, minutes: Minutes::default(), failed: 0 }
    }
}

impl Judge for Flagger {
    fn look(&mut self, tick: Requests) -> bool {
        let Some(minute) = self.minutes.add(tick) else { return false };
        if self.failed >= 5 {
            return true;
        }
        let passes = success_rate(minute).is_some_and(|rate| rate >= self.least);
        self.failed += u32::from(!passes);
        false
    }
}

/// An analysis of Argo Rollouts over the whole rollout with `failureLimit: 3` and `interval: 1m`.
///
/// The fourth failure takes the canary back, and so does the fifth error in a row. At its fairest: a minute without
/// requests is an error, not a failure.
#[derive(Debug)]
pub(super) struct Argo {
    least: f64,
    minutes: Minutes,
    failed: u32,
    errors_in_a_row: u32,
}

impl Argo {
    pub(super) fn new(least: f64) -> Self {
        Self { least, minutes: Minutes::default(), failed: 0, errors_in_a_row: 0 }
    }
}

impl Judge for Argo {
    fn look(&mut self, tick: Requests) -> bool {
        let Some(minute) = self.minutes.add(tick) else { return false };
        match success_rate(minute) {
            Some(rate) => {
                self.errors_in_a_row = 0;
                self.failed += u32::from(rate < self.least);
            }
            None => self.errors_in_a_row += 1,
        }
        self.failed > 3 || self.errors_in_a_row > 4
    }
}
