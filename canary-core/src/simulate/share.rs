//! A share of many rollouts, and what the true one may be.

use std::fmt;

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

    /// Returns between which shares the true one lies, with this confidence (Clopper and Pearson, two-sided): both bounds
    /// hold together.
    #[must_use]
    pub fn interval(self, confidence: f64) -> (f64, f64) {
        let each = 0.5 + 0.5 * confidence;
        (self.lower_bound(each), self.upper_bound(each))
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
    fn a_share_is_that_of_the_hits() {
        assert_eq!(Share { hits: 1, of: 4 }.fraction(), 0.25);
        assert_eq!(Share { hits: 0, of: 0 }.fraction(), 0.0);
    }

    #[test]
    fn the_bounds_are_those_of_the_tables() {
        let share = |hits, of| Share { hits, of };
        // Of no hits the upper bound is 1 - (1 - confidence)^(1 / n).
        assert!((share(0, 300).upper_bound(0.95) - 0.009_936).abs() < 1e-6);
        assert!((share(5, 100).upper_bound(0.95) - 0.102_25).abs() < 1e-4);
        assert!((share(5, 100).lower_bound(0.95) - 0.019_91).abs() < 1e-4);
        // Of both sides, each may be wrong half as often.
        let (low, high) = share(5, 100).interval(0.95);
        assert!((low - 0.016_43).abs() < 1e-4 && (high - 0.112_83).abs() < 1e-4, "{low} {high}");
        assert_eq!(share(3, 3).upper_bound(0.9), 1.0);
        assert_eq!(share(0, 3).lower_bound(0.9), 0.0);
    }
}
