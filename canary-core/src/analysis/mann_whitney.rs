//! The rank test of Mann and Whitney, for two samples of sizes that were fixed beforehand.

use std::f64::consts::FRAC_1_SQRT_2;

/// The quantile of the normal distribution that the bounds are at: 1 % beyond each.
const QUANTILE: f64 = 2.326_347_874_040_840_8;

/// How much of the estimate the shift must be at least, to be high.
const EFFECT: f64 = 0.25;

/// Compares two samples of a gauge by rank, and says by how much the canary's lies above stable's.
///
/// For people who come from Kayenta. Its level holds for one look at samples whose sizes were fixed beforehand;
/// points of a gauge that depend on each other break it. For requests see
/// [`EvidenceState`](super::EvidenceState).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MannWhitney {
    /// In how many pairs the canary's value is the greater one; ties count half.
    pub u: f64,
    /// The probability of a difference like this or more by chance, in either direction: by the normal
    /// approximation, with the corrections for continuity and for ties. 1 where all values are the same.
    pub p: f64,
    /// The shift of the canary against stable that explains the difference best: the median of the pairs'
    /// differences.
    pub estimate: f64,
    /// At least this shift, but for 1 %.
    pub lower: f64,
    /// At most this shift, but for 1 %.
    pub upper: f64,
    means: [f64; 2],
}

impl MannWhitney {
    /// Compares two samples; `None` where one is empty or has a value that is not finite. Takes memory for the
    /// differences of all pairs.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sizes of samples")]
    pub fn new(stable: &[f64], canary: &[f64]) -> Option<Self> {
        let finite = stable.iter().chain(canary).all(|value| value.is_finite());
        if stable.is_empty() || canary.is_empty() || !finite {
            return None;
        }
        let differences = differences(stable, canary);
        let pairs = differences.len() as f64;
        let below = differences.partition_point(|d| *d < 0.0) as f64;
        let upto = differences.partition_point(|d| *d <= 0.0) as f64;
        let u = pairs - 0.5 * (below + upto);
        let pooled: Vec<f64> = stable.iter().chain(canary).copied().collect();
        let sizes = [stable.len(), canary.len()].map(|size| size as f64);
        let sigma = spread(sizes, ties(pooled));
        let z = corrected(u - 0.5 * pairs) / sigma;
        let p = if sigma > 0.0 { libm::erfc(z.abs() * FRAC_1_SQRT_2).min(1.0) } else { 1.0 };
        // Between two steps no value of one sample ties with one of the other.
        let sigma = spread(sizes, ties(stable.to_vec()) + ties(canary.to_vec()));
        let step = |q| step(&differences, |above| corrected(above - 0.5 * pairs) <= q * sigma);
        let means = [stable, canary].map(mean);
        let (lower, upper) = (step(QUANTILE), step(-QUANTILE));
        Some(Self { u, p, estimate: median(&differences), lower, upper, means })
    }

    /// Tells whether the canary's values are high: the shift is surely more than a quarter of its estimate, and
    /// their mean is at least `allowed` times stable's.
    #[must_use]
    pub fn is_high(&self, allowed: f64) -> bool {
        let [stable, canary] = self.means;
        self.lower > EFFECT * self.estimate.abs() && canary >= allowed * stable
    }
}

/// Returns by how much the canary's value is above stable's in each pair, rising.
fn differences(stable: &[f64], canary: &[f64]) -> Vec<f64> {
    let of = |x: f64| stable.iter().map(move |y| (x - y).clamp(f64::MIN, f64::MAX));
    let mut all: Vec<f64> = canary.iter().flat_map(|x| of(*x)).collect();
    all.sort_unstable_by(f64::total_cmp);
    all
}

/// Moves a difference by half a step towards 0 (the correction for continuity).
fn corrected(d: f64) -> f64 {
    if d == 0.0 { 0.0 } else { d - 0.5 * d.signum() }
}

/// Returns Σ (t³ − t) over the groups of equal values.
#[expect(clippy::cast_precision_loss, reason = "sizes of samples")]
fn ties(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let groups = values.chunk_by(|a, b| a == b).map(|group| group.len() as f64);
    groups.map(|t| t * t * t - t).sum()
}

/// Returns the standard deviation of U.
fn spread([m, n]: [f64; 2], ties: f64) -> f64 {
    let all = m + n;
    let variance = m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    libm::sqrt(variance.max(0.0))
}

/// Returns the first difference after which a condition holds of the number of differences above it, or the last.
#[expect(clippy::cast_precision_loss, reason = "sizes of samples")]
fn step(differences: &[f64], holds: impl Fn(f64) -> bool) -> f64 {
    let (mut at, all) = (0, differences.len());
    while at < all {
        let next = at + differences[at..].partition_point(|d| *d <= differences[at]);
        if next == all || holds((all - next) as f64) {
            return differences[at];
        }
        at = next;
    }
    0.0
}

fn median(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    low + 0.5 * (high - low)
}

#[expect(clippy::cast_precision_loss, reason = "sizes of samples")]
fn mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    values.iter().map(|value| value / n).sum()
}

#[cfg(test)]
mod tests;
