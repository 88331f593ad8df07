//! The numbers behind a decision, in one sentence.

use std::fmt;

use super::{RatioBounds, Slow};
use crate::policy::Unit;
use crate::value::{BySide, Counts};

/// Says what the evidence is, for people.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explained {
    /// Both sides' requests so far.
    pub requests: BySide<Counts>,
    /// Between which ratios the error rates are.
    pub bounds: RatioBounds,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// The odds against the canary.
    pub odds: f64,
    /// The odds that convict.
    pub limit: f64,
}

impl Explained {
    /// Puts the numbers together.
    #[must_use]
    pub const fn new(
        requests: BySide<Counts>,
        bounds: RatioBounds,
        confidence: f64,
        odds: f64,
        limit: f64,
    ) -> Self {
        Self { requests, bounds, confidence, odds, limit }
    }
}

/// Writes a sentence: `the canary fails 1.9% of requests, stable 0.1%; ratio 19, between 8 and 41 with 99%
/// confidence; evidence 5300 : 1 against it, limit 100 : 1`.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (canary, stable) = (Rate(self.requests.canary), Rate(self.requests.stable));
        write!(f, "the canary fails {canary} of requests, stable {stable}; ")?;
        self.ratio(f)?;
        write!(
            f,
            "; evidence {} : 1 against it, limit {} : 1",
            Number(self.odds),
            Number(self.limit)
        )
    }
}

impl Explained {
    fn ratio(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RatioBounds { lower, upper, estimate } = self.bounds;
        match estimate {
            Some(estimate) => write!(f, "ratio {}, ", Number(estimate))?,
            None if lower == 0.0 && upper.is_none() => return f.write_str("no ratio is known"),
            None => f.write_str("ratio ")?,
        }
        match (lower, upper) {
            (0.0, None) => f.write_str("without bounds")?,
            (0.0, Some(upper)) => write!(f, "at most {}", Number(upper))?,
            (lower, None) => write!(f, "at least {}", Number(lower))?,
            (lower, Some(upper)) => {
                write!(f, "between {} and {}", Number(lower), Number(upper))?;
            }
        }
        let percent = format!("{:.3}", 100.0 * self.confidence);
        write!(f, " with {}% confidence", percent.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Writes the ratio and its bounds: `1.2 (0.4 – 3.1)`, `at least 2.5` where stable did not fail, or `unknown`.
impl fmt::Display for RatioBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = Number(self.lower);
        match (self.estimate.map(Number), self.upper.map(Number)) {
            (Some(estimate), Some(upper)) => write!(f, "{estimate} ({lower} – {upper})"),
            (Some(estimate), None) => write!(f, "{estimate} (at least {lower})"),
            (None, _) if self.lower > 0.0 => write!(f, "at least {lower}"),
            (None, _) => f.write_str("unknown"),
        }
    }
}

/// Writes `the canary answers 12% of requests slower than 300 ms, stable 2%`.
impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (canary, stable) = (Rate(self.requests.canary), Rate(self.requests.stable));
        let bound = Unit::Millis.show(self.bound_ms);
        write!(f, "the canary answers {canary} of requests slower than {bound}, stable {stable}")
    }
}

/// Writes a share in per cent: `0.1%`, or `none` without requests.
struct Rate(Counts);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.error_rate() {
            Some(rate) => write!(f, "{}%", Number(100.0 * rate)),
            None => f.write_str("none"),
        }
    }
}

/// Writes a number with at least two digits that count, a whole one from 10 on; from a million on only that it is
/// so large.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            number if number >= 1e6 => return f.write_str("more than 1000000"),
            number if number >= 10.0 => return write!(f, "{number:.0}"),
            number if number >= 0.1 => format!("{number:.2}"),
            number if number >= 0.001 => format!("{number:.4}"),
            number => format!("{number:.7}"),
        };
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests;
