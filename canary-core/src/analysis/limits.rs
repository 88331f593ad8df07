//! Which numbers can be limits.

use std::ops::RangeInclusive;

/// The ratios of two sides' rates that can be told apart from none: what lies beyond is no limit.
pub(super) const RATIOS: RangeInclusive<f64> = 0.01..=100.0;

/// Tells that a number cannot be a limit.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{argument} cannot be {value}: expected {expected}")]
#[non_exhaustive]
pub struct InvalidLimits {
    /// Which number, in words: `the ratio`.
    pub argument: &'static str,
    /// What it is.
    pub value: f64,
    /// What it may be, in words: `1 to 100`.
    pub expected: &'static str,
}

impl InvalidLimits {
    /// Refuses a number unless it is one of these, which NaN never is.
    pub(super) const fn unless(
        possible: bool,
        argument: &'static str,
        value: f64,
        expected: &'static str,
    ) -> Result<(), Self> {
        if possible { Ok(()) } else { Err(Self { argument, value, expected }) }
    }

    /// Refuses what is no probability of being wrong. One so small that its odds are not finite is none, either.
    pub(super) fn unless_probability(argument: &'static str, value: f64) -> Result<(), Self> {
        let possible = (f64::MIN_POSITIVE..1.0).contains(&value);
        Self::unless(possible, argument, value, "more than 0 and less than 1")
    }
}

#[cfg(test)]
mod tests;
