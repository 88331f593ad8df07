//! What becomes of many rollouts of one policy.

use std::collections::BTreeMap;
use std::fmt;

use crate::record::{Outcome, Reason};
use crate::report::Report;

/// Sums up many simulated rollouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Many {
    runs: u64,
    promoted: u64,
    rolled_back: u64,
    by_check: BTreeMap<String, u64>,
    errors_served: Vec<u64>,
    first_rolled_back: Option<u64>,
}

impl Many {
    pub(super) fn add(&mut self, seed: u64, report: &Report) {
        self.runs += 1;
        self.errors_served.push(report.canary_errors_served());
        match &report.outcome {
            Some(Outcome::Promoted) => self.promoted += 1,
            Some(Outcome::RolledBack { reason }) => {
                self.rolled_back += 1;
                self.first_rolled_back.get_or_insert(seed);
                if let Reason::Check(result) = reason {
                    *self.by_check.entry(result.check.to_string()).or_default() += 1;
                }
            }
            None => {}
        }
    }

    /// Returns how many were promoted.
    #[must_use]
    pub const fn promoted(&self) -> Share {
        Share { hits: self.promoted, of: self.runs }
    }

    /// Returns how many were taken back.
    #[must_use]
    pub const fn rolled_back(&self) -> Share {
        Share { hits: self.rolled_back, of: self.runs }
    }

    /// Returns how many were taken back because this check failed.
    #[must_use]
    pub fn rolled_back_by(&self, check: &str) -> Share {
        Share { hits: self.by_check.get(check).copied().unwrap_or(0), of: self.runs }
    }

    /// Returns how many did not end.
    #[must_use]
    pub const fn unfinished(&self) -> Share {
        Share { hits: self.runs - self.promoted - self.rolled_back, of: self.runs }
    }

    /// Returns how many requests failed on the canary in at most this share of the rollouts, 0 to 1: 0.5 for the median,
    /// 1 for the worst.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position among the runs"
    )]
    pub fn canary_errors_served(&self, share: f64) -> u64 {
        let mut sorted = self.errors_served.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let position = (share.clamp(0.0, 1.0) * last as f64).ceil() as usize;
        sorted.get(position).copied().unwrap_or(0)
    }

    /// Returns the seed of the first that was taken back: [`Simulation::run`](super::Simulation::run) with it shows why.
    #[must_use]
    pub const fn first_rolled_back(&self) -> Option<u64> {
        self.first_rolled_back
    }
}

/// Counts how many of many rollouts went one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// How many did.
    pub hits: u64,
    /// How many there were.
    pub of: u64,
}

impl Share {
    /// Returns the share that was seen, 0 to 1; 0 of none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of runs stay far below 2^53")]
    pub fn fraction(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.hits as f64 / self.of as f64 }
    }

    /// Returns what the true share is at most, with this confidence, such as 0.99 (Clopper and Pearson, one-sided).
    #[must_use]
    pub fn upper_bound(self, confidence: f64) -> f64 {
        if self.hits >= self.of {
            return 1.0;
        }
        bisect(|p| at_most(self.hits, self.of, p) > 1.0 - confidence)
    }

    /// Returns what the true share is at least, with this confidence.
    #[must_use]
    pub fn lower_bound(self, confidence: f64) -> f64 {
        let misses = Self { hits: self.of - self.hits, of: self.of };
        1.0 - misses.upper_bound(confidence)
    }
}

/// Writes `12 of 2000`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.hits, self.of)
    }
}

/// Finds where a condition that holds from 0 on ceases to hold, below 1.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if holds(middle) { low = middle } else { high = middle }
    }
    high
}

/// Returns the probability that at most `hits` of `of` happen, each with probability `p` strictly between 0 and 1.
#[expect(clippy::cast_precision_loss, reason = "counts of runs stay far below 2^53")]
fn at_most(hits: u64, of: u64, p: f64) -> f64 {
    let n = of as f64;
    let (hit, miss) = (libm::log(p), libm::log1p(-p));
    let log_all = libm::lgamma(n + 1.0);
    let mass = |k: f64| {
        let ways = log_all - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
        libm::exp(ways + k * hit + (n - k) * miss)
    };
    (0..=hits).map(|k| mass(k as f64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_tables() {
        let share = |hits, of| Share { hits, of };
        // Of no hits the upper bound is 1 - (1 - confidence)^(1 / n).
        assert!((share(0, 300).upper_bound(0.95) - 0.009_936).abs() < 1e-6);
        assert!((share(5, 100).upper_bound(0.95) - 0.102_25).abs() < 1e-4);
        assert!((share(5, 100).lower_bound(0.95) - 0.019_91).abs() < 1e-4);
        assert_eq!(share(3, 3).upper_bound(0.9), 1.0);
        assert_eq!(share(0, 3).lower_bound(0.9), 0.0);
    }
}
