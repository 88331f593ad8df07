//! Anytime-valid evidence about an objective: that failures are more, or less, frequent than a number says.
//!
//! The null hypothesis `p ≤ p0` against a mixture of larger `p`, the part above `p0` of a beta distribution with
//! mean `p0` (Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
//! sequences"; the one-sided beta-binomial mixture of `confseq`). A shared outage is evidence against an
//! objective, but not against the canary: it should hold a rollout and not take it back.
//!
//! With `t` for `ln p/(1−p)` and `d = k − n p0`, all beta functions and powers cancel but for two integrals:
//!
//! ```text
//! E = G(a + k, b + n − k) / G(a, b),   G(A, B) = ∫₀^∞ exp(A t − (A + B) ln(1 − p0 + p0 eᵗ)) dt
//! ```

use std::f64::consts::PI;

use super::InvalidLimits;
use super::special::{cumulant, cumulant_slope, deviance, integrate, stirling};
use crate::value::Counts;

/// How much of an integrand, in natural logarithms below its peak, is left out on each side.
const NOTHING: f64 = 40.0;

/// Weighs requests against a rate; what it has seen is the counts alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// The rate at which the evidence begins, and what is left of 1.
    p: f64,
    q: f64,
    /// Whether good requests are counted in place of bad ones.
    counts_good: bool,
    /// The prior as a number of requests.
    prior: f64,
    /// The prior's `ln G`.
    ln_prior: f64,
}

/// Says for which sample an objective's evidence is sharpest. It holds for every other, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharpestAt {
    requests: f64,
    false_alarm: f64,
}

impl SharpestAt {
    /// Takes a number of requests, above 0 and up to 1e15, and for which probability of a false alarm, between 0 and
    /// 1/2, evidence is sharpest after so many.
    ///
    /// # Errors
    /// [`InvalidLimits`] for any other number of requests or probability.
    pub fn new(requests: f64, false_alarm: f64) -> Result<Self, InvalidLimits> {
        let possible = (f64::MIN_POSITIVE..=1e15).contains(&requests);
        InvalidLimits::unless(
            possible,
            "the number of requests",
            requests,
            "more than 0, up to 1e15",
        )?;
        let possible = (f64::MIN_POSITIVE..0.5).contains(&false_alarm);
        let expected = "more than 0 and less than 0.5";
        InvalidLimits::unless(possible, "the false-alarm probability", false_alarm, expected)?;
        Ok(Self { requests, false_alarm })
    }

    /// Returns the prior as a number of requests (`best_rho` of `confseq`, divided by `p (1 − p)`).
    fn prior(self, false_alarm: f64) -> f64 {
        let twice = -2.0 * libm::log(false_alarm);
        (self.requests / (twice + libm::log1p(twice)) - 1.0).max(1e-3)
    }
}

impl Objective {
    /// Weighs evidence that bad requests are more frequent than `rate`, 1e-9 to 1 − 1e-9.
    ///
    /// # Errors
    /// [`InvalidLimits`] for any other rate.
    pub fn exceeds(rate: f64, sharpest: SharpestAt) -> Result<Self, InvalidLimits> {
        unless_rate(rate)?;
        Ok(Self::new(rate, 1.0 - rate, false, sharpest))
    }

    /// Weighs evidence that bad requests are less frequent than `rate`, 1e-9 to 1 − 1e-9: what promotes. Without
    /// any error at least `ln(1/β)/rate` requests are needed for odds of `1/β`.
    ///
    /// # Errors
    /// [`InvalidLimits`] for any other rate.
    pub fn stays_below(rate: f64, sharpest: SharpestAt) -> Result<Self, InvalidLimits> {
        unless_rate(rate)?;
        Ok(Self::new(1.0 - rate, rate, true, sharpest))
    }

    fn new(p: f64, q: f64, counts_good: bool, sharpest: SharpestAt) -> Self {
        // One-sided: all false alarms lie on one side.
        let prior = sharpest.prior(2.0 * sharpest.false_alarm);
        let ln_prior = ln_integral(p, q, [prior * p, prior * q], 0.0);
        Self { p, q, counts_good, prior, ln_prior }
    }

    /// Returns the odds against the null, as a natural logarithm, after these requests of disjoint windows. While
    /// the null holds, they ever reach `1/α` with probability `α` at most.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts up to 2^53 are exact, beyond that the tolerance is relative"
    )]
    pub fn ln_evidence(&self, counts: Counts) -> f64 {
        let good = counts.total.saturating_sub(counts.bad);
        let (hits, others) = if self.counts_good { (good, counts.bad) } else { (counts.bad, good) };
        let (hits, others) = (hits as f64, others as f64);
        let above = hits_above(self.p, self.q, [hits, others]);
        let shape = [self.prior * self.p + hits, self.prior * self.q + others];
        ln_integral(self.p, self.q, shape, above) - self.ln_prior
    }
}

/// Refuses rates of which nobody could count enough requests.
fn unless_rate(rate: f64) -> Result<(), InvalidLimits> {
    let possible = (1e-9..=1.0 - 1e-9).contains(&rate);
    InvalidLimits::unless(possible, "the rate", rate, "1e-9 to 1 - 1e-9")
}

/// Returns how many hits there are above what the rate promises.
fn hits_above(p: f64, q: f64, [hits, others]: [f64; 2]) -> f64 {
    let n = hits + others;
    // The product is not rounded, and the smaller of `p` and `q` is the one that has all of its digits.
    if p <= q { libm::fma(-n, p, hits) } else { libm::fma(n, q, -others) }
}

/// Returns `ln G(a, b)`, given `above = a − (a + b) p`.
///
/// The integrand is written around its peak: where that lies inside, `p` is tilted to `a/(a + b)`, which takes the
/// height out as a deviance, so that large terms cancel on paper.
fn ln_integral(p: f64, q: f64, [a, b]: [f64; 2], above: f64) -> f64 {
    let n = a + b;
    let tilted = (a / n, b / n, deviances(p, q, [a, b], above), libm::log1p(above / (b * p)), 0.0);
    let (p, q, height, before, slope) = if above > 0.0 { tilted } else { (p, q, 0.0, 0.0, above) };
    let depth = |s: f64| n * cumulant(p, q, s) - slope * s;
    let steepness = |s: f64| n * cumulant_slope(p, q, s) - slope;
    let start = NOTHING / (slope.abs() + libm::sqrt(0.5 * NOTHING * n * p * q));
    let from = match before {
        0.0 => 0.0,
        before => -reach(start, |s| depth(-s), |s| -steepness(-s)).min(before),
    };
    let to = reach(start, depth, steepness);
    // From here on the depth is a straight line to the last digit, and the rest of the integral is known.
    let straight = (NOTHING + libm::log(q / p)).max(0.0);
    let rest = if to > straight { libm::exp(-depth(straight)) / (n * q - slope) } else { 0.0 };
    height + libm::log(integrate(from, to.min(straight), |s| libm::exp(-depth(s))) + rest)
}

/// Returns how much likelier hits and others are at their own rate than at `p`, as a logarithm.
fn deviances(p: f64, q: f64, [a, b]: [f64; 2], above: f64) -> f64 {
    deviance(a, (a + b) * p, -above) + deviance(b, (a + b) * q, above)
}

/// Returns an `s` at or little beyond the one at which the integrand is as good as nothing. The depth is convex, so
/// Newton's method goes beyond it at once and then comes back.
fn reach(mut s: f64, depth: impl Fn(f64) -> f64, steepness: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..60 {
        let deep = depth(s);
        if (NOTHING..1.2 * NOTHING).contains(&deep) {
            break;
        }
        s += (1.05 * NOTHING - deep) / steepness(s);
    }
    s
}

/// Returns between which rates that of the bad requests is, at all times at once with probability `1 − alpha`.
///
/// `alpha` is between 0 and 1. For rates that are shown to people: the beta-binomial mixture with a prior that
/// follows the rate. With at most one bad request nothing is known below, with at most one good request nothing
/// above.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "bounds of counts up to 2^53")]
pub fn rate_bounds(counts: Counts, alpha: f64, sharpest: SharpestAt) -> (f64, f64) {
    let (bad, good) = (counts.bad as f64, counts.total.saturating_sub(counts.bad) as f64);
    let (prior, level) = (sharpest.prior(sharpest.false_alarm), -libm::log(alpha));
    let excluded = |p: f64| ln_mixture(prior, p, [bad, good]) >= level;
    let seen = bad / (bad + good);
    let lower = if bad > 1.0 { end(0.0, seen, excluded) } else { 0.0 };
    let upper = if good > 1.0 { end(1.0, seen, excluded) } else { 1.0 };
    (lower, upper)
}

/// Returns where between an excluded rate and one that is not the exclusion ends.
fn end(mut excluded: f64, mut possible: f64, is_excluded: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = 0.5 * (excluded + possible);
        if middle == excluded || middle == possible {
            return possible;
        }
        if is_excluded(middle) { excluded = middle } else { possible = middle }
    }
}

/// Returns the logarithm of the whole mixture's odds against the rate `p`.
fn ln_mixture(prior: f64, p: f64, [bad, good]: [f64; 2]) -> f64 {
    let q = 1.0 - p;
    let whole = |a: f64, b: f64, above: f64| {
        let n = a + b;
        let width = 0.5 * libm::log(2.0 * PI * n / (a * b));
        deviances(p, q, [a, b], above) + width + stirling(a) + stirling(b) - stirling(n)
    };
    let (a, b) = (prior * p, prior * q);
    whole(a + bad, b + good, hits_above(p, q, [bad, good])) - whole(a, b, 0.0)
}

#[cfg(test)]
mod tests;
